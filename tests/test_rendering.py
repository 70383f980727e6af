import dataclasses

import pytest

from django_memsize.screens import terminal
from django_memsize.values import (
    Alternatives,
    Amount,
    CallSite,
    Diff,
    Evaluation,
    Instances,
    LeftOut,
    NearPeak,
    Summary,
    TypeTotal,
    Way,
)

ACCOUNTS = Evaluation(
    "bank.Account",
    "instances",
    3090,
    0.03,
    CallSite("bank/views.py", 41, "accounts"),
    types=Diff.of((("bank.models.Account", TypeTotal(3090, 3_000_000)),)),
)
SUMMARY = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    status=200,
    duration=0.05,
    rows=3090,
    types=Diff.of((("str", TypeTotal(2, 100)),)),
    loadings=(ACCOUNTS,),
    evaluations_omitted=0,
    evaluations_without_types=0,
    rss_before=100 * 1024**2,
    rss_after=103 * 1024**2,
    collected_objects=0,
    in_flight=0,
    incomplete=False,
    first_request=False,
    overhead=0.5,
    engine="python",
    instrument="census",
)


def but(**changes):
    return dataclasses.replace(SUMMARY, **changes)


def grown(size):
    return Diff.of((("bank.models.Account", TypeTotal(3090, size)),))


def test_the_sentence_names_what_was_loaded_where_and_how_large():
    assert terminal.sentence(SUMMARY) == (
        "Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap; "
        "nothing to speak of remained at the end of the request (+100 B against its start)."
    )


def test_the_sentence_says_how_much_more_there_is_at_the_end():
    assert terminal.sentence(but(types=grown(3_000_000))).endswith(
        "; 2.9 MB more on the heap at the end of the request than at its start."
    )


def test_the_sentence_says_how_much_less_there_is_at_the_end():
    assert terminal.sentence(but(types=grown(-3_000_000), kind="block")).endswith(
        "; 2.9 MB less on the heap at the end of the block than at its start."
    )


def test_the_sentence_counts_rows_loaded_elsewhere():
    assert terminal.sentence(but(rows=3130)).startswith(
        "Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap "
        "(40 more rows were loaded by other queries); "
    )


def test_the_sentence_without_rows_says_so():
    assert terminal.sentence(but(loadings=(), rows=0)).startswith("No rows were loaded; ")


def test_the_largest_is_that_of_most_bytes_and_without_bytes_that_of_most_rows():
    unmeasured = dataclasses.replace(ACCOUNTS, types=None, rows=9999, model="bank.Branch")
    few = dataclasses.replace(ACCOUNTS, types=None, rows=1, model="bank.Teller")

    assert but(loadings=(unmeasured, ACCOUNTS)).largest_loading is ACCOUNTS
    assert but(loadings=(few, unmeasured)).largest_loading is unmeasured
    assert "Loading 9,999 bank.Branch at bank/views.py:41; " in terminal.sentence(
        but(loadings=(few, unmeasured), rows=10_000)
    ).replace(" (1 more row was loaded by other queries)", "")


def test_a_loading_says_its_kind_where_it_is_not_instances():
    values = dataclasses.replace(ACCOUNTS, kind="values", site=None)
    stream = dataclasses.replace(ACCOUNTS, streamed=True)

    assert terminal.loading_phrase(values) == "3,090 bank.Account as values"
    assert terminal.loading_phrase(stream) == (
        "3,090 bank.Account one after another at bank/views.py:41"
    )


def test_a_quiet_report_of_a_block_has_no_notes():
    assert terminal.notes(but(kind="block")) == []


def test_each_circumstance_that_blurs_a_figure_has_a_note():
    streamed = dataclasses.replace(ACCOUNTS, streamed=True, types=None)
    notes = {
        "Incomplete": but(incomplete=True),
        "2 other requests ran at the same time": but(in_flight=2),
        "1 other request ran at the same time": but(in_flight=1),
        "gc.freeze()": but(types=dataclasses.replace(SUMMARY.types, comparable=False)),
        "The first request of its kind": but(first_request=True),
        "moment after the last byte": SUMMARY,
        "3 evaluations were listed without a table": but(evaluations_without_types=3),
        "freed 5,000 objects": but(collected_objects=5000),
        "value of the last expression": but(kind="code"),
        "iterator()": but(loadings=(streamed,)),
    }

    for text, summary in notes.items():
        assert [note for note in terminal.notes(summary) if text in note], text


def test_every_figure_has_a_meaning():
    figures = {name: (value, meaning) for name, value, meaning in terminal.figures(SUMMARY)}

    assert figures["net"][0] == "+100 B, +2 objects"
    assert figures["RSS"][0] == "103.0 MB (+3.0 MB)"
    assert figures["rows"][0] == "3,090"
    assert figures["own cost"][0] == "500.0 ms"
    assert all(meaning for _, meaning in figures.values())


def test_the_memory_of_the_process_is_left_out_where_it_is_unknown():
    names = [name for name, _, _ in terminal.figures(but(rss_before=None, rss_after=None))]

    assert "RSS" not in names


REPORT = """\
Report 7: GET /accounts/ -> 200

Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap; nothing to speak of \
remained at the end of the request (+100 B against its start).

"""


def test_a_report_is_the_sentence_the_figures_the_tables_and_the_notes():
    text = terminal.report(SUMMARY, 15, "Report 7: GET /accounts/ -> 200")

    assert text.startswith(REPORT)
    places = [
        text.index(part)
        for part in (
            "duration",
            "Evaluations:\n  3,090 bank.Account at bank/views.py:41 in accounts: 2.9 MB, 30.0 ms",
            "On the heap after loading 3,090 bank.Account at bank/views.py:41:",
            "bank.models.Account |        3090 |      2.86 MB",
            "At the end of the request, against its start:",
            "str |           2 |    100     B",
            "Notes:",
        )
    ]
    assert places == sorted(places)


def test_evaluations_inside_others_are_indented_and_those_left_out_counted():
    inner = dataclasses.replace(ACCOUNTS, depth=1, types=None, model="bank.Branch", rows=1)

    assert terminal.evaluation_lines(but(loadings=(inner,), evaluations_omitted=2)) == [
        "  1 bank.Branch at bank/views.py:41 in accounts: not measured, 30.0 ms",
        "and 2 smaller evaluations",
    ]


def test_routes_are_a_table():
    routes = [
        {
            "route": "/accounts/",
            "method": "GET",
            "reports": 12,
            "average_retained_bytes": None,
            "average_garbage_bytes": None,
            "largest_peak_bytes": None,
            "average_net_bytes": 2048.5,
            "largest_net_bytes": 4096,
            "largest_evaluation_bytes": None,
            "most_rows": 3090,
            "latest": 7,
        }
    ]

    assert terminal.routes_table(routes).splitlines()[2].split(" | ") == [
        "  GET /accounts/",
        "       12",
        "       2.0 KB",
        "       4.0 KB",
        "             -",
        "  3,090",
        "          7",
    ]


# What a meter knows


def amount(size):
    return Amount(size // 64, size)


METERED = but(
    instrument="meter",
    engine="compiled",
    types=Diff.of((("str", TypeTotal(2, 1000)),)),
    loadings=(
        dataclasses.replace(
            ACCOUNTS, allocated=20_000_000, peak=4_200_000, alive=3_000_000, retained=120
        ),
    ),
    allocated=amount(21_000_000),
    peak=amount(4_300_000),
    alive=amount(3_201_000),
    retained=amount(1000),
    garbage=amount(3_100_000),
    free_lists=amount(100_000),
    garbage_types=Diff.of((("bank.models.Account", TypeTotal(3090, 3_100_000)),)),
    free_lists_types=Diff.of((("tuple", TypeTotal(100, 100_000)),)),
    moment=NearPeak("bank.Account", 3090, ACCOUNTS.site, ACCOUNTS.types),
)


def metered(**changes):
    return dataclasses.replace(METERED, **changes)


def kept(size):
    return {"retained": amount(size), "types": grown(size), "garbage": amount(0)}


def test_the_sentence_of_a_meter_tells_peak_dead_and_kept():
    assert terminal.sentence(METERED) == (
        "Peak 4.1 MB loading 3,090 bank.Account at bank/views.py:41; "
        "3.0 MB dead, waiting for Python's collector; nothing kept."
    )
    assert terminal.sentence(metered(**kept(2_500_000))) == (
        "Peak 4.1 MB loading 3,090 bank.Account at bank/views.py:41; 2.4 MB kept."
    )


def test_a_loading_that_did_not_make_the_peak_is_told_apart_from_it():
    small = dataclasses.replace(METERED.loadings[0], peak=1_000_000)

    assert terminal.sentence(metered(loadings=(small,), rows=3100, garbage=amount(0))) == (
        "Peak 4.1 MB; loading 3,090 bank.Account at bank/views.py:41 (10 more rows were loaded by "
        "other queries) took 976.6 KB at its highest; nothing kept."
    )


def test_the_sentence_of_a_meter_without_rows_says_so():
    assert terminal.sentence(metered(loadings=(), rows=0, garbage=amount(0))) == (
        "Peak 4.1 MB, no rows loaded; nothing kept."
    )


def test_what_was_not_seen_to_its_end_is_not_said_to_keep_nothing():
    cut = metered(incomplete=True, alive=None, retained=None, garbage=None, free_lists=None)

    assert terminal.sentence(cut) == (
        "Peak at least 4.1 MB loading 3,090 bank.Account at bank/views.py:41; "
        "what is left of it is not known."
    )
    assert {
        value for name, value, _ in terminal.figures(cut) if name in ("retained", "garbage")
    } == {"not known"}
    assert any("tracemalloc" in note for note in terminal.notes(cut))


@pytest.mark.parametrize(("kind", "nothing"), [("request", 16), ("block", 1), ("code", 1)])
def test_how_little_counts_as_nothing_is_said(kind, nothing):
    at = metered(kind=kind, **kept(nothing * 1024))
    under = metered(kind=kind, **kept(nothing * 1024 - 1))

    assert terminal.sentence(at).endswith(" kept.")
    assert terminal.sentence(under).endswith("; nothing kept.")
    meanings = {name: meaning for name, _, meaning in terminal.figures(at)}
    assert f"Under {nothing} KB counts as nothing" in meanings["retained"]


def test_the_figures_of_a_meter_have_a_meaning_each():
    figures = {name: (value, meaning) for name, value, meaning in terminal.figures(METERED)}

    assert figures["peak"][0] == "4.1 MB, 67,187 blocks"
    assert figures["allocated"][0] == "20.0 MB, 328,125 blocks"
    assert figures["retained"][0] == "1000 B, 15 blocks"
    assert figures["garbage"][0] == "3.0 MB, 48,437 blocks"
    assert figures["free_lists"][0] == "97.7 KB, 1,562 blocks"
    assert figures["RSS"][0] == "103.0 MB (+3.0 MB)"
    assert figures["outside Python"][0] == "-54.0 KB"
    assert "credited to its own request" in figures["in_flight"][1]
    assert "net" not in figures
    assert all(meaning for _, meaning in figures.values())


def test_a_metered_report_of_which_nothing_is_left_has_no_notes():
    nothing = {"garbage": amount(0), "free_lists": amount(0), **kept(100)}

    quiet = metered(in_flight=3, collected_objects=9000, **nothing)

    assert terminal.notes(quiet) == terminal.words(quiet) == []


def test_what_blurs_a_metered_report_has_a_note():
    notes = {
        "The first request of its kind": metered(first_request=True),
        "value of the last expression": metered(kind="code"),
        "2 evaluations were told in sum": metered(evaluations_without_types=2),
    }

    for text, summary in notes.items():
        assert [note for note in terminal.notes(summary) if text in note], text


def test_words_are_explained_where_they_matter():
    meanings = {
        "Retained: something outside": metered(**kept(20_000)),
        "Dead: ": METERED,
        "(buffers): ": metered(types=Diff.of((("(buffers)", TypeTotal(1, 100)),))),
        "(free lists): ": metered(free_lists_types=Diff.of((("(free lists)", TypeTotal(1, 100)),))),
    }

    for text, summary in meanings.items():
        assert [one for one in terminal.words(summary) if one.startswith(text)], text
    assert terminal.words(SUMMARY) == []


def test_a_metered_report_has_the_largest_moment_and_what_is_left():
    text = terminal.report(metered(**kept(20_000) | {"garbage": amount(3_100_000)}), 15, "Report 7")

    places = [
        text.index(part)
        for part in (
            "19.1 MB allocated, 4.0 MB at its highest, 2.9 MB at its end, 120 B kept, 30.0 ms",
            "The largest moment: 2.9 MB of the request alive after loading 3,090 bank.Account",
            "Retained:\n",
            "Dead, waiting for Python's collector:\n",
            "Notes:",
        )
    ]
    assert places == sorted(places)


EVALUATION = """\
3,090 bank.Account at bank/views.py:41 in accounts: 19.1 MB allocated, 4.0 MB at its highest, \
2.9 MB at its end, 120 B kept, 30.0 ms
  bloat? 2.8 MB at its end, not kept: bloat, if fewer rows or fields would do.
  7 bank.Branch by prefetch_related() at bank/views.py:41 in accounts: 976.6 KB allocated, \
97.7 KB at its highest, 97.7 KB at its end, 97.7 KB kept, 30.0 ms
    leak? 97.7 KB kept, as in all 3 reports compared (same route and process): a leak, unless a \
cache still fills, or the new takes the place of the old."""


def test_below_an_evaluation_stands_what_its_figures_suggest():
    sizes = {"allocated": 10**6, "peak": 10**5, "alive": 10**5, "retained": 10**5}
    inside = {"model": "bank.Branch", "kind": "prefetch", "rows": 7, "depth": 1}
    prefetched = dataclasses.replace(ACCOUNTS, **inside | sizes)
    others = [frozenset({("bank.Branch", "prefetch", "bank/views.py:41")})] * 2
    summary = metered(loadings=(*METERED.loadings, prefetched))

    assert terminal.evaluation_lines(summary, others) == EVALUATION.splitlines()
    indented = EVALUATION.replace("\n", "\n  ")
    assert f"Evaluations:\n  {indented}\n\n" in terminal.report(summary, 15, "Report 7", others)


def test_tables_of_what_counts_as_nothing_are_left_out():
    text = terminal.report(metered(garbage=amount(100)), 15, "Report 7")

    assert "Retained:\n" not in text
    assert "Dead, waiting" not in text


def test_the_routes_of_a_meter_show_what_is_retained_and_the_peak():
    route = {
        "route": "/accounts/",
        "method": "GET",
        "reports": 12,
        "average_retained_bytes": 2048.5,
        "average_garbage_bytes": 0,
        "largest_peak_bytes": 4096,
        "average_net_bytes": None,
        "largest_net_bytes": None,
        "largest_evaluation_bytes": 3072,
        "most_rows": 3090,
        "latest": 7,
    }
    header, _, row = terminal.routes_table([route]).splitlines()

    assert [cell.strip() for cell in header.split(" | ")] == [
        *("route", "reports", "average retained", "largest peak", "average dead", "largest load"),
        *("rows", "latest ID"),
    ]
    assert [cell.strip() for cell in row.split(" | ")] == [
        *("GET /accounts/", "12", "2.0 KB", "4.0 KB", "0 B", "3.0 KB", "3,090", "7")
    ]


WAYS = (
    Way("iterator()", 3090, 200, 3 * 2**19, 0.15, streamed=True),
    Way("values_list()", 3090, 2 * 2**20, 3 * 2**20, 0.01, without=("select_related()",)),
    Way("instances", 3090, 4 * 2**20, 5 * 2**20, 0.09),
)


def test_ways_of_loading_are_a_sentence_a_table_and_notes():
    found = Alternatives(
        "bank.Account", "default", WAYS, (LeftOut("only()", "there is a reason"),), is_fixed=False
    )

    assert terminal.alternatives(found) == (
        "values_list() without select_related() keeps 2.0 MB where instances keep 4.0 MB: "
        "2.0 times less. iterator() keeps nothing; its peak is 1.5 MB, that of instances 5.0 MB.\n"
        "\n"
        "            way |    rows |     kept |   bytes a row |     peak |       time\n"
        "=============== | ======= | ======== | ============= | ======== | ==========\n"
        "     iterator() |   3,090 |    200 B |             0 |   1.5 MB |   150.0 ms\n"
        "  values_list() |   3,090 |   2.0 MB |           679 |   3.0 MB |    10.0 ms\n"
        "      instances |   3,090 |   4.0 MB |         1,357 |   5.0 MB |    90.0 ms\n"
        "\n"
        "Notes:\n"
        "  only() is left out: there is a reason\n"
        "  values_list() is without select_related().\n"
        "  Some of the rows, in no order: the database may have given others to each way.\n"
        "  Kept: what the list of all rows holds; of iterator(), what is left after its last "
        "row. Under 4 KB counts as nothing: any statement leaves names in Python's caches. What "
        "a database's driver takes by itself is not counted.\n"
        "  Each way was loaded in turn; the medians. Time is with the meter on, which adds "
        "to it."
    )


def test_where_nothing_keeps_less_than_instances_the_sentence_says_so():
    least = Alternatives("bank.Account", "default", (WAYS[2], WAYS[0]))

    assert terminal.alternatives_sentence(least).startswith(
        "No other way that holds the rows keeps less than instances: 4.0 MB. "
    )


def test_what_a_stream_leaves_behind_is_told_where_it_is_worth_a_word():
    leaving = dataclasses.replace(WAYS[0], retained=8192)
    found = Alternatives("bank.Account", "default", (leaving, WAYS[2]))

    assert "iterator() keeps 8.0 KB; its peak is " in terminal.alternatives_sentence(found)


def test_without_rows_there_is_nothing_to_compare():
    none = tuple(dataclasses.replace(way, rows=0) for way in WAYS)

    text = terminal.alternatives(Alternatives("bank.Account", "default", none))

    assert text.startswith("There are no rows: nothing to compare.\n\n")
    assert " |             - | " in text


LOOP = Evaluation(
    "bank.Branch",
    "lazy",
    300,
    0.3,
    CallSite("bank/views.py", 24, "accounts", "bank/list.html", 12),
    times=300,
    instances=Instances({"bank.Branch": 300, "bank.City": 290}),
    allocated=3_000_000,
    peak=20_000,
    alive=10_000,
    retained=0,
)


def test_a_loop_says_how_often_and_where_in_which_template():
    assert terminal.loading_phrase(LOOP) == (
        "300 bank.Branch by a relation not loaded yet \N{MULTIPLICATION SIGN}300 "
        "at bank/list.html:12, rendered by bank/views.py:24"
    )
    (line,) = terminal.evaluation_lines(but(loadings=(LOOP,)))
    assert line.endswith(
        " in accounts, with 290 bank.City: 2.9 MB allocated, 19.5 KB at its highest, "
        "9.8 KB at its end, 0 B kept, 300.0 ms"
    )


def test_what_ran_past_the_orm_has_figures_and_says_what_is_not_seen():
    outside = (
        "outside of evaluations: those of cursors, those that write, count(), exists(). Rows "
        "fetched past Django's cursors are not seen"
    )
    statements = ("statements", "7", outside)
    rows = ("cursor rows", "5,000", "fetched by Django's cursors, past the ORM")

    figures = terminal.figures(but(statements=7, cursor_rows=5000))
    assert figures == [*figures[:3], statements, rows, *figures[5:]]
    assert terminal.figures(but(statements=7)) == [*figures[:4], *figures[5:]]
    assert terminal.figures(SUMMARY) == [*figures[:3], *figures[5:]]
    text = terminal.report(but(statements=7), 15, "Report 7")
    assert [line.split() for line in text.splitlines() if outside in line] == [
        ["statements", "7", *outside.split()]
    ]
