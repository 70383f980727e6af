"""The queue of the writer: reports as texts and numbers, bounded by number and by bytes."""

import gc

import pytest

from django_memsize.models import Report
from django_memsize.reports import queue
from django_memsize.reports.build import report_of
from django_memsize.reports.queue import Queue, Queued
from django_memsize.values import OURS, Summary


def report(**document):
    made = report_of(Summary(name="work", kind="block", started_at=1.0e9))
    made.document |= document
    return made


def test_a_report_is_the_same_after_it_was_queued():
    before = report()
    after = Queued(before).report()

    after.document = after.document.document()
    names = [field.attname for field in Report._meta.concrete_fields]
    assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]


def test_there_is_room_for_a_number_of_reports():
    waiting = Queue()
    item = Queued(report())

    assert [waiting.put(item) for _ in range(202)] == [True] * 200 + [False] * 2


@pytest.mark.parametrize("first", [True, False])
def test_there_is_room_for_so_many_bytes_and_for_one_report_that_is_larger(monkeypatch, first):
    large = Queued(report(text="x" * 5000))
    monkeypatch.setattr(queue, "MOST_BYTES", 6000)
    waiting = Queue([] if first else [Queued(report())])

    assert waiting.put(large) is first
    assert large.size > 5000


@pytest.mark.parametrize(("most", "is_by_bytes"), [(3, False), (50, True)])
def test_a_batch_is_full_by_its_reports_or_by_its_bytes(monkeypatch, most, is_by_bytes):
    items = [Queued(report(text="x" * 5000)) for _ in range(3)]
    monkeypatch.setattr(queue, "BATCH_REPORTS", most)
    monkeypatch.setattr(queue, "BATCH_BYTES", 3 * items[0].size if is_by_bytes else 10**6)

    assert [Queue(items[:number]).has_batch() for number in range(4)] == [False] * 3 + [True]


def test_a_batch_is_the_first_reports_which_stay_in_the_queue(monkeypatch):
    monkeypatch.setattr(queue, "BATCH_REPORTS", 3)
    items = [Queued(report()) for _ in range(5)]
    waiting = Queue(items)

    assert waiting.batch() == items[:3]
    assert len(waiting) == 5


def test_a_batch_has_few_bytes_and_at_least_one_report(monkeypatch):
    items = [Queued(report(text="x" * 5000)) for _ in range(3)]
    monkeypatch.setattr(queue, "BATCH_BYTES", 2 * items[0].size)
    assert Queue(items).batch() == items[:2]

    monkeypatch.setattr(queue, "BATCH_BYTES", 10)
    assert Queue(items).batch() == items[:1]
    assert Queue().batch() == []


def test_a_queued_report_is_no_object_of_the_program():
    item = Queued(report())

    held = gc.get_referents(item)
    tracked = [each for each in held if gc.is_tracked(each)]

    assert {type(each) for each in tracked} - {type} <= {*OURS, type(item.uid)}
    assert Report not in {type(each) for each in held}
