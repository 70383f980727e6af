"""``memprofile status``: what is measured, what the processes made and lost, what is stored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from .. import conf, engine
from ..checks import MIDDLEWARE
from ..measuring.sampling import OWED, REFUSED, ROUTES
from ..models import Report
from ..reports import database, drops
from ..screens import status
from ..screens.status import Sampling, Storage
from ..values import Reason
from ..workers import worker
from ..workers.state_file import Worker
from ..workers.tally import INHERITED, MADE, State
from . import Subcommand
from .database import reading
from .output import Output

_MOST_COUNTED: Final = 10_000
"""Reports are counted up to this number: a full count reads the whole table."""


class Status(Subcommand):
    """Prints whether reports are made and stored, and why not."""

    name = "status"
    help = "what is measured, stored and dropped, by each process of this host"

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the status."""
        sampling, storage = _sampling(), _storage()
        workers = worker.workers(database.identity())
        if output.is_json:
            output.write_json(
                {
                    "sampling": dataclasses.asdict(sampling),
                    "storage": dataclasses.asdict(storage),
                    "workers": [_document(each) for each in workers],
                }
            )
            return
        output.write(status.text(sampling, storage, workers, time.time()))


def _sampling() -> Sampling:
    config = conf.config()
    given = getattr(settings, conf.NAME, {})
    return Sampling(
        enabled=config.enabled,
        has_middleware=MIDDLEWARE in settings.MIDDLEWARE,
        sample_rate=config.sample_rate,
        is_set="SAMPLE_RATE" in given,
        debug=settings.DEBUG,
        instrument=config.instrument,
        max_overhead=config.max_overhead,
        exclude=config.exclude,
        sample_first=config.sample_first,
        sample_interval=config.sample_interval,
        sample_rates=dict(config.sample_rates),
        sample=config.sample,
        engine=engine.name,
        has_meter=engine.Window is not None,
    )


def _storage() -> Storage:
    """Return what is stored. A database that does not answer is a part of the answer."""
    alias = database.alias()
    file = str(database.own_file(alias) or "")
    try:
        database.prepare(alias)
        with reading(alias):
            if not database.has_table(alias):
                return Storage(alias, file, has_table=False)
            known = Report.objects.order_by()[: _MOST_COUNTED + 1].count()
            latest: datetime | None = (
                Report.objects.order_by("-pk").values_list("started_at", flat=True).first()
            )
            size = database.size(alias)
        return Storage(
            alias,
            file,
            reports=min(known, _MOST_COUNTED),
            has_more=known > _MOST_COUNTED,
            size=size,
            latest=None if latest is None else latest.timestamp(),
        )
    except (DatabaseError, ImproperlyConfigured) as error:
        return Storage(alias, file, error=drops.describe(error))


def _document(each: Worker) -> dict[str, Any]:
    return {
        "pid": each.pid,
        "is_alive": each.is_alive,
        "started_at": each.started_at,
        "made": each.numbers[MADE],
        "waiting": each.numbers[State.WAITING] if each.is_alive else 0,
        "queued": each.numbers[State.QUEUED] if each.is_alive else 0,
        "stored": each.numbers[State.STORED],
        "dropped": dict(each.dropped),
        "taken_over": each.numbers[INHERITED],
        "lost": each.lost,
        "engine": each.engine,
        "instrument": each.instrument,
        "sample_rate": each.sample_rate,
        "overhead_cpu_seconds": each.overhead,
        "cpu_seconds": each.cpu,
        "is_over_budget": each.is_over_budget,
        "refused_by_budget": each.sampling[REFUSED],
        "routes": each.sampling[ROUTES],
        "routes_owed": each.sampling[OWED],
        "metered": {reason: each.sampling[reason] for reason in Reason if each.sampling[reason]},
        "release": each.release,
        "error": each.error,
        "error_at": each.error_at or None,
    }
