"""The error boundary: a fault of django-memsize is logged, and never reaches the program."""

from __future__ import annotations

import inspect
import itertools
import logging
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

from ..formatting import plain
from ..values import ours
from . import source_files

logger = logging.getLogger("django_memsize")

_INTERVAL: Final = 60.0
"""Seconds between two warnings of the same kind."""

_LONGEST_MESSAGE: Final = 500

_traceback_of: Final = BaseException.__dict__["__traceback__"].__get__
"""Reads the traceback of an exception without running code of its class."""


@ours
class _Swallowing:
    """A ``with`` block that swallows every ``Exception`` but that of a signal's handler."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        return isinstance(error, Exception) and not was_raised_by_signal_handler(error)


@ours
class RateLimitedWarning:
    """A warning that is logged at most once a minute."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def log(self, message: str, *args: object) -> None:
        """Log the warning, unless it was logged within the last minute. Raises no fault of it."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _INTERVAL
            # A filter or a handler of the program may raise; nothing is left to log that to.
            with _Swallowing():
                logger.warning(message, *args)


@ours
class ErrorBoundary:
    """A ``with`` block that swallows every ``Exception``, and logs the first of each minute.

    ``number`` counts the swallowed exceptions. A ``BaseException`` that is no ``Exception`` passes:
    an exit, an interrupt, the cancellation of a task. So does what the handler of a signal raises,
    such as a time limit, because it may run while django-memsize is at work. With ``only_ours`` any
    exception passes that was raised in code which django-memsize does not call.
    """

    __slots__ = ("_action", "_only_ours", "_warning", "number")

    def __init__(self, action: str, only_ours: bool = False) -> None:
        self._action = action
        self._only_ours = only_ours
        self._warning = RateLimitedWarning()
        self.number = 0

    def entering(self, make: Callable[[Any], Any], argument: object) -> _Entering:
        """Return a ``with`` block inside the context manager that ``make(argument)`` returns.

        Swallows the exceptions of making, entering and leaving the manager; those of the block
        pass. The block always runs. Its value is the manager, or None if there is none or it could
        not be entered.
        """
        return _Entering(self, make, argument)

    def __enter__(self) -> ErrorBoundary:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return isinstance(error, Exception) and self.swallows(error)

    def swallows(self, error: Exception) -> bool:
        """Log and count an exception; return False if it has to be raised again.

        For code that runs for each query, where a ``with`` block is too expensive::

            except Exception as error:
                if not boundary.swallows(error):
                    raise
        """
        if was_raised_by_signal_handler(error) or (self._only_ours and _is_of_the_program(error)):
            return False
        self.number += 1
        self._warning.log("%s failed: %s: %s", self._action, type(error).__name__, _message(error))
        return True


@ours
class _Entering:
    """The block that ``ErrorBoundary.entering()`` returns."""

    __slots__ = ("_argument", "_boundary", "_make", "_manager")

    def __init__(
        self, boundary: ErrorBoundary, make: Callable[[Any], Any], argument: object
    ) -> None:
        self._boundary = boundary
        self._make = make
        self._argument = argument
        self._manager: Any = None

    def __enter__(self) -> Any:
        with self._boundary:
            manager = self._make(self._argument)
            if manager is not None:
                manager.__enter__()
                self._manager = manager
        return self._manager

    def __exit__(self, *exception: object) -> None:
        if self._manager is not None:
            with self._boundary:
                self._manager.__exit__(*exception)


def was_raised_by_signal_handler(error: BaseException) -> bool:
    """Return whether the handler of a signal raised an exception, or what the handler called.

    CPython calls a handler with the number of the signal and with the frame that it interrupted
    (Modules/signalmodule.c): the frame before that of the handler in the traceback. A handler
    without a frame of its own, in C, is not recognised. False where the traceback cannot be read.
    """
    try:
        traceback = _traceback_of(error)
        while traceback is not None and traceback.tb_next is not None:
            interrupted, traceback = traceback.tb_frame, traceback.tb_next
            if _is_signal_handler(traceback.tb_frame, interrupted):
                return True
    except (MemoryError, RecursionError):
        return False
    return False


def _is_signal_handler(frame: FrameType, interrupted: FrameType) -> bool:
    code = frame.f_code
    has_varargs = code.co_flags & inspect.CO_VARARGS
    if code.co_filename.startswith(source_files.PACKAGE) or (
        code.co_argcount < 2 and not has_varargs
    ):
        return False
    names = frame.f_locals
    arguments = [names.get(name) for name in code.co_varnames[: code.co_argcount]]
    if has_varargs:
        further = names.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        arguments += further if type(further) is tuple else ()
    return any(
        second is interrupted and issubclass(type(first), int)
        for first, second in itertools.pairwise(arguments)
    )


def _is_of_the_program(error: Exception) -> bool:
    """Return whether code of the program raised, which django-memsize does not call.

    It calls its own code, Python's and Django's. False where the traceback cannot be read.
    """
    in_called_code = True
    with _Swallowing():
        in_called_code = _was_raised_in_called_code(_traceback_of(error))
    return not in_called_code


def _was_raised_in_called_code(traceback: TracebackType | None) -> bool:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return True
    frame = traceback.tb_frame
    file = frame.f_code.co_filename
    if file == source_files.TEXT and source_files.is_program_text(frame):
        return False
    return source_files.is_called_by_memsize(file)


def _message(error: Exception) -> str:
    """Return the message of an exception, which code of the program may make and fail to make."""
    with _Swallowing():
        return plain(str(error), _LONGEST_MESSAGE)
    return "(its message cannot be read)"
