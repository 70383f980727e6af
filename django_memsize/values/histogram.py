"""A histogram of whole numbers that can be merged: OpenTelemetry's exponential one, at one scale.

See https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram. The bucket
``index`` has the numbers above ``base**index`` up to and including ``base**(index + 1)``, where
``base`` is ``2**(2**-SCALE)``, about 1.09.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, Final

from .ownership import ours

SCALE: Final = 3
"""Each power of two has ``2**SCALE`` buckets."""

MAX_ERROR: Final = (2 ** (2.0**-SCALE) - 1) / (2 ** (2.0**-SCALE) + 1)
"""The largest error of a quantile, as a share of it: 4.3 %."""

MOST_BUCKETS: Final = 160
"""Neighbouring buckets of one sign, as OpenTelemetry's default: numbers that are a millionth of the
largest one or less share the lowest bucket."""

_LARGEST: Final = 2**63 - 1

_BUCKETS_PER_DOUBLING: Final = 2**SCALE

_MANTISSAS: Final = tuple(
    2.0 ** (step / _BUCKETS_PER_DOUBLING - 1) for step in range(_BUCKETS_PER_DOUBLING)
)
"""The upper bounds of the buckets from 0.5 to below 1. A ``bisect`` is exact where a logarithm is
rounded, and faster."""


@ours
class Buckets(dict[int, int]):
    """How many numbers are in each bucket, by its index. Empty buckets are left out."""

    __slots__ = ()

    def add(self, index: int, number: int) -> None:
        """Add numbers to a bucket."""
        self[index] = self.get(index, 0) + number

    def merge(self, others: Mapping[int, int]) -> None:
        """Add the numbers of other buckets."""
        for index, number in others.items():
            self.add(index, number)

    def limited(self) -> Buckets:
        """Return the buckets with the lowest ones in one, so that ``MOST_BUCKETS`` are left.

        Limiting before and after a merge gives what limiting after it gives, so the order in which
        histograms are merged makes no difference.
        """
        lowest = max(self, default=0) - MOST_BUCKETS + 1
        limited = Buckets()
        for index in sorted(self):
            limited.add(max(index, lowest), self[index])
        return limited


@ours
class Histogram:
    """Counts whole numbers of any sign by bucket, with their exact sum and maximum.

    Negative numbers have buckets of their own, by their absolute value, and 0 has a counter. So a
    quantile is as exact below zero as above. Numbers beyond 64 bits are counted as the largest that
    has 64. ``maximum`` is None without any number.
    """

    __slots__ = ("maximum", "negative", "positive", "sum", "zeros")

    def __init__(self) -> None:
        self.sum = 0
        self.maximum: int | None = None
        self.zeros = 0
        self.positive = Buckets()
        self.negative = Buckets()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.document() == other.document()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram: {self.count} numbers>"

    @property
    def count(self) -> int:
        """How many numbers were added."""
        return self.zeros + sum(self.positive.values()) + sum(self.negative.values())

    @property
    def mean(self) -> float | None:
        """The exact average; None without any number."""
        count = self.count
        return self.sum / count if count else None

    @property
    def deviation(self) -> float:
        """The standard deviation, from the buckets; 0 where all numbers are in one of them."""
        count = self.count
        if count < 2:
            return 0.0
        mean = sum(estimate * number for estimate, number in self._ascending()) / count
        squares = sum(number * (estimate - mean) ** 2 for estimate, number in self._ascending())
        return math.sqrt(squares / (count - 1))

    def add(self, number: int, times: int = 1) -> None:
        """Count a number, so many times."""
        # One function, because it runs for each figure of each request.
        if not -_LARGEST <= number <= _LARGEST:
            number = _LARGEST if number > 0 else -_LARGEST
        self.sum += number * times
        if self.maximum is None or number > self.maximum:
            self.maximum = number
        if number == 0:
            self.zeros += times
            return
        index = index_of(number if number > 0 else -number)
        buckets = self.positive if number > 0 else self.negative
        buckets[index] = buckets.get(index, 0) + times

    def merge(self, other: Histogram) -> None:
        """Count the numbers of another histogram."""
        self.sum += other.sum
        if self.maximum is None or (other.maximum is not None and other.maximum > self.maximum):
            self.maximum = other.maximum
        self.zeros += other.zeros
        self.positive.merge(other.positive)
        self.negative.merge(other.negative)

    def merge_document(self, document: Any) -> None:
        """Count the numbers of a stored histogram; of none if the document is not of this form.

        No object is made in between, because a fleet merges hundreds of thousands in a minute.
        """
        try:
            total, maximum, zeros, positive, negative = document
            # The sum of numbers is no int if one of them is none, and that of others raises.
            is_whole = type(total + zeros + sum(positive) + sum(negative)) is int
            is_usable = is_whole and (maximum is None or type(maximum) is int)
            is_odd = len(positive) % 2 or len(negative) % 2
        except (TypeError, ValueError):
            return
        if not is_usable or is_odd:
            return
        self.sum += total
        if self.maximum is None or (maximum is not None and maximum > self.maximum):
            self.maximum = maximum
        self.zeros += zeros
        for buckets, listed in ((self.positive, positive), (self.negative, negative)):
            if listed:
                get = buckets.get
                for index, number in zip(accumulate(listed[::2]), listed[1::2], strict=True):
                    buckets[index] = get(index, 0) + number

    def quantile(self, share: float) -> float | None:
        """Return the number that this share of the numbers do not exceed; None without any number.

        The error is ``MAX_ERROR`` at most, unless the number is in a bucket that
        ``MOST_BUCKETS`` made: then the error is below a millionth of the largest number. The
        quantile at 1 is the maximum, exactly.
        """
        left = max(1, math.ceil(share * self.count))
        if self.maximum is None or left >= self.count:
            return self.maximum
        for estimate, number in self._ascending():
            left -= number
            if left <= 0:
                return min(estimate, self.maximum)
        return self.maximum

    def _ascending(self) -> Iterator[tuple[float, int]]:
        """Yield an estimate of the numbers of each bucket, and how many there are, in order."""
        for index, number in sorted(self.negative.items(), reverse=True):
            yield -_estimate(index), number
        if self.zeros:
            yield 0, self.zeros
        for index, number in sorted(self.positive.items()):
            yield _estimate(index), number

    def document(self) -> list[Any]:
        """Return the histogram as JSON: sum, maximum, zeros, positive and negative buckets.

        The buckets are a list: the first index, its count, the distance of the next index, its
        count, and so on.
        """
        positive, negative = _listed(self.positive), _listed(self.negative)
        return [self.sum, self.maximum, self.zeros, positive, negative]

    @classmethod
    def of(cls, document: Any) -> Histogram:
        """Return the histogram that a document has; an empty one if it is not of this form."""
        histogram = cls()
        histogram.merge_document(document)
        return histogram


def index_of(number: int) -> int:
    """Return the index of the bucket of a number above 0."""
    mantissa, exponent = math.frexp(number)
    return _BUCKETS_PER_DOUBLING * (exponent - 1) + bisect_left(_MANTISSAS, mantissa) - 1


def _estimate(index: int) -> float:
    """Return the number with the smallest error for each whole number of a bucket.

    That is the harmonic mean of the first and the last one; exact where there is only one.
    """
    first = math.floor(math.exp2(index / _BUCKETS_PER_DOUBLING)) + 1
    last = max(first, math.floor(math.exp2((index + 1) / _BUCKETS_PER_DOUBLING)))
    return 2 * first * last / (first + last)


def _listed(buckets: Buckets) -> list[int]:
    limited = buckets.limited()
    indexes = sorted(limited)
    distances = [*indexes[:1], *(after - before for before, after in pairwise(indexes))]
    return [
        item
        for index, distance in zip(indexes, distances, strict=True)
        for item in (distance, limited[index])
    ]
