import dataclasses

from django_memsize.reports.build import report_of
from django_memsize.screens import pages
from django_memsize.values import Diff, TypeTotal
from tests.summaries import (
    ACCOUNTS,
    CENSUS,
    LOOP,
    METERED,
    METERED_ACCOUNTS,
    census,
    counted,
    metered,
)


def page_of(summary):
    return pages.ReportPage.of(report_of(summary))


def test_a_page_has_what_identifies_the_report():
    summary = census(release="2.0", host="web-1", pid=7, thread="MainThread")

    assert page_of(summary).facts == [
        "status 200",
        "release 2.0",
        "host web-1",
        "process 7",
        "thread MainThread",
    ]
    assert page_of(census(status=None)).facts == []
    assert page_of(census(status=None, source="run")).facts == ["source run"]


def test_the_columns_of_evaluations_follow_the_instrument():
    shapes = [
        (page.headings, page.columns, page.is_wide)
        for page in map(page_of, (METERED, CENSUS, counted()))
    ]

    assert shapes == [
        (["Allocated", "Peak", "Alive at the end", "Retained", "Duration"], 7, True),
        (["Alive at the end", "Duration"], 4, False),
        (["Duration"], 3, False),
    ]


def test_consecutive_evaluations_of_a_statement_are_one_row():
    page = page_of(metered(evaluations=(LOOP, LOOP, METERED_ACCOUNTS, LOOP)))

    assert [(row.rows, row.times) for row in page.evaluations] == [
        ("600", 600),
        ("3,090", 1),
        ("300", 300),
    ]
    assert page.evaluations[0].cells == ("5.7 MB", "19.5 KB", "19.5 KB", "0 B", "600.0 ms")


def test_a_row_has_the_findings_of_its_evaluation():
    page = page_of(metered(evaluations=(LOOP, METERED_ACCOUNTS)))

    assert [[finding.name for finding in row.findings] for row in page.evaluations] == [
        ["n-plus-one"],
        ["bloat"],
    ]
    assert page.evaluations[0].hint == ""


def test_the_types_of_the_largest_evaluation_are_shown_at_once_unless_near_the_peak():
    small = dataclasses.replace(ACCOUNTS, diff=Diff({"dict": 1}, {"dict": 100}), sql="SELECT 1")

    assert [
        row.is_largest for row in page_of(census(evaluations=(small, ACCOUNTS))).evaluations
    ] == [
        False,
        True,
    ]
    assert [row.is_largest for row in page_of(METERED).evaluations] == [False]


def test_deep_evaluations_are_indented_to_a_limit():
    deep = dataclasses.replace(ACCOUNTS, depth=9)

    assert [row.level for row in page_of(census(evaluations=(deep,))).evaluations] == [6]


def test_bars_are_a_share_of_the_largest_type():
    types = Diff({"a": 1, "b": -2, "c": 3}, {"a": 200, "b": -100, "c": 1})

    table = pages.TypeTable.of(types, is_change=True)

    assert [(row.name, row.objects, row.size, row.percent) for row in table.rows] == [
        ("a", "+1", "+200 B", 100),
        ("b", "-2", "-100 B", 50),
        ("c", "+3", "+1 B", 0),
    ]
    assert [row.is_decrease for row in table.rows] == [False, True, False]
    assert table.has_decrease
    assert (table.total.objects, table.total.size) == ("+2", "+101 B")


def test_types_beyond_the_largest_are_one_row_and_a_list_by_name():
    sizes = {f"type{number:02}": 1000 - number for number in range(pages.TYPES_SHOWN + 2)}
    types = Diff.of(
        [(name, TypeTotal(1, size)) for name, size in sizes.items()], 3, TypeTotal(5, 50)
    )

    table = pages.TypeTable.of(types)

    assert (table.rows[-1].name, table.rows[-1].objects) == ("(5 other types)", "7")
    assert [row.name for row in table.others] == ["type15", "type16"]
    assert not table.has_decrease


def test_a_table_of_nothing_has_no_bars():
    table = pages.TypeTable.of(Diff({"a": 1}, {"a": 0}))

    assert [row.percent for row in table.rows] == [0]


def test_a_caption_begins_with_a_capital():
    (section,) = page_of(CENSUS).tables

    assert section.caption.startswith("Change of the heap ")


def test_a_title_is_cut_and_never_empty():
    assert pages.title(report_of(CENSUS), 300) == "GET /accounts/"
    assert pages.title(report_of(CENSUS), 5) == "GET \N{HORIZONTAL ELLIPSIS}"
    assert pages.title(report_of(census(method="", name="")), 5) == "(no route)"
