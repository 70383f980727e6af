import pytest

from django_memsize import formatting


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "   0     B"),
        (48, "  48     B"),
        (1024, "1024     B"),
        (1025, "   1.00 KB"),
        (296640, " 289.69 KB"),
        (3_000_000, "   2.86 MB"),
        (-148320, "-144.84 KB"),
        (5 * 1024**4, "   5.00 TB"),
    ],
)
def test_a_size_in_a_table_takes_ten_characters(size, text):
    assert formatting.aligned_size(size) == text


@pytest.mark.parametrize("size", [0, 1, 48, 999, 1024, 1025, 296640, 3_000_000, 7 * 1024**3])
def test_a_size_is_printed_as_pympler_prints_it(size):
    from pympler.util.stringutils import pp

    assert formatting.aligned_size(size) == pp(size)


@pytest.mark.parametrize(
    ("size", "text"),
    [(48, "48 B"), (-48, "-48 B"), (296640, "289.7 KB"), (-4_300_000, "-4.1 MB"), (0.4, "0 B")],
)
def test_a_size_in_a_sentence_has_one_decimal(size, text):
    assert formatting.human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 ms"),
        (0.000042, "0.04 ms"),
        (0.0001, "0.1 ms"),
        (0.0123, "12.3 ms"),
        (1, "1.00 s"),
        (61.5, "61.50 s"),
    ],
)
def test_a_duration_is_in_the_unit_that_suits_it(seconds, text):
    assert formatting.human_duration(seconds) == text


def test_a_noun_follows_its_number():
    assert formatting.counted(1, "row") == "1 row"
    assert formatting.counted(3090, "row") == "3,090 rows"


def test_the_table_of_types_is_that_of_pympler():
    from pympler import summary

    rows = [["bank.models.Account", 3090, 148320], ["str", 12, 700], ["datetime.datetime", 2, 96]]

    assert formatting.type_table(map(tuple, rows)).splitlines() == list(summary.format_(rows))


def test_what_would_change_a_terminal_or_a_database_is_replaced():
    text = "a\x00b\x1b[31mc\nd\u202ee\ud800f"

    assert formatting.plain(text, 100) == "a\ufffdb\ufffd[31mc\ufffdd\ufffde\ufffdf"


def test_long_text_is_cut_to_the_length_asked_for():
    assert formatting.plain("x" * 20, 20) == "x" * 20
    assert formatting.plain("x" * 21, 20) == "x" * 19 + "\N{HORIZONTAL ELLIPSIS}"


def test_letters_of_any_script_stay():
    assert formatting.plain("Überweisung 口座", 100) == "Überweisung 口座"


def test_only_the_first_letter_becomes_a_capital():
    assert formatting.capitalized("outside Python") == "Outside Python"
    assert formatting.capitalized("") == ""


def test_a_table_in_markdown():
    assert formatting.markdown_table(("a", "b"), [("1", "2"), ("3", "4")]) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.01, "1%"), (0.0025, "0.25%"), (0.07, "7%"), (0.1234, "12.3%"), (1, "100%"), (0.0, "0%")],
)
def test_a_share_is_a_percentage_of_three_digits(share, text):
    assert formatting.percentage(share) == text
