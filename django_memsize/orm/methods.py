"""The table of the ORM's methods: each kind of evaluation, declared once.

The table holds text only, so that a reader of stored reports needs no import of Django's ORM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..values import ours


@ours
@dataclass(frozen=True, slots=True)
class Caller:
    """A function of Django that evaluates querysets for a purpose of its own.

    ``file`` is the end of the path of its source file, with ``/`` between the folders.
    """

    file: str
    function: str


@ours
@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A method of Django through which rows are loaded, and which is replaced by a wrapper.

    ``cls`` is the dotted path of the class. ``wrapper`` is a key of ``evaluations.WRAPPERS``.
    """

    cls: str
    name: str
    wrapper: str


@ours
@dataclass(frozen=True, slots=True, repr=False)
class Method:
    """A kind of evaluation.

    ``phrase`` follows the name of the model on screens. An evaluation is of this kind if one of
    ``callers`` is on the stack, or else if ``_iterable_class`` of its queryset is one of
    ``iterables``, names of classes in ``django.db.models.query``. ``makes_instances`` is whether
    rows of these iterables are model instances. ``entry_points`` are replaced by wrappers.
    """

    kind: str
    phrase: str
    iterables: tuple[str, ...] = ()
    makes_instances: bool = True
    callers: tuple[Caller, ...] = ()
    entry_points: tuple[EntryPoint, ...] = ()


_QUERYSET: Final = "django.db.models.query.QuerySet"
_RAW: Final = "django.db.models.query.RawQuerySet"
_DESCRIPTORS: Final = (
    "/django/contrib/contenttypes/fields.py",
    "/django/db/models/fields/related_descriptors.py",
)

LAZY: Final = "lazy"
PREFETCH: Final = "prefetch"
RAW: Final = "raw"
UPDATE: Final = "update"

METHODS: Final = (
    Method(
        "instances",
        phrase="",
        iterables=("ModelIterable",),
        entry_points=(
            EntryPoint(_QUERYSET, "_fetch_all", "evaluation"),
            EntryPoint(_QUERYSET, "_iterator", "iterator"),
            EntryPoint(_QUERYSET, "aiterator", "async iterator"),
        ),
    ),
    Method("values", phrase="as values", iterables=("ValuesIterable",), makes_instances=False),
    Method(
        "values_list",
        phrase="as values_list",
        iterables=("ValuesListIterable", "NamedValuesListIterable", "FlatValuesListIterable"),
        makes_instances=False,
    ),
    Method(
        RAW,
        phrase="as raw",
        entry_points=(
            EntryPoint(_RAW, "_fetch_all", "evaluation"),
            EntryPoint(_RAW, "iterator", "iterator"),
        ),
    ),
    Method(
        PREFETCH,
        phrase="by prefetch_related()",
        callers=(Caller("/django/db/models/query.py", "prefetch_one_level"),),
    ),
    Method(
        LAZY,
        phrase="by a relation not loaded before",
        callers=(
            *(Caller(file, "__get__") for file in _DESCRIPTORS),
            # Since Django 6.1: the relation of one instance, loaded for its peers as well.
            *(Caller(file, "fetch_many") for file in _DESCRIPTORS),
        ),
    ),
    Method(
        "deferred",
        phrase="for deferred fields",
        callers=(Caller("/django/db/models/query_utils.py", "__get__"),),
    ),
    Method(
        "refresh",
        phrase="by refresh_from_db()",
        callers=(Caller("/django/db/models/base.py", "refresh_from_db"),),
    ),
    Method(
        "delete",
        phrase="for delete()",
        callers=(Caller("/django/db/models/deletion.py", "collect"),),
    ),
    # An update of a model with a parent, or with a limit, loads the keys of the rows first.
    Method(
        UPDATE,
        phrase="for update()",
        makes_instances=False,
        entry_points=(
            EntryPoint(
                "django.db.models.sql.compiler.SQLUpdateCompiler", "pre_sql_setup", "keys of update"
            ),
        ),
    ),
)

_PHRASES: Final = {method.kind: method.phrase for method in METHODS}


def phrase(kind: str) -> str:
    """Return what follows the name of the model on screens, with a space before it unless empty.

    A kind without a row in the table is the class name of a library's or the program's iterable.
    """
    text = _PHRASES.get(kind, f"as {kind}")
    return f" {text}" if text else ""


def callers_by_file() -> dict[str, dict[str, str]]:
    """Return, by the end of a file's path, the kind by function name."""
    files: dict[str, dict[str, str]] = {}
    for method in METHODS:
        for caller in method.callers:
            files.setdefault(caller.file, {})[caller.function] = method.kind
    return files
