"""``measure``: what a program says to have a span of its own measured."""

from __future__ import annotations

import functools
import inspect
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
"""The innermost block of ``measure`` in this context. Each knows the one around it."""
_contained: Final = ErrorBoundary("django-memsize: measuring", only_ours=True)


@ours
class measure:
    """Measure a block, or each call of a function, plain or async.

    ``with measure("import") as recording:`` gives the recording, complete once the block is left;
    an exception passes through unchanged. ``@measure("import")`` stands before a function. With
    ``save`` the recording is also stored as a report; a fault in that is logged, nothing more.
    """

    __slots__ = ("_name", "_save")

    def __init__(self, name: str, save: bool = False) -> None:
        self._name = name
        self._save = save

    def __enter__(self) -> Recording:
        with uncredited():
            recording = Recording(self._name)
            block = in_span(recording)
            block.outer_block = _blocks.get()
            _blocks.set(block)
            try:
                with _contained:
                    recording.open()
            except BaseException:  # an interrupt: nobody will leave what was not entered
                _blocks.set(block.outer_block)
                recording.discard()
                raise
        block.__enter__()
        return recording

    # Not *exception: the tuple would be on the heap while it is counted.
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
            if self._save and recording.save is not None:
                recording.save(recording)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return the function, each call of it measured."""
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
