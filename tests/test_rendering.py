import dataclasses

from django_memsize import rendering
from django_memsize.values import Loading, Site, Summary, TopTypes, TypeTotal

ACCOUNTS = Loading(
    "bank.Account",
    "instances",
    3090,
    0.03,
    Site("bank/views.py", 41, "accounts"),
    types=TopTypes((("bank.models.Account", TypeTotal(3090, 3_000_000)),)),
)
SUMMARY = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    status=200,
    duration=0.05,
    rows=3090,
    types=TopTypes((("str", TypeTotal(2, 100)),)),
    loadings=(ACCOUNTS,),
    loadings_left_out=0,
    loadings_unmeasured=0,
    rss_before=100 * 1024**2,
    rss_after=103 * 1024**2,
    collected_objects=0,
    overlapping=0,
    incomplete=False,
    cold=False,
    own_cost=0.5,
    engine="python",
    instrument="census",
)


def but(**changes):
    return dataclasses.replace(SUMMARY, **changes)


def grown(size):
    return TopTypes((("bank.models.Account", TypeTotal(3090, size)),))


def test_the_sentence_names_what_was_loaded_where_and_how_large():
    assert rendering.sentence(SUMMARY) == (
        "Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap; "
        "nothing to speak of remained at the end of the request (+100 B against its start)."
    )


def test_the_sentence_says_how_much_more_there_is_at_the_end():
    assert rendering.sentence(but(types=grown(3_000_000))).endswith(
        "; 2.9 MB more on the heap at the end of the request than at its start."
    )


def test_the_sentence_says_how_much_less_there_is_at_the_end():
    assert rendering.sentence(but(types=grown(-3_000_000), kind="block")).endswith(
        "; 2.9 MB less on the heap at the end of the block than at its start."
    )


def test_the_sentence_counts_rows_loaded_elsewhere():
    assert rendering.sentence(but(rows=3130)).startswith(
        "Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap "
        "(40 more rows were loaded by other queries); "
    )


def test_the_sentence_without_rows_says_so():
    assert rendering.sentence(but(loadings=(), rows=0)).startswith("No rows were loaded; ")


def test_the_largest_is_that_of_most_bytes_and_without_bytes_that_of_most_rows():
    unmeasured = dataclasses.replace(ACCOUNTS, types=None, rows=9999, model="bank.Branch")
    few = dataclasses.replace(ACCOUNTS, types=None, rows=1, model="bank.Teller")

    assert but(loadings=(unmeasured, ACCOUNTS)).largest_loading is ACCOUNTS
    assert but(loadings=(few, unmeasured)).largest_loading is unmeasured
    assert "Loading 9,999 bank.Branch at bank/views.py:41; " in rendering.sentence(
        but(loadings=(few, unmeasured), rows=10_000)
    ).replace(" (1 more row was loaded by other queries)", "")


def test_a_loading_says_its_kind_where_it_is_not_instances():
    values = dataclasses.replace(ACCOUNTS, kind="values", site=None)
    stream = dataclasses.replace(ACCOUNTS, streamed=True)

    assert rendering.loading_phrase(values) == "3,090 bank.Account as values"
    assert rendering.loading_phrase(stream) == (
        "3,090 bank.Account one after another at bank/views.py:41"
    )


def test_a_quiet_report_of_a_block_has_no_notes():
    assert rendering.notes(but(kind="block")) == []


def test_each_circumstance_that_blurs_a_figure_has_a_note():
    streamed = dataclasses.replace(ACCOUNTS, streamed=True, types=None)
    notes = {
        "Incomplete": but(incomplete=True),
        "2 other requests ran at the same time": but(overlapping=2),
        "1 other request ran at the same time": but(overlapping=1),
        "gc.freeze()": but(types=dataclasses.replace(SUMMARY.types, comparable=False)),
        "The first request of its kind": but(cold=True),
        "moment after the last byte": SUMMARY,
        "3 evaluations were listed without a table": but(loadings_unmeasured=3),
        "freed 5,000 objects": but(collected_objects=5000),
        "value of the last expression": but(kind="code"),
        "iterator()": but(loadings=(streamed,)),
    }

    for text, summary in notes.items():
        assert [note for note in rendering.notes(summary) if text in note], text


def test_every_figure_has_a_meaning():
    figures = {name: (value, meaning) for name, value, meaning in rendering.figures(SUMMARY)}

    assert figures["net"][0] == "+100 B, +2 objects"
    assert figures["RSS"][0] == "103.0 MB (+3.0 MB)"
    assert figures["rows"][0] == "3,090"
    assert figures["own cost"][0] == "500.0 ms"
    assert all(meaning for _, meaning in figures.values())


def test_the_memory_of_the_process_is_left_out_where_it_is_unknown():
    names = [name for name, _, _ in rendering.figures(but(rss_before=None, rss_after=None))]

    assert "RSS" not in names


REPORT = """\
Report 7: GET /accounts/ -> 200

Loading 3,090 bank.Account at bank/views.py:41 put 2.9 MB on the heap; nothing to speak of \
remained at the end of the request (+100 B against its start).

"""


def test_a_report_is_the_sentence_the_figures_the_tables_and_the_notes():
    text = rendering.report(SUMMARY, 15, "Report 7: GET /accounts/ -> 200")

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

    assert rendering.evaluation_lines(but(loadings=(inner,), loadings_left_out=2)) == [
        "  1 bank.Branch at bank/views.py:41 in accounts: not measured, 30.0 ms",
        "and 2 smaller evaluations",
    ]


def test_routes_are_a_table():
    routes = [
        {
            "route": "/accounts/",
            "method": "GET",
            "reports": 12,
            "average_net_bytes": 2048.5,
            "largest_net_bytes": 4096,
            "largest_evaluation_bytes": None,
            "most_rows": 3090,
            "latest": 7,
        }
    ]

    assert rendering.routes_table(routes).splitlines()[2].split(" | ") == [
        "  GET /accounts/",
        "       12",
        "       2.0 KB",
        "       4.0 KB",
        "             -",
        "  3,090",
        "          7",
    ]
