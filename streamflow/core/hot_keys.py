"""The most frequent keys of a partition's commands, minute by minute.

Commands are counted exactly, some `_BATCH` of them; then they go into a Space-Saving sketch (Metwally, Agrawal and
El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005), as two sketches are
merged (Cafaro, Pulimeno and Tempesta, "A parallel Space Saving algorithm for frequent items and the Hurwitz zeta
distribution", Information Sciences 329, 2016): an exact count is a sketch without errors. Key by key, every command
with a rare key would look for the least of the sketch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from operator import itemgetter

from msgspec import Struct

from streamflow.core.metrics import Metrics

KEYS = 20
"""Keys in a sketch: a share is at most 1/KEYS below the true one."""

LEAST_COMMANDS = 100
"""Commands in a minute below which no key is called frequent."""

HOT = 0.5
"""Share of a partition's commands above which a key is hot: half of the partition does nothing else."""

HOT_COMMANDS = 1000
"""Commands in a minute below which a hot key is not reported: the partition is not busy."""

KEY_BYTES = 1024
"""Bytes of a key that are kept; business keys are shorter."""

_MINUTE_MS = 60_000
_BATCH = 1024
_by_count = itemgetter(1)


class Frequent(Struct, frozen=True, kw_only=True):
    """A key that a sketch holds."""

    key: bytes
    """The key."""

    count: int
    """How often it came, at most."""

    error: int
    """By how much `count` may be too high; it is never more than all that was added, divided by the sketch's size."""

    @property
    def least(self) -> int:
        """How often it came, at least."""
        return self.count - self.error


class SpaceSaving:
    """The `size` most frequent keys of what was added. Whatever came more often than `total` / `size` is among them."""

    def __init__(self, size: int) -> None:
        self.total = 0
        self._size = size
        self._counts: dict[bytes, int] = {}
        self._errors: dict[bytes, int] = {}

    def add(self, counts: Mapping[bytes, int]) -> None:
        """Add keys, each as often as `counts` says."""
        known, is_full = self._counts, len(self._counts) == self._size
        # a key that is not known may have come as often as the least frequent one that is
        missed = min(known.values()) if is_full else 0
        for key in known.keys() & counts.keys():
            known[key] += counts[key]
        least = min(known.values()) - missed if is_full else 0  # what a new key needs to be among the known ones
        new = [(key, missed + count) for key, count in counts.items() if count > least and key not in known]
        if new:
            merged = [*known.items(), *new]
            if len(merged) > self._size:
                merged.sort(key=_by_count, reverse=True)
            errors = self._errors
            self._counts = dict(merged[: self._size])
            self._errors = {key: errors.get(key, missed) for key in self._counts}
        self.total += sum(counts.values())

    def most_frequent(self) -> list[Frequent]:
        """The keys that it holds, the one that came most often for certain first."""
        found = [Frequent(key=key, count=count, error=self._errors[key]) for key, count in self._counts.items()]
        return sorted(found, key=lambda one: one.least, reverse=True)


class HotKey(Struct, frozen=True, kw_only=True):
    """A key that had more than half of a partition's commands in a minute."""

    key: bytes
    """The key, or its beginning."""

    ratio: float
    """Its share of the commands, at least: between 0 and 1."""

    commands: int
    """All commands of that minute."""


class HotKeys:
    """The keys of the commands of `partition`. The share of the most frequent one in the last whole minute is a gauge
    of `metrics`; `found` is given a hot one, once a minute at most.

    Each command's key is appended to `waiting`, at most `KEY_BYTES` of it. One without a key, such as that of a timer,
    is None there: it is no key's, but a command of the minute."""

    def __init__(self, partition: int, metrics: Metrics, found: Callable[[HotKey], None]) -> None:
        self._partition, self._metrics, self._found = str(partition), metrics, found
        self.waiting: list[bytes | None] = []
        self._sketch = SpaceSaving(KEYS)
        self._keyless = 0
        self._ends_ms: int | None = None  # of the minute that is counted; None before the first
        self._is_whole = False  # not that of the opening, and not one in which the clock was set back

    def look(self, now_ms: int) -> None:
        """Count what waits if it is much, and end the minute if it is over at `now_ms`. To be called between batches of
        commands: only this empties `waiting`."""
        ends_ms = self._ends_ms
        if ends_ms is not None and ends_ms - 2 * _MINUTE_MS <= now_ms < ends_ms:
            if len(self.waiting) >= _BATCH:
                self._add()
            return
        self._ends_ms = now_ms - now_ms % _MINUTE_MS + _MINUTE_MS
        self._add()
        sketch, commands = self._sketch, self._sketch.total + self._keyless
        self._sketch, self._keyless = SpaceSaving(KEYS), 0
        is_over = ends_ms is not None and now_ms >= ends_ms
        was_whole, self._is_whole = self._is_whole and is_over, is_over
        keys = sketch.most_frequent() if was_whole and commands >= LEAST_COMMANDS else []
        ratio = keys[0].least / commands if keys else 0.0
        self._metrics.gauge("hot_key_ratio", ratio, partition=self._partition)
        if ratio > HOT and commands >= HOT_COMMANDS:
            self._found(HotKey(key=keys[0].key, ratio=ratio, commands=commands))

    def _add(self) -> None:
        counts: Counter[bytes | None] = Counter(self.waiting)
        self.waiting.clear()
        self._keyless += counts.pop(None, 0)
        self._sketch.add(counts)  # type: ignore[arg-type]
