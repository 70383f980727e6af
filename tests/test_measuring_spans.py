"""The span of a context: threads and tasks are credited each with its own."""

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async

import django_memsize as memsize
from django_memsize import engine
from django_memsize.measuring import spans
from django_memsize.measuring.recording import Recording
from django_memsize.measuring.spans import in_span, open_span, stream_in_span, uncredited

if engine.Window is not None:
    from django_memsize.engine.compiled import hooks_installed

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


# The span of a context


def test_a_span_is_set_inside_its_block_and_the_one_around_it_afterwards():
    outer, inner = Recording("outer"), Recording("inner")
    assert open_span() is None
    with in_span(outer):
        assert open_span() is outer
        with in_span(inner):
            assert open_span() is inner
        with in_span(None):
            assert open_span() is None
        assert open_span() is outer
    assert open_span() is None


def test_a_block_that_raises_is_left():
    with pytest.raises(KeyError), in_span(Recording("work")):
        raise KeyError

    assert open_span() is None


def test_a_span_that_is_closed_is_no_longer_open():
    recording = Recording("work", counted=True)
    with in_span(recording):
        recording.close()

        assert spans.active_span() is recording
        assert open_span() is None


@pytest.mark.usefixtures("instrument")
def test_a_context_that_outlives_its_recording_is_not_recorded():
    with memsize.measure("block") as recording:
        context = contextvars.copy_context()

    assert context.run(open_span) is None
    assert recording.closed


def test_a_child_process_begins_outside_of_any_span():
    with in_span(Recording("work")):
        spans._Context().reset()

        assert open_span() is None


@pytest.mark.usefixtures("instrument")
def test_tasks_are_measured_each_for_itself():
    async def work(name):
        with memsize.measure(name) as recording:
            await asyncio.sleep(0.01)
            assert open_span() is recording
        return recording

    async def both():
        return await asyncio.gather(work("one"), work("two"))

    one, two = asyncio.run(both())

    assert (one.name, two.name) == ("one", "two")
    assert (one.in_flight, two.in_flight) == (1, 1)


# Streams


def test_the_rows_of_a_stream_are_made_inside_its_span_and_consumed_outside():
    recording, inside, ended = Recording("work", counted=True), [], []

    def rows():
        for number in (1, "two", 3):
            inside.append(open_span())
            yield number

    stream = stream_in_span(
        rows(), recording, lambda: None, lambda *told: ended.append(told), lambda error: False
    )
    for _ in stream:
        assert open_span() is None

    assert inside == [recording] * 3
    assert ended == [(3, {int: 2, str: 1})]


# Threads and tasks


@needs_the_meter
def test_threads_are_credited_each_with_its_own():
    recorded = {}
    begun = threading.Barrier(2, timeout=30)

    def work(name, size):
        with memsize.measure(name) as recorded[name]:
            begun.wait()
            for _ in range(50):
                objects = [bytes(1000) for _ in range(size)]
                time.sleep(0)
            begun.wait()
        return objects

    threads = [
        threading.Thread(target=work, args=("large", 5000)),
        threading.Thread(target=work, args=("small", 50)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    large, small = recorded["large"], recorded["small"]
    assert large.retained.types["bytes"].count == 5000
    assert small.retained.types["bytes"].count == 50
    assert small.peak.bytes < 250_000
    assert large.in_flight == small.in_flight == 1


@needs_the_meter
async def test_tasks_are_credited_each_with_its_own():
    async def work(name, size):
        with memsize.measure(name) as recording:
            objects = []
            for _ in range(50):
                objects.append(bytes(size))
                await asyncio.sleep(0)
        return recording, objects

    done = await asyncio.gather(work("large", 100_000), work("small", 100))

    (large, _), (small, _) = done
    assert 5_000_000 < large.retained.bytes < 5_020_000
    assert 5_000 < small.retained.bytes < 20_000


@needs_the_meter
async def test_a_task_that_is_begun_inside_belongs_to_the_span_that_began_it():
    objects = []

    async def inner():
        await asyncio.sleep(0)
        objects.append(bytes(1_000_000))

    with memsize.measure("block") as recording:
        await asyncio.create_task(inner())

    assert recording.retained.types["bytes"].size > 1_000_000


@needs_the_meter
async def test_a_cancelled_task_leaves_no_window_behind():
    async def endless():
        with memsize.measure("endless"):
            await asyncio.sleep(60)

    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not hooks_installed()


@needs_the_meter
async def test_code_called_in_a_thread_for_async_code_is_credited():
    with memsize.measure("block") as recording:
        objects = await sync_to_async(bytes)(1_000_000)

    assert recording.retained.types["bytes"].size > 1_000_000
    assert objects


@needs_the_meter
def test_async_code_called_from_sync_code_is_credited():
    async def work():
        await asyncio.sleep(0)
        return bytes(1_000_000)

    with memsize.measure("block") as recording:
        objects = async_to_sync(work)()

    assert recording.retained.types["bytes"].size > 1_000_000
    assert objects


@needs_the_meter
def test_a_pool_of_threads_is_credited_with_the_context_only():
    with ThreadPoolExecutor(1) as pool:
        with memsize.measure("with") as copied:
            context = contextvars.copy_context()
            first = pool.submit(context.run, bytes, 1_000_000).result()
        with memsize.measure("without") as bare:
            second = pool.submit(bytes, 1_000_000).result()

    assert copied.retained.types["bytes"].size > 1_000_000
    assert bare.allocated.bytes < 1_000_000
    assert first
    assert second


@needs_the_meter
def test_an_uncredited_block_is_credited_to_no_window():
    with memsize.measure("block") as recording:
        with uncredited():
            uncounted = bytes(1_000_000)
        counted = bytes(100_000)

    assert 100_000 < recording.allocated.bytes < 200_000
    assert len(uncounted) > len(counted)
