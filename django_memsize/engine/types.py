"""What C slots and class dictionaries say of a type, without running a line of its code.

No ``getattr``, ``isinstance``, ``==`` or ``hash`` touches a foreign object or class: a lazy object
would run a query, a metaclass its own ``__eq__``.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

# Bits of tp_flags: https://github.com/python/cpython/blob/main/Include/object.h
DISALLOW_INSTANTIATION: Final = 1 << 7
HEAPTYPE: Final = 1 << 9
HAVE_GC: Final = 1 << 14
_DICT_SUBCLASS: Final = 1 << 29
_TYPE_SUBCLASS: Final = 1 << 31

bases: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__bases__"].__get__
basicsize: Final[Callable[[type], int]] = type.__dict__["__basicsize__"].__get__
flags: Final[Callable[[type], int]] = type.__dict__["__flags__"].__get__
itemsize: Final[Callable[[type], int]] = type.__dict__["__itemsize__"].__get__
mro: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
namespace: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__
_module: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_qualname: Final[Callable[[type], object]] = type.__dict__["__qualname__"].__get__

_STOPS: Final = frozenset(
    map(
        id,
        (
            types.FunctionType,
            types.BuiltinFunctionType,
            types.CodeType,
            types.FrameType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
            types.ClassMethodDescriptorType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
        ),
    )
)
_MODULES: Final = frozenset((id(types.ModuleType),))

FROZENDICT: Final[Any] = getattr(builtins, "frozendict", None)
"""The built-in class of Python 3.15, which is no subclass of dict; None before."""

_FROZENDICTS: Final = frozenset() if FROZENDICT is None else frozenset((id(FROZENDICT),))


def name(kind: type) -> str:
    """Return ``module.qualname``, without ``builtins``; ``?`` for a part that is not a str."""
    module, qualname = _text(_module(kind)), _text(_qualname(kind))
    return qualname if module == "builtins" else f"{module}.{qualname}"


def is_heap_type(kind: type) -> bool:
    """Return whether the type was made at run time, as every class written in Python is."""
    return bool(flags(kind) & HEAPTYPE)


def is_dict(kind: type) -> bool:
    """Return whether the type is dict, frozendict, or a subclass of either."""
    return bool(flags(kind) & _DICT_SUBCLASS) or is_kind_of(kind, _FROZENDICTS)


def is_class(kind: type) -> bool:
    """Return whether instances of the type are classes."""
    return bool(flags(kind) & _TYPE_SUBCLASS)


def is_kind_of(kind: type, ancestors: frozenset[int]) -> bool:
    """Return whether the type is, or inherits from, a class at one of these addresses."""
    return not ancestors.isdisjoint(map(id, mro(kind)))


def stops(kind: type) -> bool:
    """Return whether a deep size stops at instances of the type.

    It stops at what belongs to the program and not to the data: classes, modules, functions, code
    and frames.
    """
    return id(kind) in _STOPS or is_class(kind) or is_kind_of(kind, _MODULES)


def keys_of(mapping: Any) -> Iterator[Any]:
    """Iterate over the keys of a dict or frozendict, past any ``__iter__`` of a subclass."""
    keys: Iterator[Any] = _base_of(mapping).__iter__(mapping)
    return keys


def items_of(mapping: Any) -> Any:
    """Return the items view of a dict or frozendict, past any ``items`` of a subclass."""
    return _base_of(mapping).items(mapping)


def _base_of(mapping: Any) -> Any:
    return FROZENDICT if is_kind_of(type(mapping), _FROZENDICTS) else dict


def _text(value: object) -> str:
    try:
        return str.__str__(value)  # copies an instance of a subclass, refuses all else
    except TypeError:
        return "?"
