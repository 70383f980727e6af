import dataclasses

from django_memsize.screens import alternatives
from django_memsize.values import Alternatives, OmittedWay, Way

WAYS = (
    Way("iterator()", 3090, 200, 3 * 2**19, 0.15, streamed=True),
    Way("values_list()", 3090, 2 * 2**20, 3 * 2**20, 0.01, without=("select_related()",)),
    Way("instances", 3090, 4 * 2**20, 5 * 2**20, 0.09),
)


def test_ways_of_loading_are_a_sentence_a_table_and_notes():
    found = Alternatives(
        "bank.Account",
        "default",
        WAYS,
        (OmittedWay("only()", "there is a reason"),),
        is_fixed=False,
    )

    assert alternatives.text(found) == (
        "values_list() without select_related() retains 2.0 MB where instances retain 4.0 MB: "
        "2.0 times less. iterator() retains nothing; its peak is 1.5 MB, that of instances "
        "5.0 MB.\n"
        "\n"
        "            way |    rows |   retained |   bytes a row |     peak |       time\n"
        "=============== | ======= | ========== | ============= | ======== | ==========\n"
        "     iterator() |   3,090 |      200 B |             0 |   1.5 MB |   150.0 ms\n"
        "  values_list() |   3,090 |     2.0 MB |           679 |   3.0 MB |    10.0 ms\n"
        "      instances |   3,090 |     4.0 MB |         1,357 |   5.0 MB |    90.0 ms\n"
        "\n"
        "Notes:\n"
        "  only() is omitted: there is a reason\n"
        "  values_list() is without select_related().\n"
        "  The queryset is limited and has no order: the database may have returned other rows "
        "to each way.\n"
        "  Retained: what the list of all rows holds; for iterator(), what remains after its last "
        "row. Under 1.8 KB counts as nothing, because any statement adds names to Python's caches. "
        "Memory that a database driver allocates itself is not counted.\n"
        "  Each way was loaded in turn, several times; the figures are medians. The meter makes "
        "the time longer."
    )


def test_the_sentence_says_that_no_way_retains_less_than_instances():
    least = Alternatives("bank.Account", "default", (WAYS[2], WAYS[0]))

    assert alternatives.sentence(least).startswith(
        "No other way that holds the rows retains less than instances: 4.0 MB. "
    )


def test_the_sentence_says_what_a_stream_retains_if_that_is_something():
    leaving = dataclasses.replace(WAYS[0], retained=8192)
    found = Alternatives("bank.Account", "default", (leaving, WAYS[2]))

    assert "iterator() retains 8.0 KB; its peak is " in alternatives.sentence(found)


def test_without_rows_there_is_nothing_to_compare():
    none = tuple(dataclasses.replace(way, rows=0) for way in WAYS)

    text = alternatives.text(Alternatives("bank.Account", "default", none))

    assert text.startswith("There are no rows: nothing to compare.\n\n")
    assert " |             - | " in text
