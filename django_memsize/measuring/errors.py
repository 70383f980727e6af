"""What becomes of a fault of ours: the program does not notice, the log says it once a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ..formatting import plain
from ..values import ours
from . import source_files

logger = logging.getLogger("django_memsize")

_SILENCE = 60.0


@ours
class RateLimitedWarning:
    """A line of the log that is written at most once a minute."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def log(self, message: str, *args: object) -> None:
        """Log a warning, unless there was one within the last minute. Raises nothing."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _SILENCE
            try:
                logger.warning(message, *args)
            except Exception:
                pass  # a filter or a handler of the program's; there is nowhere left to say so


@ours
class ErrorBoundary:
    """Swallows every ``Exception`` of a ``with`` block, and logs the first of each minute.

    Counts in ``number`` what it swallowed. Leaves alone what is no ``Exception``: an exit, an
    interrupt, the cancelling of a task. With ``only_ours`` also what was raised in code that we do
    not call: the handler of a signal, a time limit say, which may strike while we are at work.
    """

    __slots__ = ("_doing", "_only_ours", "_reminder", "number")

    def __init__(self, doing: str, only_ours: bool = False) -> None:
        self._doing = doing
        self._only_ours = only_ours
        self._reminder = RateLimitedWarning()
        self.number = 0

    def entering(self, make: Callable[[Any], Any], argument: object) -> _Entering:
        """Return a ``with`` block inside the context manager that ``make(argument)`` returns.

        The manager's faults are swallowed, those of the block are not. The block is run in any
        case, and given None where there is no manager, or it failed to enter.
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
        """Swallow what was caught, or tell that it is to be raised again.

        For the few places that are run so often that a ``with`` block is felt::

            except Exception as error:
                if not contained.swallows(error):
                    raise
        """
        try:
            if self._only_ours and not _was_called_by_us(error.__traceback__):
                return False
        except Exception:
            pass  # then it was ours all the more
        self.number += 1
        self._reminder.log("%s failed: %s: %s", self._doing, type(error).__name__, _said(error))
        return True


@ours
class _Entering:
    __slots__ = ("_argument", "_contained", "_make", "_manager")

    def __init__(
        self, contained: ErrorBoundary, make: Callable[[Any], Any], argument: object
    ) -> None:
        self._contained = contained
        self._make = make
        self._argument = argument
        self._manager: Any = None

    def __enter__(self) -> Any:
        with self._contained:
            manager = self._make(self._argument)
            if manager is not None:
                manager.__enter__()
                self._manager = manager
        return self._manager

    def __exit__(self, *exception: object) -> None:
        if self._manager is not None:
            with self._contained:
                self._manager.__exit__(*exception)


def _was_called_by_us(traceback: TracebackType | None) -> bool:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is None or source_files.is_called_by_memsize(
        traceback.tb_frame.f_code.co_filename
    )


def _said(error: Exception) -> str:
    try:
        return plain(str(error), 500)
    except Exception:
        return "(its message failed, too)"
