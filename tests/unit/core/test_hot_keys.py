"""The most frequent key of a partition's commands: its share in the last whole minute, and when it is reported."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest

from streamflow.core.hot_keys import KEY_BYTES, KEYS, HotKey, HotKeys, SpaceSaving
from streamflow.core.partition_metrics import PartitionMetrics
from streamflow.engine.commands import FireTimer
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.simulation.store import MemoryStore
from tests.builders import NOW_MS
from tests.unit.core.test_partition import a_core, a_record
from tests.unit.metrics.test_collector import exposed

MINUTE_MS = 60_000
BEGIN_MS = 1_000_000 * MINUTE_MS  # of a minute


class Partition:
    """The keys of partition 7, and what is said of them."""

    def __init__(self) -> None:
        self.metrics = ProcessMetrics(Process.ENGINE)
        self.found: list[HotKey] = []
        self._measured = PartitionMetrics(a_core().overlay, 7, self.metrics, self.found.append)
        self.keys = self._measured._hot_keys

    def take(self, **counts: int) -> None:
        """Commands under these keys, those of each in a row."""
        for key in chain.from_iterable(repeat(key.encode(), count) for key, count in counts.items()):
            self.count(key)

    def count(self, key: bytes | None) -> None:
        self._measured.keys.append(key[:KEY_BYTES] if key else None)
        if len(self.keys.waiting) % 200 == 0 and self.keys._ends_ms is not None:
            self.keys.look(self.keys._ends_ms - 1)  # as a host does, after each slice of a batch

    @property
    def ratio(self) -> float | None:
        return exposed(self.metrics).get("streamflow_hot_key_ratio", {}).get(("7",))


@pytest.fixture
def partition() -> Partition:
    """A partition at the beginning of a whole minute."""
    made = Partition()
    made.keys.look(BEGIN_MS - 1)
    made.keys.look(BEGIN_MS)
    return made


def test_the_share_of_the_most_frequent_key_is_that_of_the_last_minute(partition: Partition) -> None:
    partition.take(a=300, b=700, c=1000)
    partition.keys.look(BEGIN_MS + MINUTE_MS - 1)
    assert partition.ratio == 0
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert partition.ratio == 0.5
    partition.take(b=100)
    partition.keys.look(BEGIN_MS + 2 * MINUTE_MS + 3)
    assert partition.ratio == 1
    partition.keys.look(BEGIN_MS + 3 * MINUTE_MS)
    assert partition.ratio == 0


def test_the_minute_of_the_opening_is_not_a_whole_one() -> None:
    partition = Partition()
    partition.keys.look(BEGIN_MS + 5)
    assert partition.ratio == 0
    partition.take(a=5000)
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert (partition.ratio, partition.found) == (0, [])
    partition.take(a=5000)
    partition.keys.look(BEGIN_MS + 2 * MINUTE_MS)
    assert (partition.ratio, len(partition.found)) == (1, 1)


@pytest.mark.parametrize(("commands", "ratio"), [(99, 0), (100, 1)])
def test_a_minute_with_few_commands_has_no_frequent_key(partition: Partition, commands: int, ratio: float) -> None:
    partition.take(a=commands)
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert partition.ratio == ratio


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"a": 501, "b": 499}, [HotKey(key=b"a", ratio=0.501, commands=1000)]),
        ({"a": 500, "b": 500}, []),
        ({"a": 999}, []),
        ({"a": 300, "b": 1, "c": 900}, [HotKey(key=b"c", ratio=900 / 1201, commands=1201)]),
    ],
)
def test_a_key_with_more_than_half_of_many_commands_is_reported(
    partition: Partition, counts: dict[str, int], found: list[HotKey]
) -> None:
    partition.take(**counts)
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert partition.found == found


def test_a_hot_key_is_reported_once_a_minute(partition: Partition) -> None:
    for second in range(180):
        partition.take(a=100)
        partition.keys.look(BEGIN_MS + second * 1000)
    assert [one.commands for one in partition.found] == [6100, 6000]


def test_commands_without_a_key_are_commands_and_no_key(partition: Partition) -> None:
    partition.take(a=400)
    for _ in range(300):
        partition.count(b"")
        partition.count(None)
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert (partition.ratio, partition.found) == (0.4, [])
    for _ in range(2000):
        partition.count(b"")
    partition.keys.look(BEGIN_MS + 2 * MINUTE_MS)
    assert (partition.ratio, partition.found) == (0, [])


def test_a_clock_that_is_set_back_ends_the_minute_without_a_report(partition: Partition) -> None:
    partition.take(a=5000)
    partition.keys.look(BEGIN_MS - 1)  # the broker's clock, as near as we know it, may go back a little
    partition.keys.look(BEGIN_MS + 1)
    partition.keys.look(BEGIN_MS - 60 * MINUTE_MS)
    assert (partition.ratio, partition.found) == (0, [])
    for minute in (59, 58):
        partition.take(a=2000)
        partition.keys.look(BEGIN_MS - minute * MINUTE_MS)
    assert [one.commands for one in partition.found] == [2000]


def test_keys_take_bounded_memory(partition: Partition) -> None:
    for number in range(20_000):
        partition.count(b"%d" % number)
    assert len(partition.keys._sketch.most_frequent()) == KEYS
    assert len(partition.keys.waiting) < 2000
    for _ in range(30_000):
        partition.count(b"x" * 1_000_000)
    partition.keys.look(BEGIN_MS + MINUTE_MS)
    assert len(partition.found[0].key) == 1024


def test_keys_that_a_sketch_has_room_for_are_counted_exactly() -> None:
    sketch = SpaceSaving(3)
    sketch.add({b"a": 5, b"b": 1})
    sketch.add({b"c": 2, b"b": 7})
    assert [(one.key, one.count, one.error) for one in sketch.most_frequent()] == [
        (b"b", 8, 0),
        (b"a", 5, 0),
        (b"c", 2, 0),
    ]
    sketch.add({b"d": 1})
    assert [(one.key, one.count, one.error) for one in sketch.most_frequent()] == [
        (b"b", 8, 0),
        (b"a", 5, 0),
        (b"d", 3, 2),
    ]
    assert sketch.total == 16


# -- as a partition core feeds it


def test_a_core_counts_each_command_that_it_takes_under_its_key() -> None:
    partition = Partition()
    core = a_core(metrics=partition.metrics, hot_key=partition.found.append)
    begin_ms = NOW_MS - NOW_MS % MINUTE_MS + MINUTE_MS
    core.fire(begin_ms - 1)
    core.fire(begin_ms)
    for offset in range(1200):
        core.take(a_record(offset)._replace(key=b"hot" if offset % 3 else b"%d" % offset), begin_ms)
    for offset in range(1200, 1300):  # a timer is a command too
        fired = FireTimer(id=f"t{offset}", run="00000000-0000", address="a", due_ms=0)
        core.take(a_record(offset, fired)._replace(key=b""), begin_ms)
    core.fire(begin_ms + MINUTE_MS)
    assert partition.found == [HotKey(key=b"hot", ratio=800 / 1300, commands=1300)]
    assert exposed(partition.metrics)["streamflow_hot_key_ratio"] == {("0",): pytest.approx(800 / 1300)}


def test_a_core_keeps_the_beginning_of_a_long_key() -> None:
    partition = Partition()
    core = a_core(metrics=partition.metrics, hot_key=partition.found.append)
    for offset, key in enumerate((b"x" * 1_000_000, b"k", b"", None)):
        core.take(a_record(offset)._replace(key=key), NOW_MS)
    assert core._measured is not None
    assert core._measured.keys == [b"x" * KEY_BYTES, b"k", None, None]


def test_a_core_without_metrics_counts_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any) -> None:
        raise AssertionError("a key was counted for nobody")

    monkeypatch.setattr(HotKeys, "__init__", fails)
    core = a_core(MemoryStore(), hot_key=fails)
    for offset in range(2000):
        core.take(a_record(offset), NOW_MS)
    core.fire(NOW_MS + 2 * MINUTE_MS)
