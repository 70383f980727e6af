"""Output of the subcommands: text or JSON, for any encoding, to a terminal, a file or a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from typing import Any, Final, Protocol

from django.core.management.base import CommandError, OutputWrapper

from .. import formatting
from ..models import Report
from ..screens import terminal
from ..screens.documents import document_of

READER_IS_GONE: Final = 141
"""The exit code if stdout is a closed pipe: 128 + SIGPIPE, as a shell reports ``yes | head``.

Python ignores SIGPIPE and raises BrokenPipeError instead.
"""


class Console(Protocol):
    """The part of ``rich.console.Console`` that is used here."""

    is_terminal: bool

    def print(self, *objects: Any, markup: bool, soft_wrap: bool) -> None:
        """Print text in colours."""


class Output:
    """Where a subcommand prints its answer."""

    def __init__(
        self,
        stdout: OutputWrapper,
        stderr: OutputWrapper,
        options: Mapping[str, Any],
        console: Console | None = None,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._console = console
        self._is_quiet = options["verbosity"] == 0
        self._top: int = options["top"]
        self.is_json: bool = options["format"] == "json"

    def write(self, text: str) -> None:
        """Print text to stdout, in colours on a terminal."""
        text = _encodable(text, self._stdout)
        with _failures():
            if self._console is not None and self._console.is_terminal:
                self._console.print(text, markup=False, soft_wrap=True)
            else:
                self._stdout.write(text)
            self._stdout.flush()

    def write_json(self, document: Any) -> None:
        """Print a document to stdout."""
        with _failures():
            self._stdout.write(json.dumps(document, indent=2, default=str))
            self._stdout.flush()

    def write_reports(self, reports: Sequence[Report]) -> None:
        """Print the last of several reports, below a table of all; as JSON, each of them."""
        if self.is_json:
            self.write_json([document_of(report) for report in reports])
            return
        summaries = [(_heading(report), report.summary()) for report in reports]
        if len(summaries) > 1:
            self.write(terminal.runs_table(summaries) + "\n\nThe last of them:\n")
        heading, summary = summaries[-1]
        view = formatting.plain(reports[-1].view, 255)
        heading += f", view {view}" if view else ""
        others = reports[-1].retained_by_others()
        self.write(terminal.report(summary, self._top, heading, others))

    def note(self, text: str) -> None:
        """Print a line about the command itself to stderr, unless ``--verbosity`` is 0."""
        if not self._is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print an error that does not end the command to stderr."""
        with suppress(OSError):  # a warning that nobody reads is not worth a failure
            self._stderr.write(text)
            self._stderr.flush()

    def around_program(self) -> AbstractContextManager[None]:
        """Return a context for the user's code: with JSON it prints to stderr, not to stdout."""
        return _stdout_to_stderr() if self.is_json else _flushed_stdout()


def flush_stdout() -> None:
    """Flush the output of the user's code and of argparse.

    Exits silently if stdout is a closed pipe, and with an error if writing fails otherwise.
    """
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        with _failures():
            sys.stdout.flush()
    except CommandError as error:
        sys.exit(f"{type(error).__name__}: {error}")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _close_stdout()
        sys.exit(READER_IS_GONE)
    except OSError as error:
        _close_stdout()
        raise CommandError(f"The output cannot be written: {error}") from error


def _close_stdout() -> None:
    """Redirect stdout to ``os.devnull``, or the interpreter fails again when it flushes at exit.

    See "Note on SIGPIPE" in CPython's Doc/library/signal.rst.
    """
    with suppress(OSError, ValueError):  # stdout may be an object without a file below it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _encodable(text: str, stream: OutputWrapper) -> str:
    """Return the text with a question mark for each character that the stream cannot encode."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    """Exit silently if the user's code prints to a closed pipe."""
    try:
        yield
    except CommandError as error:
        # The closed pipe may be another one, such as a socket of the code. Only one more write
        # shows that it is stdout, because the failed write left nothing in the buffer.
        if isinstance(error.__cause__, BrokenPipeError):
            with _failures():
                sys.stdout.write("\n")
                sys.stdout.flush()
        raise
    with _failures():
        sys.stdout.flush()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect ``sys.stdout`` and file descriptor 1 to stderr.

    Replacing ``sys.stdout`` alone does not suffice: a logging handler keeps the stream that it was
    made with, and a child process inherits the file descriptor.
    """
    with redirect_stdout(sys.stderr):
        try:
            saved = os.dup(1)
        except OSError:  # a process without a stdout
            yield
            return
        try:
            _flush(sys.__stdout__)
            os.dup2(2, 1)
            yield
        finally:
            _flush(sys.__stdout__)
            os.dup2(saved, 1)
            os.close(saved)


def _flush(stream: Any) -> None:
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()


def _heading(report: Report) -> str:
    number = f"Report {report.pk}" if report.pk else "Not stored"
    status = report.summary().status
    answer = "" if status is None else f" -> {status}"
    return f"{number}: {formatting.plain(str(report), 300)}{answer}"
