"""Callables of the program that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.utils.module_loading import import_string

from ..values import ours
from .errors import RateLimitedWarning, was_raised_by_signal_handler


@ours
class ProgramCallable:
    """The callable that one setting names. It may fail, and answer whatever it likes.

    Neither the message of its exception nor a wrong answer is logged: what a client sent may be in
    them. Each is logged once a minute at most.
    """

    __slots__ = ("_setting", "_wanted", "_warning")

    def __init__(self, setting: str, wanted: str) -> None:
        self._setting = setting
        self._wanted = wanted
        self._warning: Final = RateLimitedWarning()

    def answer(self, path: str, argument: object, is_usable: Callable[[Any], bool]) -> Any:
        """Return what the callable at a dotted path answers; None if it fails, or answers wrongly.

        ``is_usable(answer)`` returns whether an answer other than None can be used.
        """
        try:
            answer = import_string(path)(argument)
            if answer is None or is_usable(answer):
                return answer
        except Exception as error:
            if was_raised_by_signal_handler(error):
                raise
            self._warning.log(
                "django-memsize: the callable of %s (%s) failed: %s%s",
                self._setting,
                path,
                type(error).__name__,
                _place_of(error),
            )
        else:
            self._warning.log(
                "django-memsize: the callable of %s (%s) returned %s",
                self._setting,
                path,
                self._wanted,
            )
        return None


def _place_of(error: Exception) -> str:
    """Return where an exception was raised, to be put behind its name."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    return f" in {traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno}"
