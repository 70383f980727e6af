"""One small file a process, in the temporary directory: what it made, stored and dropped.

The file is mapped into memory, so that a number reaches it without a system call, and outlives a
process that is killed. The process holds a lock on its file; a file that nobody locks is that of a
process that ended, whose losses the next process counts. POSIX locks belong to one process: a
forked child does not keep that of its parent, and PIDs of other containers do not matter.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import secrets
import stat
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..formatting import plain
from ..measuring.sampling import FIGURES
from ..values import Counts, ours
from .tally import NUMBERS, Cause, lost

try:
    import fcntl
except ImportError:  # Windows, where the file of a live process cannot be removed
    fcntl = None  # type: ignore[assignment]

_MAGIC: Final = b"MEMSIZE1"
_SUFFIX: Final = ".worker"
_SIZE: Final = 2048
_SIZE_OF_NUMBER: Final = 8

_INTEGERS: Final = ("pid", *NUMBERS, *FIGURES)
_FLOATS: Final = ("started_at", "sample_rate", "max_overhead", "overhead", "cpu", "error_at")
_TEXTS: Final = {"engine": 24, "instrument": 24, "release": 104, "error": 600}
"""The texts with the bytes that each has, two of which are its length."""


def _offsets() -> dict[str, int]:
    offsets, end = {}, len(_MAGIC)
    for name in (*_INTEGERS, *_FLOATS):
        offsets[name] = end
        end += _SIZE_OF_NUMBER
    for name, size in _TEXTS.items():
        offsets[name] = end
        end += size
    return offsets


_OFFSETS: Final = _offsets()


@dataclass(frozen=True, slots=True)
class Worker:
    """What the file of a process says."""

    numbers: Mapping[str, int]
    sampling: Mapping[str, int]
    """What was metered and refused when the file was last brought up to date."""
    pid: int
    started_at: float
    sample_rate: float
    max_overhead: float
    overhead: float
    """CPU seconds that measuring took when the file was last brought up to date."""
    cpu: float
    """CPU seconds of the process at the same time."""
    error_at: float
    engine: str
    instrument: str
    release: str
    error: str
    is_alive: bool

    @property
    def dropped(self) -> Counts:
        """The reports dropped so far, by cause, without those of none."""
        return Counts({str(c): self.numbers[c] for c in Cause if self.numbers[c]})

    @property
    def is_over_budget(self) -> bool:
        """Whether the overhead exceeded its budget, so that requests of the sample are skipped."""
        return self.sample_rate < 1 and self.overhead > self.max_overhead * self.cpu

    @property
    def lost(self) -> int:
        """The reports that a process which ended neither stored nor dropped."""
        return 0 if self.is_alive else lost(self.numbers)


@ours
class StateFile:
    """The file of this process."""

    __slots__ = ("_file", "_map", "path")

    def __init__(self, path: Path, file: int, mapped: mmap.mmap) -> None:
        self.path = path
        self._file = file
        self._map = mapped

    def set_number(self, name: str, number: int) -> None:
        """Store a whole number."""
        struct.pack_into("<q", self._map, _OFFSETS[name], number)

    def set_float(self, name: str, number: float) -> None:
        """Store a time or a share."""
        struct.pack_into("<d", self._map, _OFFSETS[name], number)

    def set_text(self, name: str, text: str) -> None:
        """Store the beginning of a text."""
        longest = _TEXTS[name] - 2
        stored = text.encode("utf-8", "replace")[:longest]
        offset = _OFFSETS[name]
        self._map[offset : offset + 2 + len(stored)] = struct.pack("<H", len(stored)) + stored

    def read(self) -> Worker | None:
        """Return what the file says."""
        return _parse(self._map[:], is_alive=True)

    def remove(self) -> None:
        """Remove the file of a process that has nothing to leave behind."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def close(self) -> None:
        """Close the descriptor, which releases the lock of this process. Raises nothing."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def folder_of(project: str) -> Path:
    """Return the folder for the processes of a project, whoever else uses the machine."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    key = hashlib.sha256(project.encode("utf-8", "replace")).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"django-memsize-{user}-{key}"


def create(folder: Path) -> StateFile:
    """Make the file of this process. Raises OSError."""
    _make_private(folder)
    name = f"{os.getpid()}-{secrets.token_hex(8)}"
    new = folder / f"{name}.new"
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _fill(file)
        mapped = mmap.mmap(file, _SIZE)
        _lock(file)
        # Under its final name only now: a file without a lock is one of a process that ended.
        path = new.rename(new.with_suffix(_SUFFIX))
    except BaseException:
        os.close(file)
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    state = StateFile(path, file, mapped)
    state.set_number("pid", os.getpid())
    state.set_float("started_at", time.time())
    return state


def _fill(file: int) -> None:
    """Write the whole file, so that it has its place on the disk.

    A page of a file that is only made longer gets its place when it is first written through the
    mapping. Where the disk is full then, the system kills the process (SIGBUS).
    """
    if os.write(file, _MAGIC.ljust(_SIZE, b"\0")) < _SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def workers(folder: Path, own: StateFile | None = None) -> list[Worker]:
    """Return the processes that have a file in the folder, in the order of their beginning."""
    found = []
    for path in _paths(folder):
        with contextlib.suppress(OSError):
            # Closing any descriptor of a file would release the lock of this process on it.
            if own is not None and path == own.path:
                found.append(own.read())
            else:
                found.append(_inspect(path))
    return sorted(filter(None, found), key=_beginning)


def take_ended(folder: Path, own: StateFile | None = None) -> list[Worker]:
    """Remove the files of processes that ended, and return what they say, each once for all."""
    taken = []
    for path in _paths(folder):
        if own is None or path != own.path:
            with contextlib.suppress(OSError), _ended(path) as ended:
                if ended is not None:
                    path.unlink()  # only one process succeeds
                    taken.append(ended)
    return taken


def _paths(folder: Path) -> list[Path]:
    try:
        _require_private(folder)
        return sorted(folder.glob(f"*{_SUFFIX}"))
    except OSError:
        return []


def _inspect(path: Path) -> Worker | None:
    with _ended(path) as ended:
        return ended or _read(path, is_alive=True)


@contextlib.contextmanager
def _ended(path: Path) -> Iterator[Worker | None]:
    """Yield what a file says whose process ended, locked meanwhile; None while it runs."""
    file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            yield None
            return
        yield _read(path, is_alive=False)
    finally:
        os.close(file)


def _lock(file: int) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read(path: Path, *, is_alive: bool) -> Worker | None:
    return _parse(path.read_bytes(), is_alive=is_alive)


def _parse(content: bytes, *, is_alive: bool) -> Worker | None:
    if len(content) != _SIZE or not content.startswith(_MAGIC):
        return None
    values: dict[str, Any] = {}
    for name in _INTEGERS:
        (values[name],) = struct.unpack_from("<q", content, _OFFSETS[name])
    for name in _FLOATS:
        (values[name],) = struct.unpack_from("<d", content, _OFFSETS[name])
    for name in _TEXTS:
        (length,) = struct.unpack_from("<H", content, _OFFSETS[name])
        text = content[_OFFSETS[name] + 2 : _OFFSETS[name] + 2 + length]
        values[name] = plain(text.decode("utf-8", "replace"), _TEXTS[name])
    numbers = Counts({name: values.pop(name) for name in NUMBERS})
    sampling = Counts({name: values.pop(name) for name in FIGURES})
    return Worker(numbers=numbers, sampling=sampling, is_alive=is_alive, **values)


def _beginning(worker: Worker) -> float:
    return worker.started_at


def _make_private(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _require_private(folder)


def _require_private(folder: Path) -> None:
    """Raise OSError unless the folder belongs to this user alone: others may write beside it."""
    found = folder.lstat()
    is_own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    is_shared = hasattr(os, "getuid") and found.st_mode & 0o077
    if not stat.S_ISDIR(found.st_mode) or not is_own or is_shared:
        raise PermissionError(f"{folder} is not a folder of this user alone")
