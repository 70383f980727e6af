"""What the meter tells reaches the table of reports whole."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_memsize import engine, measure
from django_memsize.models import Report
from django_memsize.reports import recordings
from django_memsize.values import Amount
from tests.app.models import Account, Author
from tests.visits import WITH_EVALUATIONS, create_accounts

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(engine.Window is None, reason="there is no meter"),
]

ACCOUNT = "tests.app.models.Account"
MEASURES = ("allocated", "peak", "alive", "retained", "garbage", "free_lists")


@pytest.fixture(autouse=True)
def _measured(settings):
    settings.MEMSIZE = WITH_EVALUATIONS


@pytest.fixture
def kept():
    """Return what a leak keeps, and empty it at the end."""
    return []


def stored(recording):
    recordings.store(recording)
    return Report.objects.get()


def test_the_columns_are_those_of_the_recording(kept):
    create_accounts(50)
    with measure("import") as recording:
        kept.extend(Author.objects.all())

    report = stored(recording)

    assert report.instrument == "meter"
    for name in MEASURES:
        amount = getattr(recording, name)
        columns = getattr(report, f"{name}_blocks"), getattr(report, f"{name}_bytes")
        assert columns == (amount.blocks, amount.bytes), name
        assert getattr(report.summary(), name) == Amount(*columns), name
    assert report.net_bytes == report.retained_bytes


def test_what_is_retained_dead_and_parked_is_what_is_alive(kept):
    create_accounts(50)
    with measure("import") as recording:
        kept.extend(Author.objects.all())

    report = stored(recording)

    parts = report.retained_bytes + report.garbage_bytes + report.free_lists_bytes
    assert parts == report.alive_bytes <= report.peak_bytes <= report.allocated_bytes


def test_the_tables_tell_what_is_retained_what_is_dead_and_the_largest_moment(kept):
    create_accounts(60)
    with measure("import") as recording:
        accounts = list(Account.objects.all())
        kept.extend(accounts[:20])
        cycle = accounts[20:50]
        cycle.append(cycle)
        del accounts, cycle

    summary = stored(recording).summary()

    assert dict(summary.types.rows)[ACCOUNT].count == 20
    assert dict(summary.garbage_types.rows)[ACCOUNT].count == 30
    assert dict(summary.moment.types.rows)[ACCOUNT].count == 60
    assert (summary.moment.model, summary.moment.rows) == ("app.Account", 60)
    assert summary.moment.site.file.endswith("test_reports.py")


def test_an_evaluation_tells_what_is_left_of_it(kept):
    create_accounts(60)
    with measure("import") as recording:
        kept.extend(Account.objects.all()[:20])
        list(Account.objects.all())

    leak, bloat = stored(recording).summary().loadings

    assert leak.retained > leak.alive / 3
    assert bloat.retained < bloat.alive / 3
    for loading in (leak, bloat):
        assert loading.allocated >= loading.peak >= loading.alive > 20 * 48


def test_what_is_left_of_a_recording_cut_short_is_not_known():
    with measure("import") as recording:
        list(Author.objects.all())
    recording.incomplete = True

    report = stored(recording)

    assert (report.retained_bytes, report.garbage_bytes, report.net_bytes) == (None, None, None)
    assert report.peak_bytes > 0
    assert [one.retained for one in report.summary().loadings] == [None]


def test_a_census_leaves_the_columns_of_the_meter_empty(settings):
    settings.MEMSIZE = WITH_EVALUATIONS | {"INSTRUMENT": "census"}
    with measure("import") as recording:
        list(Author.objects.all())

    report = stored(recording)

    assert report.instrument == "census"
    for name in MEASURES:
        assert getattr(report, f"{name}_blocks") is None
        assert getattr(report, f"{name}_bytes") is None
    assert not report.summary().is_metered


def test_a_report_of_the_meter_is_one_insert(kept):
    create_accounts(50)
    with measure("import") as recording:
        kept.extend(Author.objects.all())

    with CaptureQueriesContext(connection) as captured:
        recordings.store(recording)

    written = [one["sql"] for one in captured if one["sql"].startswith(("INSERT", "UPDATE"))]
    assert len(written) == 1


def test_a_request_is_stored_once_it_is_really_over(client):
    create_accounts(200)
    with recordings.collecting() as reports:
        response = client.get("/accounts/response/")
        assert response.status_code == 200
        assert reports == []

        recordings.analyse_now()

    (report,) = reports
    assert report.retained_bytes is not None
    assert report.peak_bytes > 100 * 200
