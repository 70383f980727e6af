"""Streaming responses: their parts are made after the view has returned, and belong to its span."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from .errors import ErrorBoundary
from .spans import Span, in_span

_contained: Final = ErrorBoundary("django-memsize: measuring a stream", only_ours=True)


def make_in_span(response: Any, span: Span) -> None:
    """Have each part of a ``StreamingHttpResponse`` be made as a part of the span."""
    wrap = _in_span_async if response.is_async else _in_span
    # Not ``streaming_content``, which refers to the response: a response that is dropped unclosed
    # would then wait for Python's collector.
    response.streaming_content = wrap(response._iterator, span)


def _in_span(parts: Iterator[Any], span: Span) -> Iterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, span):
                part = next(parts)
        except StopIteration:
            return
        yield part
        del part


async def _in_span_async(parts: AsyncIterator[Any], span: Span) -> AsyncIterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, span):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        yield part
        del part
