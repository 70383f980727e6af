"""``measure``: a block or a function of the program as a recording."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar, cast

from ..measuring.errors import ErrorBoundary
from ..measuring.recording import Recording
from ..measuring.spans import in_span, uncredited
from ..values import ours

_P = ParamSpec("_P")
_R = TypeVar("_R")

_blocks: ContextVar[in_span | None] = ContextVar("memsize_blocks", default=None)
"""The innermost block of ``measure`` in this context; each has the block around it."""

_contained: Final = ErrorBoundary("django-memsize: measuring", only_ours=True)


@ours
class measure:
    """Measure a block, or each call of a function, plain or async.

    ``with measure("import") as recording:`` yields a :class:`Recording`, whose figures are complete
    once the block is left. An exception of the block passes unchanged. ``@measure("import")``
    decorates a function. With ``save`` the recording is also stored as a report; if that fails, it
    is logged.
    """

    __slots__ = ("_name", "_save")

    def __init__(self, name: str, save: bool = False) -> None:
        self._name = name
        self._save = save

    def __enter__(self) -> Recording:
        with uncredited():
            recording = _new_recording(self._name)
            block = in_span(recording)
            block.outer_block = _blocks.get()
            _blocks.set(block)
            try:
                with _contained:
                    recording.open()
            except BaseException:  # an interrupt: a block that is not entered will not be left
                _blocks.set(block.outer_block)
                recording.discard()
                raise
        block.__enter__()
        return recording

    # Not *exception: the tuple would be on the heap while a census counts it.
    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        block = cast("in_span", _blocks.get())
        _blocks.set(block.outer_block)
        recording = cast("Recording", block.span)
        try:
            with _contained:
                recording.close()
        finally:
            block.__exit__()
        with uncredited():
            with _contained:
                recording.analyse()
            if self._save and _is_django_ready():
                from ..reports.recordings import store  # needs the app registry

                store(recording)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return the function, each call of it measured.

        Raises TypeError for a generator function: its caller runs between its rows.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("measure() cannot decorate a generator: measure the loop over it")
        name, save = self._name, self._save
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def measured_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with measure(name, save):
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _R]", measured_async)

        @functools.wraps(function)
        def measured(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with measure(name, save):
                return function(*args, **kwargs)

        return measured


def _new_recording(name: str) -> Recording:
    """Return a recording as the settings say; with the default options where there are none."""
    if not _is_django_ready():
        return Recording(name)
    from ..reports.recordings import new_recording  # needs the app registry

    return new_recording(name)


def _is_django_ready() -> bool:
    """Return whether Django has loaded its apps, and django-memsize is one of them."""
    django_apps = sys.modules.get("django.apps")
    return (
        django_apps is not None
        and django_apps.apps.ready
        and django_apps.apps.is_installed("django_memsize")
    )
