"""From a thread of asgiref's ``sync_to_async()`` to the coroutine that waits for the thread.

The stack of the thread ends in ``SyncToAsync.thread_handler()``. The coroutine is suspended; its
frames are reached through the tasks of its event loop.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType
from typing import Any, Final

from asgiref.sync import SyncToAsync

THREAD_HANDLER: Final = SyncToAsync.thread_handler.__code__
"""The code of the frame with which the work of a thread begins."""

_CALLER: Final = SyncToAsync.__call__.__code__

_WAITS: Final = (0, 0.0001, 0.0003, 0.001)
"""Seconds of sleep before each search for the coroutine.

The thread may begin before the coroutine is suspended, and only a suspended coroutine is found.
"""


def awaiting_frames(handler: FrameType) -> list[FrameType]:
    """Return the frames of the coroutine that waits for the thread of ``handler``, innermost last.

    ``handler`` is a frame of ``THREAD_HANDLER``. The list is empty if no task waits for the thread.
    """
    caller, loop = handler.f_locals["self"], handler.f_locals["loop"]
    for seconds in _WAITS:
        if seconds:
            time.sleep(seconds)
        for task in asyncio.all_tasks(loop):
            frames = list(_suspended_frames(task.get_coro()))
            if any(_is_call_of(frame, caller) for frame in frames):
                return frames
    return []


def _is_call_of(frame: FrameType, caller: object) -> bool:
    return frame.f_code is _CALLER and frame.f_locals["self"] is caller


def _suspended_frames(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frame of a suspended coroutine, then of each awaitable that it awaits in turn."""
    while awaitable is not None:
        if isinstance(awaitable, CoroutineType):
            frame, awaitable = awaitable.cr_frame, awaitable.cr_await
        elif isinstance(awaitable, AsyncGeneratorType):
            frame, awaitable = awaitable.ag_frame, awaitable.ag_await
        else:
            # CPython's async_generator_asend, between "async for" and its generator, has no
            # attribute that leads to the generator (Objects/genobject.c).
            referents = gc.get_referents(awaitable)
            generators = (each for each in referents if isinstance(each, AsyncGeneratorType))
            awaitable = next(generators, None)
            continue
        if frame is not None:
            yield frame
