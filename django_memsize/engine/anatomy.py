"""What can be said of a type, and of the size of its instances, without running a line of its code.

Every answer comes from C slots and from the class dictionaries of the method resolution order. No
``getattr``, ``isinstance``, ``==`` or ``hash`` touches a foreign object or class: a lazy object
would run a query, a metaclass its own ``__eq__``.
"""

from __future__ import annotations

import datetime
import gc
import io
import operator
import struct
import sys
import types
from collections import Counter
from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

# Bits of tp_flags: https://github.com/python/cpython/blob/main/Include/object.h
_DISALLOW_INSTANTIATION: Final = 1 << 7
_HEAPTYPE: Final = 1 << 9
_HAVE_GC: Final = 1 << 14
_DICT_SUBCLASS: Final = 1 << 29
_TYPE_SUBCLASS: Final = 1 << 31

mro: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_basicsize: Final[Callable[[type], int]] = type.__dict__["__basicsize__"].__get__
bases: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__bases__"].__get__
namespace: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__
_flags: Final[Callable[[type], int]] = type.__dict__["__flags__"].__get__
_itemsize: Final[Callable[[type], int]] = type.__dict__["__itemsize__"].__get__
_module: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_qualname: Final[Callable[[type], object]] = type.__dict__["__qualname__"].__get__

_made_for: Final[Callable[[types.MethodDescriptorType], type]] = (
    types.MethodDescriptorType.__dict__["__objclass__"].__get__
)

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

_CACHED_INTS: Final = frozenset(map(id, range(-5, 257)))

_WORD: Final = tuple.__itemsize__

_ZONE_OF: Final[dict[int, Callable[[Any], object]]] = {
    id(kind): kind.__dict__["tzinfo"].__get__ for kind in (datetime.datetime, datetime.time)
}

# BytesIO's adds its bytes, which a walk of 3.12 and later meets as the object that they are; that
# of Struct, before 3.14, reads what an instance has only once it is initialised.
_TELLING_FIXED_PART: Final = frozenset(
    map(
        id,
        (
            *((io.BytesIO.__sizeof__,) if sys.version_info >= (3, 12) else ()),
            *((struct.Struct.__sizeof__,) if sys.version_info < (3, 14) else ()),
        ),
    )
)


def name(kind: type) -> str:
    """Return ``module.qualname``, without ``builtins``; ``?`` for a part that is no text."""
    module, qualname = _text(_module(kind)), _text(_qualname(kind))
    return qualname if module == "builtins" else f"{module}.{qualname}"


def is_heap_type(kind: type) -> bool:
    """Tell whether the type was made at run time, as every class written in Python is."""
    return bool(_flags(kind) & _HEAPTYPE)


def is_collectable(kind: type) -> bool:
    """Tell whether instances of the type can refer to others and show them to the collector."""
    return bool(_flags(kind) & _HAVE_GC)


def is_dict(kind: type) -> bool:
    """Tell whether instances of the type are dicts, of whatever subclass."""
    return bool(_flags(kind) & _DICT_SUBCLASS)


def is_class(kind: type) -> bool:
    """Tell whether instances of the type are classes."""
    return bool(_flags(kind) & _TYPE_SUBCLASS)


def is_kind_of(kind: type, ancestors: frozenset[int]) -> bool:
    """Tell whether the type is, or inherits from, a class at one of the addresses."""
    return not ancestors.isdisjoint(map(id, mro(kind)))


def stops(kind: type) -> bool:
    """Tell whether a deep size stops at instances of the type: they belong to the program."""
    return id(kind) in _STOPS or is_class(kind) or is_kind_of(kind, _MODULES)


def is_followed(value: object) -> bool:
    """Tell whether an object may be asked what it refers to: others may be half built."""
    return gc.is_tracked(value) or type(value) is dict or type(value) is tuple


def bytes_of(kind: type, objects: list[Any]) -> int:
    """Return the bytes of some objects of exactly the type, as its C code counts them.

    Where a class overrides ``__sizeof__`` in Python, that of its nearest ancestor in C is used.
    The ints that CPython keeps for good take nothing.
    """
    if not objects:
        return 0
    if kind is int:
        return _bytes_of_ints(objects)
    if id(kind) in _ZONE_OF:
        # One without a zone has no room for one.
        zoneless = sum(map(operator.is_, map(_ZONE_OF[id(kind)], objects), repeat(None)))
        return len(objects) * _basicsize(kind) - zoneless * _WORD
    sizeof = _sizeof(kind)
    if is_class(kind):
        overhead = _overhead(kind) * sum(map(is_heap_type, objects))
    else:
        overhead = _overhead(kind) * len(objects)
    if sizeof is object.__sizeof__ and not _itemsize(kind):
        return len(objects) * sizeof(objects[0]) + overhead
    if is_heap_type(kind) and _itemsize(kind) % _WORD:
        # Items included, such an instance takes whole words.
        one = overhead // len(objects)
        return sum(-(-(sizeof(measured) + one) // _WORD) * _WORD for measured in objects)
    return sum(map(sizeof, objects)) + overhead


def _sizeof(kind: type) -> Callable[[Any], int]:
    for ancestor in mro(kind):
        found = namespace(ancestor).get("__sizeof__")
        if type(found) is types.MethodDescriptorType and is_kind_of(
            kind, frozenset((id(_made_for(found)),))
        ):
            return object.__sizeof__ if id(found) in _TELLING_FIXED_PART else found
    return object.__sizeof__


def _overhead(kind: type) -> int:
    """Return the bytes of each instance that its ``__sizeof__`` leaves out."""
    flags = _flags(kind)
    overhead = _GC_HEADER if flags & _HAVE_GC else 0
    if flags & _MANAGED:
        overhead += _PRE_HEADER
    if is_class(kind) or (flags & _HEAPTYPE and not flags & _DISALLOW_INSTANTIATION):
        # One sentinel item stands behind the items of a variable-size instance:
        # PyType_GenericAlloc in https://github.com/python/cpython/blob/main/Objects/typeobject.c
        # Where only functions in C make instances, as of re.Match, they do it without.
        overhead += _itemsize(kind)
    for ancestor in (int, str):
        # Their functions take every instance for one of theirs.
        if is_heap_type(kind) and _sizeof(kind) is ancestor.__sizeof__:
            overhead += _basicsize(kind) - _basicsize(ancestor)
    return overhead


def _bytes_of_ints(ints: list[int]) -> int:
    """Count an int of one digit as 30 bytes: it takes 28 or 32, by the function that made it."""
    sizes = Counter(map(int.__sizeof__, ints))
    large = {size: number for size, number in sizes.items() if size > _ONE_DIGIT}
    cached = sum(map(_CACHED_INTS.__contains__, map(id, ints)))
    small = len(ints) - sum(large.values()) - cached
    return small * (_ONE_DIGIT + 2) + sum(size * number for size, number in large.items())


def _text(value: object) -> str:
    try:
        return str.__str__(value)  # copies a subclass, refuses all else
    except TypeError:
        return "?"


class _Probe:
    """A class as users write them, to learn what precedes an instance."""


_ONE_DIGIT: Final = (1).__sizeof__()
_GC_HEADER: Final = sys.getsizeof(()) - ().__sizeof__()
_MANAGED: Final = _flags(_Probe) & (1 << 3 | 1 << 4)  # Py_TPFLAGS_MANAGED_WEAKREF, _DICT
_PRE_HEADER: Final = sys.getsizeof(_Probe()) - _Probe().__sizeof__() - _GC_HEADER
