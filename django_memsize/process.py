"""The state of this process: every object that changes while it runs, reset together after a fork.

A child of ``os.fork()`` has the parent's state, and only one of its threads: a lock may be held for
ever, and a queue may hold what the parent will write. So each object with such state registers here
at import, and is reset in the child.
"""

from __future__ import annotations

import functools
import os
import socket
from typing import Final, Protocol, TypeVar


class Resettable(Protocol):
    """An object whose state belongs to one process."""

    def reset(self) -> None:
        """Return to the state of a new process. Must not take a lock that a thread may hold."""


_State = TypeVar("_State", bound=Resettable)

_registered: Final[list[Resettable]] = []


def register(state: _State) -> _State:
    """Return ``state``, which is reset in each child process, in the order of registration."""
    _registered.append(state)
    return state


def reset() -> None:
    """Reset everything that is registered."""
    for state in _registered:
        state.reset()


@functools.cache
def host() -> str:
    """Return the name of this host. The system is asked once: other threads run meanwhile."""
    return socket.gethostname()


os.register_at_fork(after_in_child=reset)
