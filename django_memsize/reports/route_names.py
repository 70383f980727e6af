"""The name that tells requests of one URL pattern apart, where one view answers for everything.

The callable of ``ROUTE`` gives it. Where that gives none, it is the class of the page that Wagtail
served.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from django.http import HttpRequest
from django.urls import ResolverMatch

from .. import conf, process
from ..engine import types
from ..formatting import plain
from ..measuring.callables import ProgramCallable
from ..measuring.spans import in_span
from ..values import ours

LONGEST_NAME: Final = 80
"""Characters of a name."""

_MOST_NAMES: Final = 100
"""Names of one pattern: each is a route of its own, with its requests to measure and its figures.
Further ones are added up under one name, because a callable may return what a client sent."""

_MOST_PATTERNS: Final = 1_000

OTHER: Final = "other"
"""The name of requests whose name is one too many."""

_WAGTAIL: Final = "_wagtail_route_for_request"
"""Where ``Page.route_for_request()`` of wagtail/models/pages.py leaves the page that it found."""

_callable: Final = ProgramCallable("ROUTE", "neither None nor a str")


@ours
class _Names(set[str]):
    __slots__ = ()


@ours
class _ByPattern(dict[str, _Names]):
    __slots__ = ()


@ours
class _Known:
    """The names of this process by pattern."""

    __slots__ = ("_by_pattern",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._by_pattern = _ByPattern()

    def admit(self, pattern: str, name: str) -> str:
        """Return the name, or the one under which what is too much is added up."""
        names = self._by_pattern.get(pattern)
        if names is None:
            if len(self._by_pattern) >= _MOST_PATTERNS:
                return OTHER
            names = self._by_pattern[pattern] = _Names()
        if name not in names:
            if len(names) >= _MOST_NAMES:
                return OTHER
            names.add(name)
        return name


_known: Final = process.register(_Known())


def name_in_route(request: HttpRequest, match: ResolverMatch, pattern: str) -> str:
    """Return what is added to the route of a request that is over; "" for nothing."""
    config = conf.active()
    name = None
    if config is not None and config.route:
        with in_span(None):  # what the callable loads is not the request's
            answer = _callable.answer(config.route, match, _is_text)
        name = None if answer is None else _exact(answer)
    if name is None:
        name = _page_class(request)
    return _known.admit(pattern, plain(name, LONGEST_NAME)) if name else ""


def _page_class(request: HttpRequest) -> str:
    """Return the label of the class of Wagtail's page; "" if the request was not for a page."""
    result = request.__dict__.get(_WAGTAIL)
    page = None if result is None else inspect.getattr_static(result, "page", None)
    if page is None:
        return ""
    options: Any = types.namespace(type(page)).get("_meta")
    label = getattr(options, "label", None)  # a property of Django's Options
    return label if type(label) is str else types.name(type(page))


def _is_text(answer: object) -> bool:
    return issubclass(type(answer), str)


def _exact(text: str) -> str:
    """Return the characters of a text, such as a member of ``TextChoices``.

    No code of a subclass of str runs.
    """
    return str.__getitem__(text, slice(None))
