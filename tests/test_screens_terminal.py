import dataclasses

from django_memsize.screens import terminal
from django_memsize.values import Amount, Diff, TypeTotal
from tests.summaries import CENSUS, METERED, amount, census, counted, metered, retaining

REPORT = """\
Report 7: GET /accounts/ -> 200

Loading 3,090 bank.Account at bank/views.py:41 added 2.9 MB to the heap; the heap did not grow \
during the request (net +100 B).

  duration     50.0 ms                time from start to end of the request, without overhead
"""


def assert_in_order(text, *parts):
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_report_is_heading_sentence_figures_evaluations_tables_and_notes():
    text = terminal.report(CENSUS, 15, "Report 7: GET /accounts/ -> 200")

    assert text.startswith(REPORT)
    assert_in_order(
        text,
        "\n\nEvaluations:\n  3,090 bank.Account at bank/views.py:41 in accounts: ",
        "\n\nOn the heap after loading 3,090 bank.Account at bank/views.py:41:\n\n",
        "bank.models.Account |        3090 |      2.86 MB",
        "\n\nNet: change of the heap of the whole process from start to end of the request:\n\n",
        "str |           2 |    100     B",
        "\n\nNotes:\n  The net is measured after the last byte",
    )


def test_a_metered_report_has_a_table_near_the_peak_and_of_what_remains():
    summary = retaining(20_000, garbage=amount(3_100_000))

    assert_in_order(
        terminal.report(summary, 15, "Report 7"),
        "19.1 MB allocated, 4.0 MB peak, 2.9 MB alive at the end, 120 B retained, 30.0 ms",
        "\n\nNear the peak: 2.9 MB alive at once, 69 % of the 4.1 MB at the peak, after loading",
        "\n\nRetained: 19.5 KB, reachable from outside the request after it ended:\n\n",
        "\n\nGarbage: 3.0 MB, unreachable and waiting for Python's collector:\n\n",
        "\n\nNotes:\n  Retained: ",
    )


def test_a_table_that_says_nothing_is_left_out():
    text = terminal.report(metered(garbage=amount(100)), 15, "Report 7")

    assert "\nRetained: " not in text
    assert "\nGarbage: " not in text
    assert "\nFree lists: " not in text


def test_a_word_is_explained_where_a_printed_table_has_it():
    table = Diff.of([("(buffers)", TypeTotal(3, 20_000)), ("str", TypeTotal(1, 100))])
    unseen, seen = (metered(retained=Amount(4, size, table)) for size in (100, 20_100))

    assert "  (buffers): memory" not in terminal.report(unseen, 15, "Report 7")
    assert "  (buffers): memory" in terminal.report(seen, 15, "Report 7")


def test_a_counted_report_has_no_tables():
    text = terminal.report(counted(), 15, "Report 7")

    assert "total size" not in text
    assert "counted, not metered" in text


def test_a_table_has_the_largest_types_and_the_others_as_one_row():
    names = {f"type{number}": number for number in range(1, 6)}
    text = terminal.report(census(net=Diff(names, names)), 2, "Report 7")

    rows = [
        line.split(" | ") for line in text.splitlines() if line.strip().startswith(("type", "("))
    ]
    assert [[cell.strip() for cell in row] for row in rows if len(row) == 3][-3:] == [
        ["type5", "5", "5     B"],
        ["type4", "4", "4     B"],
        ["(3 other types)", "6", "6     B"],
    ]


def cells(table):
    header, _, *rows = table.splitlines()
    return [[cell.strip() for cell in line.split(" | ")] for line in (header, *rows)]


def test_runs_have_the_columns_of_their_instrument():
    assert cells(terminal.runs_table([("1", CENSUS), ("2", counted())])) == [
        ["run", "net", "largest evaluation", "rows", "duration"],
        ["1", "+100 B", "2.9 MB", "3,090", "50.0 ms"],
        ["2", "-", "-", "3,090", "50.0 ms"],
    ]
    assert cells(terminal.runs_table([("1", CENSUS), ("2", METERED)])) == [
        ["run", "peak", "retained", "garbage", "rows", "duration"],
        ["1", "-", "-", "-", "3,090", "50.0 ms"],
        ["2", "4.1 MB", "1000 B", "3.0 MB", "3,090", "50.0 ms"],
    ]
    assert cells(terminal.runs_table([("1", counted())])) == [
        ["run", "RSS change", "rows", "duration"],
        ["1", "+3.0 MB", "3,090", "50.0 ms"],
    ]


def test_a_report_of_a_document_without_fields_is_shown():
    text = terminal.report(dataclasses.replace(CENSUS, net=None, evaluations=()), 15, "Report 7")

    assert "the change of the heap is not known" in text
