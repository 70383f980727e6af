"""What requests retained is followed: what becomes of it reaches later reports, and the rollups."""

from __future__ import annotations

from typing import Final

from ..measuring.errors import ErrorBoundary
from ..measuring.instruments import Watched
from ..measuring.recording import Recording
from ..measuring.survivors import Concluded, Key, survivors
from ..values import LIVE, RUN, OwnTuple, Survival
from . import fates
from .rollups import rollups

_contained: Final = ErrorBoundary("django-memsize: following what requests retained")


def analyse(
    recording: Recording, route: OwnTuple[str], source: str, older: Watched
) -> OwnTuple[Survival]:
    """Analyse a closed recording, and have what it retained followed.

    Returns what became of what earlier requests of its route retained. A first request fills
    caches, so what it retains is not followed. ``older`` is as `Recording.analyse` takes it.
    """
    key = _key(source, route)
    may_follow = recording.kind == "request" and not recording.first_request
    window = recording.analyse(older, may_follow and survivors.wants(key))
    known: OwnTuple[Survival] = OwnTuple()
    with _contained:  # a report without it is still useful
        known = survivors.known(key, looks_at_types=source == RUN)
        if window is not None:
            survivors.follow(key, window, recording.route)
    return known


def note_request(recording: Recording, route: OwnTuple[str], source: str) -> None:
    """Take the end of a request, metered or counted. Costs next to nothing for most."""
    if not survivors.is_following:
        return
    with _contained:
        _roll_up(survivors.note_request(_key(source, route), recording.started))


def sweep() -> None:
    """Follow nothing longer than is worth it, in a process that has no requests any more."""
    with _contained:
        _roll_up(survivors.sweep())


def forget(source: str) -> None:
    """Follow nothing of a source any more."""
    survivors.forget(source)


def _roll_up(concluded: Concluded) -> None:
    for (source, *route), survival in concluded:
        if source == LIVE and fates.counts(survival):
            rollups.add_survival(OwnTuple(route), survival)


def _key(source: str, route: OwnTuple[str]) -> Key:
    return OwnTuple((source, *route))
