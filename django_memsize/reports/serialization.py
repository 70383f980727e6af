"""The two JSON documents of a report, written and read in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..formatting import plain
from ..values import SQL_STORED, CallSite, Instances, Loading, TopMoment, TopTypes, TypeTotal

VERSION: Final = 2
"""Since 2 a loading has ``times`` and ``instances``, and a site may have a template. What was
stored before is read as ever."""

UNREADABLE: Final = (AttributeError, LookupError, TypeError, ValueError)
"""What reading a document raises that another version wrote."""

_LARGEST: Final = 2**63 - 1
_NAME: Final = 200
_LITERAL: Final = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|$)", re.DOTALL)


def types_document(types: TopTypes) -> dict[str, Any]:
    """Return a table of types as JSON has it."""
    return {
        "version": VERSION,
        "rows": [[plain(name, _NAME), *_numbers(total)] for name, total in types.rows],
        "others": types.others,
        "other": _numbers(types.other),
        "comparable": types.comparable,
    }


def tables_document(
    types: TopTypes,
    garbage: TopTypes,
    free_lists: TopTypes,
    moment: TopMoment | None,
    meter_bytes: int | None = None,
) -> dict[str, Any]:
    """Return a table of types with those beside it that only a meter can make."""
    return types_document(types) | {
        "garbage": types_document(garbage),
        "free_lists": types_document(free_lists),
        "moment": None if moment is None else _moment_document(moment),
        "meter_bytes": meter_bytes,
    }


def types_of(document: Mapping[str, Any] | None) -> TopTypes:
    """Return the table of types that a document holds; an empty one for an empty document."""
    if not document:
        return TopTypes()
    rows = tuple((name, TypeTotal(count, size)) for name, count, size in document["rows"])
    other = TypeTotal(*document["other"])
    return TopTypes(rows, document["others"], other, document["comparable"])


def table_of(document: Mapping[str, Any] | None, name: str) -> TopTypes:
    """Return a table that stands beside that of types: an empty one where there is none."""
    return types_of(document.get(name) if document else None)


def moment_of(document: Mapping[str, Any] | None) -> TopMoment | None:
    """Return the moment that a document holds, if any."""
    moment = document.get("moment") if document else None
    if not moment:
        return None
    site, types = moment["site"], types_of(moment["types"])
    return TopMoment(moment["model"], moment["rows"], CallSite(*site) if site else None, types)


def loadings_document(
    loadings: Iterable[Loading],
    omitted: int,
    unmeasured: int,
    statements: int = 0,
    cursor_rows: int = 0,
) -> dict[str, Any]:
    """Return the loadings of rows as JSON has them, how many more there were, and what else ran."""
    return {
        "version": VERSION,
        "loadings": list(map(_loading_document, loadings)),
        "omitted": omitted,
        "unmeasured": unmeasured,
        "statements": stored_number(statements),
        "cursor_rows": stored_number(cursor_rows),
    }


def loadings_of(document: Mapping[str, Any]) -> tuple[Loading, ...]:
    """Return the loadings of rows that a document holds."""
    return tuple(map(_loading_of, document.get("loadings", ())))


def stored_number(number: int) -> int:
    """Return the number, or the nearest one that a column of 64 bits holds."""
    return max(-_LARGEST, min(number, _LARGEST))


def _numbers(total: TypeTotal) -> list[int]:
    return [stored_number(total.count), stored_number(total.size)]


def _without_literals(sql: str) -> str:
    """Return a statement with ``?`` for what is within single quotes.

    Of the ORM's statements none has any; one written by hand may have anything there.
    """
    return _LITERAL.sub("?", sql)


def _site_document(site: CallSite | None) -> list[Any] | None:
    if site is None:
        return None
    place = [plain(site.file, _NAME), site.line, plain(site.function, _NAME)]
    return [*place, plain(site.template, _NAME), site.template_line] if site.template else place


def _moment_document(moment: TopMoment) -> dict[str, Any]:
    return {
        "model": plain(moment.model, _NAME),
        "rows": stored_number(moment.rows),
        "site": _site_document(moment.site),
        "types": types_document(moment.types),
    }


def _loading_document(loading: Loading) -> dict[str, Any]:
    return {
        "model": plain(loading.model, _NAME),
        "kind": plain(loading.kind, _NAME),
        "rows": stored_number(loading.rows),
        "duration": loading.duration,
        "site": _site_document(loading.site),
        "sql": plain(_without_literals(loading.sql[: 2 * SQL_STORED]), SQL_STORED),
        "database": plain(loading.database, _NAME),
        "depth": loading.depth,
        "streamed": loading.streamed,
        "over_budget": loading.over_budget,
        "types": None if loading.types is None else types_document(loading.types),
        "allocated": loading.allocated,
        "peak": loading.peak,
        "alive": loading.alive,
        "retained": loading.retained,
        "times": loading.times,
        "instances": {
            plain(model, _NAME): stored_number(number)
            for model, number in loading.instances.items()
        },
    }


def _loading_of(document: Mapping[str, Any]) -> Loading:
    known = dict(document)
    site, types = known.pop("site"), known.pop("types")
    known["instances"] = Instances(known.get("instances", {}))
    return Loading(
        **known,
        site=CallSite(*site) if site else None,
        types=None if types is None else types_of(types),
    )
