"""What a Space-Saving sketch says of a stream of keys holds: a key came at most as often as it is counted, and at least
that often without the error; no error is more than the stream divided by the sketch's size, and no key that came more
often than that is missing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.core.hot_keys import KEYS, HotKey, HotKeys, SpaceSaving
from streamflow.core.metrics import NoMetrics
from tests.conftest import TEST_ALL

MINUTE_MS = 60_000
COMMANDS = 1_000_000 if TEST_ALL else 100_000


def batches(keys: Iterable[bytes], sizes: Iterator[int]) -> Iterator[Counter[bytes]]:
    """The counts of `keys`, so many at a time."""
    left = iter(keys)
    while batch := Counter(islice(left, next(sizes))):
        yield batch


def holds(sketch: SpaceSaving, size: int, true: Counter[bytes]) -> None:
    """The promises of a sketch of `size` keys on a stream with these counts."""
    total, found = true.total(), {one.key: one for one in sketch.most_frequent()}
    assert sketch.total == total
    assert len(found) == min(size, len(true))
    assert sum(one.count for one in found.values()) <= total
    for key, one in found.items():
        assert one.least <= true[key] <= one.count
        assert 0 <= one.error <= total / size
    assert all(count <= total / size for key, count in true.items() if key not in found)
    least = [one.least for one in sketch.most_frequent()]
    assert least == sorted(least, reverse=True)


@settings(deadline=None)
@given(
    stream=st.lists(st.integers(0, 30).map(lambda number: b"%d" % number), max_size=300),
    size=st.integers(1, 8),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_any_stream_in_any_batches(stream: Sequence[bytes], size: int, sizes: list[int]) -> None:
    sketch, true = SpaceSaving(size), Counter[bytes]()
    for batch in batches(stream, iter([*sizes, *[max(sizes)] * len(stream), 1])):
        sketch.add(batch)
        true.update(batch)
        holds(sketch, size, true)


def zipf(rng: random.Random, exponent: float) -> list[bytes]:
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(100_000)))
    return [b"order-%d" % rank for rank in rng.choices(range(100_000), cum_weights=weights, k=COMMANDS)]


def distinct(_rng: random.Random) -> list[bytes]:
    return [b"order-%d" % number for number in range(COMMANDS)]


def late(rng: random.Random) -> list[bytes]:
    """Rare keys, and then one that has more than half of all."""
    return [*distinct(rng)[: COMMANDS * 4 // 10], *[b"hot"] * (COMMANDS * 6 // 10)]


def early(rng: random.Random) -> list[bytes]:
    return late(rng)[::-1]


def among(rng: random.Random) -> list[bytes]:
    """One command of two under one key, between those of rare ones."""
    return [b"hot" if rng.random() < 0.55 else b"order-%d" % number for number in range(COMMANDS)]


def rotating(_rng: random.Random) -> list[bytes]:
    """One key more than a sketch holds, in turn: each is gone when it comes again."""
    return [b"order-%d" % (number % (KEYS + 1)) for number in range(COMMANDS)]


def by_turns(_rng: random.Random) -> list[bytes]:
    """Eight keys in turn: who looks at each eighth command sees one of them only."""
    return [b"order-%d" % (number % 8) for number in range(COMMANDS)]


STREAMS = {
    "zipf 0.8": lambda rng: zipf(rng, 0.8),
    "zipf 1.1": lambda rng: zipf(rng, 1.1),
    "zipf 2": lambda rng: zipf(rng, 2.0),
    **{made.__name__: made for made in (distinct, late, early, among, rotating, by_turns)},
}


@pytest.mark.parametrize("name", STREAMS)
def test_many_commands(name: str) -> None:
    """The share that a partition shows is at most 1/20 below the true one and never above it, and a key is reported
    just when that share is more than half."""
    made: Callable[[random.Random], list[bytes]] = STREAMS[name]
    stream = made(random.Random(7))
    true = Counter(stream)
    found: list[HotKey] = []
    keys = HotKeys(0, NoMetrics(), found.append)
    keys.look(0)
    keys.look(MINUTE_MS)
    for key in stream:
        keys.waiting.append(key)
        keys.look(MINUTE_MS)
    keys._add()
    holds(keys._sketch, KEYS, true)
    top, (hottest, count) = keys._sketch.most_frequent()[0], true.most_common(1)[0]
    assert count / COMMANDS - 1 / KEYS <= top.least / COMMANDS <= count / COMMANDS
    keys.look(2 * MINUTE_MS)
    assert [one.key for one in found] == ([hottest] if top.least > COMMANDS / 2 else [])
    if count > COMMANDS * (0.5 + 1 / KEYS):
        assert [one.key for one in found] == [hottest]
