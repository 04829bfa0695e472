"""Counters by hour, each with a histogram of durations, and what is read off them.

A histogram maps the number of a bucket to a count. Eight buckets double the duration: bucket `b` holds what took from
2^(b/8) - 1 to 2^((b + 1)/8) - 1 ms, so a percentile is right to within 10 %, from a millisecond to years.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, log2

import msgspec

from streamflow.history.rows import CounterKey

HOUR_MS = 3_600_000
_PER_OCTAVE = 8
_LAST = 320  # 2^40 ms, which is 34 years

Histogram = dict[int, int]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Histogram)


@dataclass(slots=True)
class Counter:
    """How often something happened in an hour, and how long it took."""

    n: int = 0
    total_ms: int = 0
    histogram: Histogram = field(default_factory=dict)

    def add(self, duration_ms: int | None) -> None:
        """Count one; None: it has no duration."""
        self.n += 1
        if duration_ms is not None:
            self.total_ms += duration_ms
            bucket = bucket_of(duration_ms)
            self.histogram[bucket] = self.histogram.get(bucket, 0) + 1

    def join(self, other: Counter) -> None:
        """Add what `other` has counted."""
        self.n += other.n
        self.total_ms += other.total_ms
        for bucket, count in other.histogram.items():
            self.histogram[bucket] = self.histogram.get(bucket, 0) + count


Counters = dict[CounterKey, Counter]


def count(
    counters: Counters, definition: str, version: str, step: str, outcome: str, at_ms: int, duration_ms: int | None
) -> None:
    """Count an end (or a beginning, without a duration) in the hour of `at_ms`."""
    key = CounterKey(definition, version, step, outcome, at_ms // HOUR_MS)
    counter = counters.get(key)
    if counter is None:
        counter = counters[key] = Counter()
    counter.add(duration_ms)


def bucket_of(duration_ms: int) -> int:
    """The bucket of a duration."""
    return min(_LAST, int(_PER_OCTAVE * log2(duration_ms + 1))) if duration_ms > 0 else 0


def bucket_end(bucket: int) -> float:
    """The duration in milliseconds at which a bucket ends."""
    return float(2 ** ((bucket + 1) / _PER_OCTAVE) - 1)


def percentile(histogram: Histogram, share: float) -> float | None:
    """The duration in milliseconds that `share` (0 to 1) of what was counted did not exceed, taken within its bucket as
    if that were filled evenly; None: nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = max(1, ceil(share * total)), 0
    for bucket in sorted(histogram):
        held = histogram[bucket]
        if seen + held >= wanted:
            low = bucket_end(bucket - 1)
            return low + (bucket_end(bucket) - low) * (wanted - seen) / held
        seen += held
    return None


def encode_histogram(histogram: Histogram) -> bytes:
    """The histogram as bytes for the store."""
    return _encoder.encode(dict(sorted(histogram.items())))


def decode_histogram(body: bytes) -> Histogram:
    """The histogram in bytes of the store."""
    return _decoder.decode(body) if body else {}


def merged(histograms: Iterable[bytes]) -> Histogram:
    """Several encoded histograms in one."""
    found: Histogram = {}
    for body in histograms:
        for bucket, held in decode_histogram(body).items():
            found[bucket] = found.get(bucket, 0) + held
    return found
