"""Which words of a statement are names of the program's tables and columns, and which may be data.

An alias may be made of data: the name of an annotation, of a filtered relation, of a key of JSON.
"""

from __future__ import annotations

import re
from typing import Final

from django.apps import apps

from .. import process
from ..values import ours

_SHORT: Final = 2
"""Characters of an alias that is stored: ``a``, ``t1``."""

_OF_DJANGO: Final = re.compile(
    r"[T-Z][0-9]{1,3}|(?:__)?col[0-9]{1,3}|__orderbycol[0-9]{1,3}|__count|subquery|qual[0-9]{1,3}"
)
"""The aliases that Django's compilers make (django/db/models/sql/compiler.py, query.py)."""

_PREFETCHED: Final = "_prefetch_related_val_"
"""How the alias of a column begins that a prefetch needs (related_descriptors.py)."""

_SQL: Final = frozenset(
    """
    all and any array as asc at between bigint binary blob bool boolean by cascade case cast char
    character clob collate contains cross current date datetime day decimal desc distinct div
    double else end except exists explain false fetch filter first float following for force from
    full glob group groups having hour ignore ilike in index inner inserted int integer intersect
    interval into is isnull join json jsonb key last lateral left like limit locked match
    materialized minus minute mod mode month natural next no not notnull nowait null nulls number
    numeric of offset on only or order ordinality outer over overlaps partition precision preceding
    prior range real recursive regexp returning right rlike row rows second select separator set
    share sibling signed similar skip smallint sounds start symmetric table tablesample text then
    ties time timestamp timestamptz to true uescape unbounded union unknown unsigned update use
    using uuid values varchar varchar2 nvarchar2 nclob varying when where window with within without
    xor year zone
    """.split()
)
"""Words of SQL that may follow a value, and types that may follow AS."""

_BEFORE_ALIAS: Final = frozenset({"as", "end", "false", "null", "true"})
"""Words of SQL that an alias may follow: AS, and those that end a value."""


@ours
class _Names(set[str]):
    """The names of the tables and columns of all models, in lower case."""

    __slots__ = ("models",)

    def __init__(self) -> None:
        self.models = -1

    def reset(self) -> None:
        """Do nothing: a child process has the same models."""

    def read(self) -> _Names:
        """Return the names, read again if a model was added."""
        models = apps.get_models(include_auto_created=True, include_swapped=True)
        if self.models != len(models):
            for model in models:
                self.update(model._meta.db_table.lower().strip('"').split('"."'))
                self.update(
                    field.column.lower() for field in model._meta.concrete_fields if field.column
                )
            self.models = len(models)
        return self


_names: Final = process.register(_Names())

of_models: Final = _names.read


def is_harmless(name: str) -> bool:
    """Return whether a name that is none of a model may be stored: Django's own, or a short one."""
    return (
        len(name) <= _SHORT
        or _OF_DJANGO.fullmatch(name) is not None
        or (name.startswith(_PREFETCHED) and name.removeprefix(_PREFETCHED).lower() in of_models())
    )


def is_alias(word: str) -> bool:
    """Return whether a word that follows AS, a value or a table is an alias that is not stored."""
    return word.lower() not in _SQL and not is_harmless(word)


def may_precede_alias(lower: str) -> bool:
    """Return whether an alias may follow a word, given in lower case: AS, a value, a name."""
    return lower not in _SQL or lower in _BEFORE_ALIAS
