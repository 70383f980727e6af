"""The line that awaits, where a thread of sync_to_async() loads the rows."""

import asyncio
from collections import Counter

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_memsize.measuring.spans import in_span
from django_memsize.orm import coroutines
from tests.app.models import Book
from tests.books import line_of

pytest_plugins = ["tests.orm_fixtures"]


async def view_that_gets():
    return await Book.objects.aget(title="Book 1")


async def view_that_loops():
    async for book in Book.objects.all():
        assert book.title


async def view_that_iterates():
    async for book in Book.objects.aiterator(chunk_size=4):
        assert book.title


async def view_that_awaits_another():
    return await view_that_gets()


async def view_with_a_synchronous_function():
    return await sync_to_async(synchronous_function)()


def synchronous_function():
    return list(Book.objects.all())


ASYNC_SITES = [
    (view_that_gets, "view_that_gets", 'return await Book.objects.aget(title="Book 1")'),
    (view_that_loops, "view_that_loops", "async for book in Book.objects.all():"),
    (
        view_that_iterates,
        "view_that_iterates",
        "async for book in Book.objects.aiterator(chunk_size=4):",
    ),
    (
        view_that_awaits_another,
        "view_that_gets",
        'return await Book.objects.aget(title="Book 1")',
    ),
    (
        view_with_a_synchronous_function,
        "synchronous_function",
        "return list(Book.objects.all())",
    ),
]


@pytest.mark.parametrize(("view", "function", "text"), ASYNC_SITES)
@pytest.mark.usefixtures("_thread_of_async_code")
async def test_the_call_site_in_async_code_is_the_line_that_awaits(recording, view, function, text):
    with in_span(recording):
        await view()

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line_of(evaluation)) == (function, text)


@pytest.mark.usefixtures("_thread_of_async_code")
async def test_a_coroutine_that_is_not_suspended_yet_is_waited_for(monkeypatch, recording):
    """The thread may begin before the coroutine is suspended."""
    looks = []

    def suspended(awaited):
        looks.append(awaited)
        return iter(()) if len(looks) == 1 else suspended_by_now(awaited)

    suspended_by_now = coroutines._suspended_frames
    task = asyncio.current_task()
    monkeypatch.setattr(coroutines, "_suspended_frames", suspended)
    monkeypatch.setattr(asyncio, "all_tasks", lambda loop: {task})
    with in_span(recording):
        await view_that_gets()

    (evaluation,) = recording.evaluations
    assert evaluation.site.function == "view_that_gets"
    assert len(looks) == 2


@pytest.mark.usefixtures("_thread_of_async_code")
async def test_the_call_sites_of_gathered_tasks_are_each_its_own(recording):
    views = [view_that_gets, view_that_loops, view_that_iterates, view_that_gets]

    with in_span(recording):
        await asyncio.gather(*(view() for view in views))

    times = {one.site.function: one.times for one in recording.evaluations}
    assert times == Counter(view.__name__ for view in views)


@pytest.mark.parametrize(("view", "function", "text"), ASYNC_SITES)
def test_the_call_site_in_async_code_called_by_sync_code_is_the_line_that_awaits(
    books, recording, view, function, text
):
    with in_span(recording):
        async_to_sync(view)()

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line_of(evaluation)) == (function, text)
