"""A recording becomes a report: figures, columns and what is left out."""

import os
import socket
from types import SimpleNamespace

import pytest

from django_memsize import engine, measure
from django_memsize.measuring.recording import Recording
from django_memsize.reports import build, serialization
from django_memsize.reports.build import EVALUATION_TYPES, EVALUATIONS_STORED, RequestFacts
from django_memsize.screens import notes
from django_memsize.values import Amount, Diff, Evaluation, Instances, NearPeak, Summary, TypeTotal
from tests.app.models import Account
from tests.visits import AMOUNTS, WITH_EVALUATIONS, create_accounts

ACCOUNT = "tests.app.models.Account"

FACTS = RequestFacts("/accounts/", "GET", 200)

DIVIDED = ("retained", "garbage", "free_lists")
"""The amounts that a recording breaks down by type."""

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


@pytest.fixture
def retained(settings):
    """Return what a leak retains, and empty it at the end."""
    settings.MEMSIZE = WITH_EVALUATIONS
    return []


def wide(number):
    """Return a diff of so many types, of 1, 2, 3 ... bytes each."""
    return Diff.of((f"type{size}", TypeTotal(1, size)) for size in range(1, number + 1))


def shortened(**figures):
    """Return the summary that is stored for a recording of these figures."""
    recording = Recording("work", counted=True)
    log = SimpleNamespace(omitted_instances=figures.get("omitted_instances"))
    stand_in = SimpleNamespace(window=None, incomplete=False, log=log)
    for name in build._MEASURED:
        setattr(stand_in, name, figures.get(name, getattr(recording, name)))
    return build.summary_of(stand_in, FACTS)


# Columns


@needs_the_meter
@pytest.mark.django_db
def test_the_columns_of_a_metered_block_are_the_figures_of_its_recording(retained):
    create_accounts(50)
    with measure("import") as recording:
        retained.extend(Account.objects.all())

    report = build.build(recording, RequestFacts("import"))
    summary = report.summary()

    assert (report.kind, report.route, report.instrument) == ("block", "import", "meter")
    assert (report.engine, report.rows, report.incomplete) == ("compiled", 50, False)
    for name in AMOUNTS:
        amount, measured = getattr(summary, name), getattr(recording, name)
        assert (amount.blocks, amount.bytes) == (measured.blocks, measured.bytes), name
    for name in ("peak", "retained", "garbage"):
        assert getattr(report, f"{name}_bytes") == getattr(summary, name).bytes, name
    assert (report.net_bytes, summary.net) == (None, None)
    assert report.largest_evaluation_bytes == recording.evaluations[0].alive.bytes


@pytest.mark.census
@pytest.mark.django_db
def test_a_census_leaves_the_columns_of_the_meter_empty(retained):
    create_accounts(50)
    with measure("import") as recording:
        retained.extend(Account.objects.all())

    report = build.build(recording, RequestFacts("import"))
    summary = report.summary()

    assert report.instrument == "census"
    assert {getattr(report, f"{name}_bytes") for name in ("peak", "retained", "garbage")} == {None}
    assert {getattr(summary, name) for name in AMOUNTS} == {None}
    assert report.net_bytes == recording.diff.total.size == summary.net.total.size
    assert summary.net[ACCOUNT].count == 50
    assert report.largest_evaluation_bytes == recording.evaluations[0].diff.total.size


@pytest.mark.parametrize("kind", ["request", "block"])
def test_a_counted_recording_has_its_rows_and_no_bytes(kind):
    recording = Recording("work", kind, counted=True)
    recording.log.rows = 7

    recording.first_request = True
    report = build.build(recording, FACTS)

    assert (report.kind, report.instrument, report.rows) == (kind, "counted", 7)
    for name in ("peak", "retained", "garbage", "net", "largest_evaluation"):
        assert getattr(report, f"{name}_bytes") is None


def test_the_facts_of_a_request_and_of_its_process_are_stored(settings):
    settings.MEMSIZE = {"RELEASE": "2024-05-01"}
    recording = Recording("/a/7/", "request", counted=True)
    recording.first_request = True
    report = build.build(recording, FACTS)
    summary = report.summary()

    assert (report.route, report.method, report.first_request) == ("/accounts/", "GET", True)
    assert (report.release, report.host, report.pid) == (
        "2024-05-01",
        socket.gethostname(),
        os.getpid(),
    )
    assert (summary.name, summary.method, summary.status) == ("/accounts/", "GET", 200)
    assert (summary.release, summary.host, summary.pid) == (report.release, report.host, report.pid)
    assert summary.first_request
    assert "/a/7/" not in str(report.document)


def test_without_usable_settings_a_report_is_built_with_the_defaults(settings):
    settings.MEMSIZE = {"TOP_TYPES": "many"}

    assert build.summary_of(Recording("work", counted=True), FACTS).release == ""
    assert shortened(net=wide(60)).net.others == 10


def test_the_requests_of_a_route_have_their_method_and_route_in_common():
    assert RequestFacts("/a/", "GET", 200).key == RequestFacts("/a/", "GET", 500).key
    assert RequestFacts("/a/", "GET").key != RequestFacts("/a/", "POST").key
    assert RequestFacts("x" * 300).key == ("", "x" * 254 + "\N{HORIZONTAL ELLIPSIS}")


def test_a_number_too_large_for_a_column_is_stored_as_the_largest():
    huge = Diff({"huge": -(2**70)}, {"huge": -(2**80)})
    evaluation = Evaluation("a.A", "raw", diff=Diff({"huge": 2**70}, {"huge": 2**80}))
    summary = Summary(rows=2**70, net=huge, peak=Amount(1, 2**80), evaluations=(evaluation,))

    report = build.report_of(summary)

    assert (report.rows, report.net_bytes) == (2**63 - 1, 1 - 2**63)
    assert (report.peak_bytes, report.largest_evaluation_bytes) == (2**63 - 1, 2**63 - 1)
    assert report.summary().net == Diff({"huge": 1 - 2**63}, {"huge": 1 - 2**63})


def test_a_name_is_stored_without_what_a_database_or_a_terminal_chokes_on():
    bad = "a\x00b\x1b[1m\u202e\ud800" + "c" * 70_000

    report = build.report_of(Summary(name=bad, release=bad, host=bad))

    for name, longest in (("route", 255), ("release", 100), ("host", 255)):
        text = getattr(report, name)
        assert text.startswith("a\ufffdb\ufffd[1m\ufffd\ufffdccc")
        assert len(text) == longest


def test_the_document_of_a_report_holds_all_figures_of_its_summary():
    summary = Summary(kind="block", name="import", rows=7, peak=Amount(1, 2), duration=0.5)

    report = build.report_of(summary)

    assert report.summary() == summary
    assert report.document == serialization.to_document(summary)


# What is left out


@needs_the_meter
@pytest.mark.django_db
def test_what_is_left_of_a_recording_that_was_cut_is_not_known(retained):
    create_accounts(5)
    with measure("import") as recording:
        retained.extend(Account.objects.all())
    recording.incomplete = True

    report = build.build(recording, RequestFacts("import"))
    summary = report.summary()

    assert report.incomplete
    assert summary.incomplete
    assert (report.retained_bytes, report.garbage_bytes) == (None, None)
    for name in ("alive", "retained", "garbage", "free_lists"):
        assert getattr(summary, name) is None, name
    assert [evaluation.retained for evaluation in summary.evaluations] == [None]
    # What is known all the same.
    assert report.peak_bytes == recording.peak.bytes > 0
    assert summary.allocated.bytes == recording.allocated.bytes
    assert summary.rows == 5


@needs_the_meter
@pytest.mark.django_db
def test_beyond_the_memory_of_the_meter_the_peak_is_a_lower_bound_and_what_is_left_not_known(
    settings, retained
):
    create_accounts(5)
    settings.MEMSIZE = {"METER_MEMORY": 1}
    with measure("import") as recording:
        retained.extend(Account.objects.all())
        retained.extend(object() for _ in range(100_000))

    report = build.build(recording, RequestFacts("import"))
    summary = report.summary()
    blocks = recording.not_remembered.blocks

    assert (recording.retained, recording.evaluations[0].retained) == (None, None)
    assert not report.incomplete
    assert (report.retained_bytes, report.garbage_bytes) == (None, None)
    for name in ("alive", "retained", "garbage", "free_lists"):
        assert getattr(summary, name) is None, name
    assert [evaluation.retained for evaluation in summary.evaluations] == [None]
    # What is known all the same.
    assert 30_000 < blocks < 100_000 <= summary.allocated.blocks
    assert summary.not_remembered.blocks == blocks
    assert summary.peak.blocks < 100_000 <= summary.peak.blocks + blocks
    assert not summary.is_peak_exact
    assert any(f"{blocks:,} of" in note for note in notes.notes(summary))


@pytest.mark.parametrize("number", [1, 3])
def test_as_many_types_of_each_table_are_stored_by_name_as_the_settings_say(settings, number):
    settings.MEMSIZE = {"TOP_TYPES": number}
    amount = Amount(9, 99, wide(5))
    figures = dict.fromkeys(DIVIDED, amount)

    summary = shortened(**figures, net=wide(5), near_peak=NearPeak(wide(5), "a.A", 3))

    tables = [getattr(summary, name).types for name in DIVIDED]
    for table in [*tables, summary.net, summary.near_peak.diff]:
        assert list(table) == [f"type{size}" for size in (5, 4, 3)][:number]
        assert table.others == 5 - number
        assert table.total == wide(5).total
    assert [getattr(summary, name) + Amount() for name in DIVIDED] == [Amount(9, 99)] * 3
    assert (summary.near_peak.model, summary.near_peak.rows) == ("a.A", 3)


def test_an_evaluation_has_fewer_types_stored_and_no_literals_of_its_statement():
    evaluation = Evaluation("a.A", "raw", sql="SELECT 'secret'", diff=wide(20), rows=3)

    (stored,) = shortened(evaluations=(evaluation,)).evaluations

    assert (stored.sql, stored.rows) == ("SELECT ?", 3)
    assert len(stored.diff) == EVALUATION_TYPES
    assert stored.diff.others == 20 - EVALUATION_TYPES
    assert stored.diff.total == wide(20).total


def test_the_largest_evaluations_are_stored_in_the_order_in_which_they_began():
    def evaluation(number):
        size = {"peak": Amount(1, number)} if number % 2 else {"diff": wide(number % 9)}
        return Evaluation("a.A", "raw", rows=number, **size)

    evaluations = tuple(evaluation(number) for number in range(2 * EVALUATIONS_STORED + 20))
    summary = shortened(evaluations=evaluations, evaluations_omitted=5)

    # All odd numbers from 30 have more bytes than any of the others.
    stored = [each.rows for each in summary.evaluations]
    assert stored == sorted(stored)
    assert len(stored) == EVALUATIONS_STORED
    expected = sorted(evaluations, key=lambda one: (one.size_at_peak or 0, one.rows))
    assert set(stored) == {one.rows for one in expected[-EVALUATIONS_STORED:]}
    assert summary.evaluations_omitted == 5 + EVALUATIONS_STORED + 20


def test_the_instances_of_evaluations_that_are_not_stored_are_counted():
    built = Instances({"a.A": 2, "a.B": 1})
    evaluations = tuple(
        Evaluation("a.A", "raw", rows=number, instances=built)
        for number in range(EVALUATIONS_STORED + 20)
    )
    summary = shortened(
        evaluations=evaluations, evaluations_omitted=5, omitted_instances=Instances({"a.C": 3})
    )

    assert dict(summary.omitted_instances) == {"a.A": 40, "a.B": 20, "a.C": 3}
    assert shortened(evaluations=evaluations[:3]).omitted_instances is None


def test_where_no_bytes_are_known_the_evaluations_with_most_rows_are_stored():
    rows = [*range(EVALUATIONS_STORED + 10, 0, -1)]
    evaluations = tuple(Evaluation("a.A", "raw", rows=number) for number in rows)

    stored = shortened(evaluations=evaluations).evaluations

    assert [each.rows for each in stored] == rows[:EVALUATIONS_STORED]


# What the meter knows


@needs_the_meter
@pytest.mark.django_db
def test_the_parts_of_what_is_alive_reach_the_report_with_their_types(retained):
    create_accounts(60)
    with measure("import") as recording:
        accounts = list(Account.objects.all())
        retained.extend(accounts[:20])
        cycle = accounts[20:50]
        cycle.append(cycle)
        del accounts, cycle

    summary = build.build(recording, RequestFacts("import")).summary()

    parts = summary.retained + summary.garbage + summary.free_lists
    assert parts.bytes == summary.alive.bytes <= summary.peak.bytes <= summary.allocated.bytes
    assert summary.retained.types[ACCOUNT].count == 20
    assert summary.garbage.types[ACCOUNT].count == 30
    assert summary.near_peak.diff[ACCOUNT].count == 60
    assert (summary.near_peak.model, summary.near_peak.rows) == ("app.Account", 60)
    assert summary.near_peak.site.file.endswith("test_reports_build.py")


@needs_the_meter
@pytest.mark.django_db
def test_an_evaluation_in_a_report_tells_what_is_retained_of_it(retained):
    create_accounts(60)
    with measure("import") as recording:
        retained.extend(Account.objects.all()[:20])
        list(Account.objects.all())

    report = build.build(recording, RequestFacts("import"))
    leak, bloat = report.summary().evaluations

    assert leak.retained.bytes > leak.alive.bytes / 3
    assert bloat.retained.bytes < bloat.alive.bytes / 3
    for evaluation in (leak, bloat):
        assert evaluation.allocated.bytes >= evaluation.peak.bytes >= evaluation.alive.bytes
        assert evaluation.alive.bytes > 20 * 48
