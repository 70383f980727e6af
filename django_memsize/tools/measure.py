"""``measure``: a block or a function of the program as a recording."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from .. import engine
from ..measuring.errors import ErrorBoundary
from ..measuring.recording import Recording
from ..measuring.spans import in_span, uncredited
from ..values import OwnTuple, ours

_P = ParamSpec("_P")
_R = TypeVar("_R")

_Entry: TypeAlias = OwnTuple[Any]
"""A block of ``measure``, None if it could not be entered, and the entry around it."""

_blocks: ContextVar[_Entry | None] = ContextVar("memsize_blocks", default=None)
"""The entry of the innermost block of ``measure`` in this context."""

_contained: Final = ErrorBoundary("django-memsize: measuring", only_ours=True)

_WITHOUT_FIGURES: Final = Recording("(not measured)", counted=True)
"""The recording of every block that could not be entered: closed, incomplete, without figures."""

_WITHOUT_FIGURES.discard()


@ours
class measure:
    """Measure a block, or each call of a function, plain or async.

    ``with measure("import") as recording:`` yields a :class:`Recording`, whose figures are complete
    once the block is left. An exception of the block passes unchanged. ``@measure("import")``
    decorates a function. With ``save`` the recording is also stored as a report.

    A fault of measuring is logged. The block runs all the same; if there could be no recording at
    all, it yields one without figures.
    """

    __slots__ = ("_name", "_save")

    def __init__(self, name: str, save: bool = False) -> None:
        self._name = name
        self._save = save

    def __enter__(self) -> Recording:
        recording = None
        with _contained:
            recording = _enter_block(self._name)
        if recording is None:
            _blocks.set(OwnTuple((None, _blocks.get())))
            return _WITHOUT_FIGURES
        return recording

    # Not *exception: the tuple would be on the heap while a census counts it.
    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        # Before the variable is set: that allocates, and the context keeps what it allocates.
        window = None
        with _contained:
            window = engine.switch_window(None)
        block, outer = cast("_Entry", _blocks.get())
        _blocks.set(outer)
        if block is None:
            with _contained:
                engine.switch_window(window)
            return
        recording = cast("Recording", block.span)
        try:
            with _contained:
                recording.close()
        finally:
            with _contained:
                block.__exit__()
        with _contained, uncredited():
            recording.analyse()
        if self._save:
            with _contained, uncredited():
                _save(recording)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return the function, each call of it measured.

        Raises TypeError for a generator function: its caller runs between its rows.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("measure() cannot decorate a generator: measure the loop over it")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def measured_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _R]", measured_async)

        @functools.wraps(function)
        def measured(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self:
                return function(*args, **kwargs)

        return measured


def _enter_block(name: str) -> Recording:
    """Open a recording, and enter its block. Undoes all if an exception is raised meanwhile."""
    outer = _blocks.get()
    recording = None
    try:
        with uncredited():
            recording = _new_recording(name)
            block = in_span(recording)
            _blocks.set(OwnTuple((block, outer)))
            with _contained:  # without its first census a recording is incomplete, and still useful
                recording.open()
        block.__enter__()
    except BaseException:  # an interrupt, too: a block that is not entered will not be left
        _blocks.set(outer)
        if recording is not None:
            recording.discard()
        raise
    return recording


def _save(recording: Recording) -> None:
    """Store a recording where Django is ready for it."""
    if _is_django_ready():
        from ..reports.recordings import store  # needs the app registry

        store(recording)


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
