import dataclasses

import pytest

from django_memsize.screens import figure, figures
from django_memsize.values import Summary
from tests.summaries import CENSUS, METERED, census, counted


def test_the_instrument_is_known_by_what_it_measured():
    of = figure.Instrument.of

    assert of(METERED) is figure.Instrument.METER
    assert of(CENSUS) is of(Summary()) is figure.Instrument.CENSUS
    assert of(counted()) is figure.Instrument.COUNTED


def test_a_heading_begins_with_a_capital():
    assert figures.FREE_LISTS.heading == "Free lists"
    assert figures.RSS.heading == "RSS"


@pytest.mark.parametrize(
    ("declared", "summary", "cell"),
    [
        (figures.PEAK, METERED, "4.1 MB"),
        (figures.PEAK, CENSUS, "-"),
        (figures.NET, CENSUS, "+100 B"),
        (figures.LARGEST_EVALUATION, CENSUS, "2.9 MB"),
        (figures.LARGEST_EVALUATION, counted(), "-"),
        (figures.FIRST_REQUEST, census(first_request=True), "first"),
        (figures.FIRST_REQUEST, CENSUS, "-"),
    ],
)
def test_a_cell_has_bytes_only(declared, summary, cell):
    assert declared.cell(summary) == cell


STATUS = figure.Figure(name="status", value="status", unit=figure.NUMBER, meaning="a number")


def test_a_figure_that_is_not_known_is_left_out_or_said_to_be_so():
    assert STATUS.text(census(status=None)) == ""
    assert dataclasses.replace(STATUS, unknown="?").text(census(status=None)) == "?"


def test_a_zero_is_shown_unless_it_is_hidden():
    assert STATUS.text(census(status=0)) == "0"
    assert dataclasses.replace(STATUS, hides_zero=True).text(census(status=0)) == ""
