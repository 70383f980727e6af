"""What became of retained bytes reaches the rollups; of what else it does: requests_survivors."""

import time

import pytest

from django_memsize.measuring.errors import ErrorBoundary
from django_memsize.measuring.recording import Recording
from django_memsize.measuring.survivors import survivors
from django_memsize.reports import following
from django_memsize.reports.rollup_writer import RollupWriter
from django_memsize.reports.rollups import rollups
from django_memsize.reports.thresholds import ENOUGH_LATER
from django_memsize.values import LIVE, RUN, OwnTuple, Survival
from django_memsize.values import rollup as names

ROUTE = OwnTuple(("GET", "/leak/"))


@pytest.fixture(autouse=True)
def _nothing_else():
    rollups.reset()
    yield
    rollups.reset()


@pytest.mark.parametrize(
    ("source", "later", "number"), [(LIVE, ENOUGH_LATER, 1), (RUN, ENOUGH_LATER, 0), (LIVE, 3, 0)]
)
def test_what_was_followed_of_traffic_is_rolled_up(monkeypatch, source, later, number):
    """Unless that ended before it could tell anything."""
    concluded = [(OwnTuple((source, *ROUTE)), Survival(later, 1000, 300))]
    monkeypatch.setattr(type(survivors), "note_request", lambda *_: concluded)
    monkeypatch.setattr(type(survivors), "is_following", True)

    following.note_request(Recording("leak", "request", counted=True), ROUTE, source)

    rows = rollups.take(10)
    assert [row.rollup[names.FOLLOWED].sum for row in rows] == [1000] * number
    assert [row.rollup[names.SURVIVED].sum for row in rows] == [300] * number


def test_the_writer_looks_at_it_where_no_request_does(monkeypatch):
    swept = []
    monkeypatch.setattr(following, "sweep", lambda: swept.append(1))
    rollups.sample(time.time())  # as after a request
    writer, now = RollupWriter(), time.time()
    writer.look(now)
    assert swept == []
    writer.look(now + 120)
    assert swept == [1]


def test_a_fault_of_it_costs_no_more_than_what_it_would_tell(monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("broken")

    for name in ("note_request", "known", "follow", "sweep"):
        monkeypatch.setattr(type(survivors), name, fail)
    monkeypatch.setattr(type(survivors), "is_following", True)
    # Another one, which has not logged a fault within this minute.
    monkeypatch.setattr(following, "_contained", ErrorBoundary("following what requests retained"))
    recording = Recording("leak", "request", counted=True)
    recording.close()

    following.note_request(recording, ROUTE, LIVE)
    following.sweep()
    assert following.analyse(recording, ROUTE, LIVE, ()) == ()
    assert recording.analysed
    assert "following what requests retained" in caplog.text
