"""The bytes of objects, as the C code of their types counts them."""

from __future__ import annotations

import datetime
import io
import operator
import struct
import sys
import types as standard_types
from collections import Counter
from collections.abc import Callable
from itertools import count, repeat, takewhile
from typing import Any, Final

from .. import types

_WORD: Final = tuple.__itemsize__

_objclass: Final[Callable[[standard_types.MethodDescriptorType], type]] = (
    standard_types.MethodDescriptorType.__dict__["__objclass__"].__get__
)

_TZINFO: Final[dict[int, Callable[[Any], object]]] = {
    id(kind): kind.__dict__["tzinfo"].__get__ for kind in (datetime.datetime, datetime.time)
}

# For these the size of the struct is counted instead. BytesIO's function adds its bytes object,
# which a walk of 3.12 and later follows and counts; Struct's, before 3.14, reads members that only
# an initialised instance has.
_SIZEOF_LEFT_OUT: Final = frozenset(
    map(
        id,
        (
            *((io.BytesIO.__sizeof__,) if sys.version_info >= (3, 12) else ()),
            *((struct.Struct.__sizeof__,) if sys.version_info < (3, 14) else ()),
        ),
    )
)


def bytes_of(kind: type, objects: list[Any]) -> int:
    """Return the bytes of objects that are all of exactly this type.

    Each object counts with its collector's header and with the buffers that only it refers to.
    Where a class overrides ``__sizeof__`` in Python, the function of its nearest ancestor in C is
    called instead. An int that CPython caches counts no bytes.
    """
    if not objects:
        return 0
    if kind is int:
        return _bytes_of_ints(objects)
    if id(kind) in _TZINFO:
        # CPython allocates the member for the zone only where there is a zone.
        without_zone = sum(map(operator.is_, map(_TZINFO[id(kind)], objects), repeat(None)))
        return len(objects) * types.basicsize(kind) - without_zone * _WORD
    sizeof = _sizeof(kind)
    if types.is_class(kind):
        overhead = _overhead(kind) * sum(map(types.is_heap_type, objects))
    else:
        overhead = _overhead(kind) * len(objects)
    if sizeof is object.__sizeof__ and not types.itemsize(kind):
        return len(objects) * sizeof(objects[0]) + overhead
    if types.is_heap_type(kind) and types.itemsize(kind) % _WORD:
        # The size of such an instance, items included, is rounded up to whole words.
        extra = overhead // len(objects)
        return sum(-(-(sizeof(measured) + extra) // _WORD) * _WORD for measured in objects)
    try:
        return sum(map(sizeof, objects)) + overhead
    except MemoryError:
        raise
    except Exception as error:
        if has_frames(error):
            raise
        # Struct's function, since 3.15, raises for an instance that is not initialised.
        return sum(_size_or_basicsize(sizeof, measured) for measured in objects) + overhead


def _size_or_basicsize(sizeof: Callable[[Any], int], measured: Any) -> int:
    try:
        return sizeof(measured)
    except MemoryError:
        raise
    except Exception as error:
        if has_frames(error):
            raise
        return types.basicsize(type(measured))


def has_frames(error: Exception) -> bool:
    """Return whether code in Python raised an exception, as the handler of a signal may do.

    The traceback of what a function in C raises ends at the function that called it.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def _sizeof(kind: type) -> Callable[[Any], int]:
    """Return the ``__sizeof__`` in C of the nearest ancestor that has one."""
    for ancestor in types.mro(kind):
        found = types.namespace(ancestor).get("__sizeof__")
        if type(found) is standard_types.MethodDescriptorType and types.is_kind_of(
            kind, frozenset((id(_objclass(found)),))
        ):
            return object.__sizeof__ if id(found) in _SIZEOF_LEFT_OUT else found
    return object.__sizeof__


def _overhead(kind: type) -> int:
    """Return the bytes of each instance that its ``__sizeof__`` leaves out."""
    flags = types.flags(kind)
    overhead = _GC_HEADER if flags & types.HAVE_GC else 0
    if flags & _MANAGED:
        overhead += _PRE_HEADER
    made_by_class = flags & types.HEAPTYPE and not flags & types.DISALLOW_INSTANTIATION
    if types.is_class(kind) or made_by_class:
        # PyType_GenericAlloc allocates one item more than the instance has, as a sentinel:
        # https://github.com/python/cpython/blob/main/Objects/typeobject.c
        # Types that only functions in C instantiate, such as re.Match, do not use it.
        overhead += types.itemsize(kind)
    for ancestor in (int, str):
        # Their functions ignore the members that a subclass adds.
        if types.is_heap_type(kind) and _sizeof(kind) is ancestor.__sizeof__:
            overhead += types.basicsize(kind) - types.basicsize(ancestor)
    return overhead


def _bytes_of_ints(ints: list[int]) -> int:
    """Count 32 bytes for an int of one digit, and none for a cached int.

    CPython allocates sizeof(PyLongObject) where C code makes an int from a long, as database
    drivers and arithmetic do: _PyLong_FromMedium() in Objects/longobject.c. Parsing a text
    allocates 28, what ``__sizeof__`` returns; pymalloc gives these 32 as well.
    """
    sizes = Counter(map(int.__sizeof__, ints))
    large = {size: number for size, number in sizes.items() if size > _ONE_DIGIT_SIZEOF}
    cached = sum(map(_CACHED_INTS.__contains__, map(id, ints)))
    small = len(ints) - sum(large.values()) - cached
    return small * _ONE_DIGIT_BYTES + sum(size * number for size, number in large.items())


def _is_cached(value: int) -> bool:
    return int(str(value)) is int(str(value))


# From -5 to 256, since 3.15 to 1,024: Include/internal/pycore_runtime_structs.h, _PY_NSMALLPOSINTS.
_CACHED_INTS: Final = frozenset(map(id, takewhile(_is_cached, count(-5))))

_ONE_DIGIT_SIZEOF: Final = (1).__sizeof__()
_ONE_DIGIT_BYTES: Final = -(-_ONE_DIGIT_SIZEOF // _WORD) * _WORD


class _Probe:
    """A class as users write them, to learn what precedes an instance in memory."""


_GC_HEADER: Final = sys.getsizeof(()) - ().__sizeof__()
_MANAGED: Final = types.flags(_Probe) & (1 << 3 | 1 << 4)  # Py_TPFLAGS_MANAGED_WEAKREF, _DICT
_PRE_HEADER: Final = sys.getsizeof(_Probe()) - _Probe().__sizeof__() - _GC_HEADER
