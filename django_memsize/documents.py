"""The two JSON documents of a report, written and read in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .layout import plain
from .values import Loading, Site, TopTypes, TypeTotal

VERSION: Final = 1

_LARGEST: Final = 2**63 - 1
_NAME: Final = 200
_SQL: Final = 4000
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


def types_of(document: Mapping[str, Any] | None) -> TopTypes:
    """Return the table of types that a document holds; an empty one for an empty document."""
    if not document:
        return TopTypes()
    rows = tuple((name, TypeTotal(count, size)) for name, count, size in document["rows"])
    other = TypeTotal(*document["other"])
    return TopTypes(rows, document["others"], other, document["comparable"])


def loadings_document(
    loadings: Iterable[Loading], left_out: int, unmeasured: int
) -> dict[str, Any]:
    """Return the loadings of rows as JSON has them, and how many more there were."""
    return {
        "version": VERSION,
        "loadings": list(map(_loading_document, loadings)),
        "left_out": left_out,
        "unmeasured": unmeasured,
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


def _loading_document(loading: Loading) -> dict[str, Any]:
    site = loading.site
    return {
        "model": plain(loading.model, _NAME),
        "kind": plain(loading.kind, _NAME),
        "rows": stored_number(loading.rows),
        "duration": loading.duration,
        "site": site and [plain(site.file, _NAME), site.line, plain(site.function, _NAME)],
        "sql": plain(_without_literals(loading.sql[: 2 * _SQL]), _SQL),
        "database": plain(loading.database, _NAME),
        "depth": loading.depth,
        "streamed": loading.streamed,
        "over_budget": loading.over_budget,
        "types": None if loading.types is None else types_document(loading.types),
    }


def _loading_of(document: Mapping[str, Any]) -> Loading:
    known = dict(document)
    site, types = known.pop("site"), known.pop("types")
    return Loading(
        **known,
        site=Site(*site) if site else None,
        types=None if types is None else types_of(types),
    )
