import pytest

from django_memsize.screens import tables
from django_memsize.values import Diff, NearPeak
from tests.summaries import CENSUS, METERED, census, counted, diff, metered, retaining

NEAR_PEAK = (
    "2.9 MB alive at once, 69 % of the 4.1 MB at the peak, after loading 3,090 bank.Account at "
    "bank/views.py:41"
)


def titles(summary):
    return {table.title: table.folded_as for table in tables.tables(summary)}


def test_a_meter_has_a_table_near_the_peak_and_one_for_each_remainder():
    assert titles(METERED) == {
        "Near the peak": "",
        "Retained": "1000 B by type",
        "Garbage": "",
        "Free lists": "97.7 KB by type",
    }


def test_a_table_is_folded_unless_it_says_something():
    assert titles(retaining(20_000))["Retained"] == ""
    assert titles(retaining(20_000))["Garbage"] == "0 B by type"
    assert titles(retaining(2000, kind="block"))["Retained"] == ""


def test_the_captions_of_a_meter():
    assert [table.caption for table in tables.tables(METERED)] == [
        NEAR_PEAK,
        "1000 B, reachable from outside the request after it ended",
        "3.0 MB, unreachable and waiting for Python's collector",
        "97.7 KB, freed objects that Python keeps for the next objects of their types",
    ]


@pytest.mark.parametrize(
    ("size", "title", "folded", "caption"),
    [
        (4_000_000, "Near the peak", "", "3.8 MB of this request alive near its peak, after"),
        (3_000_000, "Near the peak", "", "2.9 MB alive at once, 69 % of the 4.1 MB at the peak,"),
        (2_000_000, "Below the peak", "", "1.9 MB alive at once, 46 % of the 4.1 MB at the peak,"),
        (30_000, "Below the peak", "29.3 KB by type", "29.3 KB alive at once, 0 % of the 4.1 MB"),
    ],
)
def test_the_table_near_the_peak_says_how_much_of_it_is_covered(size, title, folded, caption):
    table, *_ = tables.tables(metered(near_peak=NearPeak(diff(size), "bank.Account", 3090)))

    assert (table.title, table.folded_as) == (title, folded)
    assert table.caption.startswith(caption)


def test_a_table_near_the_peak_that_follows_no_evaluation_names_none():
    table, *_ = tables.tables(metered(near_peak=NearPeak(diff(4_200_000))))

    assert table.caption == "4.0 MB of this request alive near its peak"


def test_a_census_has_the_table_of_the_net_as_a_change():
    (table,) = tables.tables(CENSUS)

    assert (table.title, table.is_change) == ("Net", True)
    assert table.caption.endswith("from start to end of the request")


def test_a_table_without_rows_is_left_out():
    assert tables.tables(census(net=Diff({}, {}))) == []
    assert tables.tables(census(net=None)) == tables.tables(counted()) == []


def test_what_is_not_known_has_no_table():
    assert titles(metered(retained=None, garbage=None, free_lists=None)) == {"Near the peak": ""}
