import dataclasses

import pytest

from django_memsize.screens import figure, figures
from django_memsize.values import Amount, Summary
from tests.summaries import CENSUS, METERED, amount, census, counted, metered


def shown(summary):
    return {each.name: each.text for each in figures.shown_figures(summary)}


def test_the_figures_of_a_census():
    assert shown(CENSUS) == {
        "duration": "50.0 ms",
        "net": "+100 B, +2 objects",
        "rows": "3,090",
        "evaluations": "1",
        "RSS": "103.0 MB",
        "RSS change": "+3.0 MB",
        "in flight": "0",
        "overhead": "500.0 ms",
        "instrument": "census, python engine",
    }


def test_the_figures_of_a_meter():
    assert shown(metered(overhead_bytes=2048)) == {
        "duration": "50.0 ms",
        "peak": "4.1 MB, 67,187 blocks",
        "allocated": "20.0 MB, 328,125 blocks",
        "retained": "1000 B, 15 blocks",
        "garbage": "3.0 MB, 48,437 blocks",
        "free lists": "97.7 KB, 1,562 blocks",
        "rows": "3,090",
        "evaluations": "1",
        "RSS": "103.0 MB",
        "RSS change": "+3.0 MB",
        "outside Python": "-54.0 KB",
        "in flight": "0",
        "overhead": "500.0 ms",
        "overhead memory": "2.0 KB",
        "instrument": "meter, compiled engine",
    }


def test_the_figures_of_a_counted_request():
    assert shown(counted(statements=7, cursor_rows=5000, evaluations_omitted=2)) == {
        "duration": "50.0 ms",
        "rows": "3,090",
        "evaluations": "3",
        "statements": "7",
        "cursor rows": "5,000",
        "RSS": "103.0 MB",
        "RSS change": "+3.0 MB",
        "in flight": "0",
        "overhead": "500.0 ms",
        "instrument": "counted",
    }


def test_a_figure_that_the_instrument_could_not_measure_to_the_end_is_not_known():
    cut = metered(incomplete=True, alive=None, retained=None, garbage=None, free_lists=None)

    texts = shown(cut)

    assert [texts[name] for name in ("retained", "garbage", "free lists")] == ["not known"] * 3
    assert "outside Python" not in texts


@pytest.mark.parametrize(
    ("dropped", "text"),
    [(None, None), (Amount(0, 0), None), (Amount(2000, 2048), "2.0 KB, 2,000 blocks")],
)
def test_memory_that_was_not_remembered_is_shown_if_there_is_any(dropped, text):
    assert shown(metered(not_remembered=dropped)).get("not remembered") == text


def test_rss_is_left_out_where_it_is_not_known():
    assert not {"RSS", "RSS change"} & shown(census(rss_before=None, rss_after=None)).keys()


@pytest.mark.parametrize(("kind", "limit"), [("request", "16 KB"), ("block", "1 KB")])
def test_the_meaning_of_retained_names_the_limit(kind, limit):
    meanings = {each.name: each.meaning for each in figures.shown_figures(metered(kind=kind))}

    assert f"outside the {kind} after it ended. Under {limit} counts" in meanings["retained"]


def test_every_figure_has_a_meaning_without_placeholders():
    everything = metered(statements=1, cursor_rows=1, overhead_bytes=1)

    for each in (*figures.shown_figures(everything), *figures.shown_figures(CENSUS)):
        assert each.meaning
        assert "{" not in each.meaning


def test_a_figure_reads_an_attribute_that_every_summary_has():
    attributes = {each.value for each in figures.FIGURES if isinstance(each.value, str)}

    assert [name for name in attributes if not hasattr(Summary(), name)] == []


def test_no_two_figures_have_the_same_name():
    names = [each.name for each in figures.FIGURES]

    assert len(names) == len(set(names))


def test_the_figures_of_an_empty_document_are_shown_as_far_as_they_go():
    assert shown(Summary())["net"] == "not known"


def test_the_readme_has_each_figure_once():
    lines = figures.readme_table().splitlines()

    assert lines[:2] == ["| figure | meaning |", "| --- | --- |"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        f"| {each.name}" for each in figures.FIGURES
    ]
    assert all(line.count("|") == 3 for line in lines)


def test_a_new_figure_is_shown_by_its_declaration_alone(monkeypatch):
    status = figure.Figure(
        name="status", value="status", unit=figure.NUMBER, meaning="of the response"
    )
    monkeypatch.setattr(figures, "FIGURES", (*figures.FIGURES, status))

    assert shown(CENSUS)["status"] == "200"
    assert shown(dataclasses.replace(METERED, status=None)).get("status") is None
    assert "| status | of the response. |" in figures.readme_table()


def test_what_is_outside_python_is_the_growth_of_the_process_without_that_of_python():
    grown = metered(alive=amount(1024**2))

    assert shown(grown)["outside Python"] == "+2.0 MB"


@pytest.mark.parametrize("cut", [{"incomplete": True}, {"not_remembered": Amount(2000, 2048)}])
def test_a_peak_that_may_have_been_higher_is_a_lower_bound(cut):
    assert shown(metered(**cut))["peak"] == "at least 4.1 MB, 67,187 blocks"
