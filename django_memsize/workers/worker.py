"""The present process as a worker: its file, and the losses of processes that ended."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from .. import conf, engine, process
from ..measuring import overhead, sampling
from ..values import ours
from . import state_file
from .state_file import StateFile, Worker
from .tally import Cause, tally, untold


@ours
class _Current:
    """The file of this process, if it has one."""

    __slots__ = ("file",)

    def __init__(self) -> None:
        self.file: StateFile | None = None

    def reset(self) -> None:
        if self.file is not None:
            self.file.close()  # that of the parent process, which keeps its lock
        self.file = None


_current: Final = process.register(_Current())


def begin(project: str) -> None:
    """Make the file of this process, unless it has one.

    Without a place for files there is none, which is no fault.
    """
    if _current.file is not None:
        return
    with contextlib.suppress(OSError, ValueError):
        file = state_file.create(state_file.folder_of(project))
        file.set_text("engine", engine.name)
        _current.file = file
        tally.mirror_to(file)
        update()


def take_over(project: str) -> None:
    """Count what processes that ended have lost, if this process has a file for it."""
    if _current.file is not None:
        for ended in state_file.take_ended(state_file.folder_of(project), _current.file):
            _inherit(ended)


def update() -> None:
    """Write what changes while the process runs, beside the numbers of reports."""
    file, config = _current.file, conf.active()
    if file is not None:
        file.set_float("overhead", overhead.total())
        file.set_float("cpu", time.process_time())
        for name, number in sampling.figures().items():
            file.set_number(name, number)
        if config is not None:
            file.set_float("sample_rate", config.sample_rate)
            file.set_float("max_overhead", config.max_overhead)
            file.set_text("instrument", config.instrument)
            file.set_text("release", config.release)


def note_error(text: str) -> None:
    """Write why a report could not be stored."""
    if _current.file is not None:
        _current.file.set_text("error", text)
        _current.file.set_float("error_at", time.time())


def end() -> None:
    """Remove the file at the end of the process, unless it has losses that nobody was told."""
    file = _current.file
    if file is not None and not tally.untold():
        tally.mirror_to(None)
        _current.file = None
        file.remove()


def workers(project: str) -> list[Worker]:
    """Return the processes of a project on this host, those that ended with what they lost.

    Without a place for files there are none.
    """
    with contextlib.suppress(OSError):
        return state_file.workers(state_file.folder_of(project), _current.file)
    return []


def _inherit(ended: Worker) -> None:
    """Count the losses of a process that ended as if they were of this one, to be told once."""
    drops = untold(ended.numbers)
    drops[Cause.LOST] = drops.get(Cause.LOST, 0) + ended.lost
    for cause, number in drops.items():
        if number:
            tally.inherit(cause, number)
