"""The name of a view, from the callback that a URL pattern has, without running code of anybody.

=============================================  =========================================
callback                                       name
=============================================  =========================================
a function                                     ``shop.views.index``
``HistoryView.as_view()``                      ``shop.views.HistoryView``
a view of a REST framework's viewset           ``shop.views.OrderViewSet.list``
a view of django-ninja                         the operation of the method: ``shop.api.orders``
a function that a method made                  ``shop.api.OrderResource.wrap_view``, by ``self``
one that has a name of a view, as a text       ``shop.api.OrderResource.dispatch_list``
a method, such as those of the admin           ``shop.admin.OrderAdmin.changelist_view``
an object that is called                       the name of its class: ``shop.feeds.Latest``
a partial, or a function with ``__wrapped__``  what it calls
=============================================  =========================================

A decorator that does not use ``functools.wraps()`` is recognised by the variable that refers to
what it decorates.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from contextlib import suppress
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
)
from typing import Any, Final

from ..engine import types
from ..formatting import plain
from ..measuring.source_files import imported_path
from ..values import LONGEST_VIEW, OwnTuple, ours

_DEEPEST: Final = 32
"""Decorators around one another that are looked through."""

_MOST_VIEWS: Final = 4_000
"""Views that are remembered. A program may make a new one for each request."""

_VIEWS: Final = frozenset(
    ("view", "view_func", "view_fn", "view_function", "viewfunc", "inner_view")
)
"""The names that decorators of views give what they decorate."""

_FUNCTIONS: Final = frozenset(
    ("f", "fn", "func", "function", "wrapped", "decorated", "handler", "callback", "method")
)
"""Those of other decorators. A view may have a helper under such a name: what takes any arguments,
as a decorator does, is no view."""

_NAMES: Final = ("view_name", "view")
"""The names of variables with the name of what a function calls."""

_ANY_ARGUMENTS: Final = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

_CLASSES: Final = (("view_class", "view_class"), ("cls", "initkwargs"))
"""The attributes in which a function has the class whose view it is: Django's, REST framework's.
The other one must be there as well: any function may have a ``cls``."""

_func_of: Final = functools.partial.__dict__["func"].__get__
_name_of: Final = type.__dict__["__name__"].__get__
_module_of: Final = type.__dict__["__module__"].__get__


@ours
class _Actions(dict[str, str]):
    """The name with its action by the method of the request, in lower case."""

    __slots__ = ()


@ours
class View:
    """The view of a callback.

    ``decorators`` are the functions around it, each as its file below the entry of ``sys.path`` and
    the name of its code.
    """

    __slots__ = ("_actions", "_name", "decorators")

    def __init__(self, name: str, actions: _Actions, decorators: OwnTuple[OwnTuple[str]]) -> None:
        self._name = name
        self._actions = actions
        self.decorators = decorators

    def name(self, method: str) -> str:
        """Return the name of the view for the method of a request."""
        return self._actions.get(method.lower(), self._name) if self._actions else self._name


@ours
class _Known(weakref.ref[Any]):
    """A callback whose view is known."""

    __slots__ = ("view",)

    view: View


@ours
class _Views(dict[int, _Known]):
    __slots__ = ()


_views: Final = _Views()


def view_of(callback: object) -> View:
    """Return the view that a callback is, or belongs to."""
    known = _views.get(id(callback))
    if known is None or known() is not callback:
        view = _view_of(callback)
        with suppress(TypeError):  # its class has slots, and none for weak references
            known = _Known(callback)
            known.view = view
            if len(_views) >= _MOST_VIEWS:
                _views.clear()
            _views[id(callback)] = known
        return view
    return known.view


def _view_of(callback: object) -> View:
    view, actions, decorators = _undecorated(callback)
    name, named = plain(_name(view), LONGEST_VIEW), _operations_of(view)
    if type(actions) is dict:
        for method, action in list(actions.items()):
            if type(method) is str and type(action) is str:
                named[method] = plain(f"{name}.{action}", LONGEST_VIEW)
    return View(name, named, OwnTuple(decorators))


def _operations_of(view: object) -> _Actions:
    """Return the name by method of each function that a view of django-ninja calls."""
    named = _Actions()
    operations = _attribute(_self_of(view), "operations")
    for operation in operations if type(operations) is list else ():
        methods, function = _attribute(operation, "methods"), _attribute(operation, "view_func")
        if type(methods) in (list, set, tuple) and function is not None:
            name = plain(_name(_undecorated(function)[0]), LONGEST_VIEW)
            for method in methods:
                if type(method) is str:
                    named.setdefault(method.lower(), name)
    return named


def _self_of(view: object) -> object:
    """Return the object in whose method a function was made; None for anything else."""
    return _free_variable(view, "self")


def _free_variable(function: object, name: str) -> object:
    """Return a variable of what is around a function; None if it uses none of this name."""
    if type(function) is FunctionType:
        cells = function.__closure__ or ()
        for each, cell in zip(function.__code__.co_freevars, cells, strict=True):
            if each == name:
                with suppress(ValueError):  # the variable has no value
                    return cell.cell_contents
    return None


def _attribute(thing: object, name: str) -> Any:
    """Return an attribute of an instance from its dict alone; None if that has none."""
    with suppress(AttributeError):
        attributes = object.__getattribute__(thing, "__dict__")
        if type(attributes) is dict:
            return attributes.get(name)
    return None


def _undecorated(callback: object) -> tuple[object, object, list[OwnTuple[str]]]:
    """Return what decorators and partials call in the end, its actions, and the decorators.

    What they call is the class, if it is the view of one. ``functools.wraps()`` copies the class to
    each decorator around the view.
    """
    decorators: list[OwnTuple[str]] = []
    cls = actions = None
    for _ in range(_DEEPEST):
        its_class = _class_of_view(callback)
        if cls is not None and its_class is not cls:
            break
        if its_class is not None:
            cls, actions = its_class, getattr(callback, "actions", None)
        inner = _decorated(callback)
        if inner is None or (cls is not None and _class_of_view(inner) is not cls):
            break
        if type(callback) is FunctionType:
            code = callback.__code__
            decorators.append(OwnTuple((imported_path(code.co_filename), code.co_qualname)))
        callback = inner
    return callback if cls is None else cls, actions, decorators


def _class_of_view(callback: object) -> object:
    """Return the class whose view a function is; None for anything else.

    To ask a function for an attribute makes no dict for it, as to ask for its ``__dict__`` would.
    """
    if type(callback) is FunctionType:
        for attribute, other in _CLASSES:
            cls = getattr(callback, attribute, None)
            if issubclass(type(cls), type) and hasattr(callback, other):
                return cls
    return None


def _decorated(callback: object) -> object:
    """Return what a partial or a decorator calls; None for anything else."""
    kind = type(callback)
    if issubclass(kind, functools.partial):
        return _func_of(callback)
    if issubclass(kind, (type, MethodType)):
        return None
    for base in types.mro(kind):
        found = types.namespace(base).get("__wrapped__")
        if type(found) in (GetSetDescriptorType, MemberDescriptorType):  # of C, or of __slots__
            with suppress(AttributeError):
                return found.__get__(callback, kind)
        if found is not None:  # a property, which is code of the program
            return None
    with suppress(AttributeError):  # neither runs __getattr__(), nor makes a dict
        return object.__getattribute__(callback, "__wrapped__")
    return _in_closure(callback) if type(callback) is FunctionType else None


def _in_closure(function: FunctionType) -> object:
    """Return what a decorator without ``functools.wraps()`` decorates, if it is one."""
    code = function.__code__
    takes_any = bool(code.co_flags & _ANY_ARGUMENTS)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name in _VIEWS or (takes_any and name in _FUNCTIONS):
            try:
                content = cell.cell_contents
            except ValueError:  # the variable has no value yet
                continue
            if _is_called_alike(content, function):
                return content
    return None


def _is_called_alike(content: object, function: FunctionType) -> bool:
    """Return whether content takes a request: it is else a helper that the view calls."""
    if issubclass(type(content), functools.partial):
        content = _func_of(content)
    is_bound = type(content) is MethodType
    if type(content) is MethodType:
        content = content.__func__
    if type(content) is not FunctionType:
        return False
    first = _first_argument(content, is_bound)
    return first in ("*", "request", "req", _first_argument(function, False))


def _first_argument(function: FunctionType, is_bound: bool) -> str:
    """Return the name of the first argument; ``*`` if any number is taken instead."""
    code, at = function.__code__, int(is_bound)
    if code.co_argcount > at:
        return code.co_varnames[at]
    return "*" if code.co_flags & inspect.CO_VARARGS else ""


def _name(view: object) -> str:
    kind = type(view)
    if kind in (FunctionType, BuiltinFunctionType):
        return _name_by_maker(view) or f"{_text(view.__module__)}.{_text(view.__qualname__)}"  # type: ignore[attr-defined]
    if kind is MethodType:
        return f"{_owner(view.__self__)}.{_name_of_function(view.__func__)}"  # type: ignore[attr-defined]
    return _owner(view)


def _name_by_maker(function: Any) -> str:
    """Return the name of a function by the method that made it, which may have made many; or ""."""
    maker = _self_of(function)
    texts = (_free_variable(function, name) for name in _NAMES)
    text = next((each for each in texts if type(each) is str and each.isidentifier()), "")
    if maker is None and not text:
        return ""
    made_by, _, method = _text(function.__qualname__).partition(".<locals>")[0].rpartition(".")
    owner = f"{_text(function.__module__)}.{made_by or method}" if maker is None else _owner(maker)
    return f"{owner}.{text or method}"


def _owner(thing: object) -> str:
    """Return the name of a class, or of that of an instance."""
    if not issubclass(type(thing), type):
        return types.name(type(thing))
    cls: Any = thing
    full, name = types.name(cls), str(_name_of(cls))
    # The REST framework makes a class of a function, and gives it the name of the function.
    is_renamed = full.rpartition(".")[2] != name
    return f"{_text(_module_of(cls))}.{name}" if is_renamed else full


def _name_of_function(function: object) -> str:
    return str(function.__name__) if type(function) is FunctionType else "(method)"


def _text(name: object) -> str:
    return name if type(name) is str else "?"
