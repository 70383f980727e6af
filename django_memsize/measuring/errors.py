"""The error boundary: a fault of django-memsize is logged, and never reaches the program."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from ..formatting import plain
from ..values import ours
from . import source_files

logger = logging.getLogger("django_memsize")

_INTERVAL: Final = 60.0
"""Seconds between two warnings of the same kind."""

_LONGEST_MESSAGE: Final = 500


@ours
class RateLimitedWarning:
    """A warning that is logged at most once a minute."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def log(self, message: str, *args: object) -> None:
        """Log the warning, unless it was logged within the last minute. Raises nothing."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _INTERVAL
            # A filter or a handler of the program may raise; nothing is left to log that to.
            with contextlib.suppress(Exception):
                logger.warning(message, *args)


@ours
class ErrorBoundary:
    """A ``with`` block that swallows every ``Exception``, and logs the first of each minute.

    ``number`` counts the swallowed exceptions. A ``BaseException`` that is no ``Exception`` passes:
    an exit, an interrupt, the cancellation of a task. With ``only_ours`` an exception that was
    raised in code which django-memsize does not call passes as well: the handler of a signal, such
    as a time limit, may run while django-memsize is at work.
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
        # Where even the traceback cannot be read, the fault is taken for one of ours.
        with contextlib.suppress(Exception):
            if self._only_ours and not _was_raised_in_called_code(error.__traceback__):
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


def _was_raised_in_called_code(traceback: TracebackType | None) -> bool:
    """Return whether code raised that django-memsize calls: its own, Python's, Django's.

    The handler of a signal is code of the program, which nothing here calls.
    """
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
    try:
        return plain(str(error), _LONGEST_MESSAGE)
    except Exception:
        return "(its message cannot be read)"
