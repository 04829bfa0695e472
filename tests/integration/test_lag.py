"""The exporter's lag is the broker's own figures, each second, while three lanes and the engine are scaled up and down
under load: never wrong by more than one measurement. Idle is zero."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streamflow.engine.tasks import Task
from streamflow.settings import Lane
from streamflow.wire.lane_position import decode_position
from tests.conftest import only_full
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.test_metrics import MEASURED, PARTITIONS, Exporter, Figures, exporting
from tests.proof.world import Worker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

LANES = {name: Lane(session_timeout_s=6, in_flight=4) for name in ("default", "bulk", "slow")}
PER_S = 24  # tasks of each lane
TAKES_MS = 200  # so a worker does 20 a second of a lane
PHASE_S = 10
CLOCK_S = 0.25  # the broker gives times in milliseconds, and a figure has an age when it is read

Place = tuple[str, str, int]  # group, topic, partition


class Told(NamedTuple):
    """What the broker says of every place, asked between two moments."""

    began_s: float
    ended_s: float
    worked: Mapping[Place, int]  # records that are worked on: the committed offset, and what has ended above it
    ends: Mapping[Place, int]


class Truth:
    """The broker's own figures, and when what was appended."""

    def __init__(self, bench: LaneBench) -> None:
        self._bench = bench
        self.topics = {f"{bench.prefix}engine": bench.topic("commands")} | {
            f"{bench.prefix}tasks.{lane}": bench.topic(f"tasks.{lane}") for lane in LANES
        }
        self.places = [(group, topic, number) for group, topic in self.topics.items() for number in range(PARTITIONS)]
        self._told: list[Told] = []

    def asked(self) -> Told:
        began_s, worked = time.time(), dict[Place, int]()
        for group in self.topics:
            answer = self._bench.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
            for one in answer.result(60).topic_partitions:
                if one.topic == self.topics[group] and one.offset >= 0:
                    position = decode_position(one.offset, one.metadata or "")
                    above = 0 if position is None else sum(end - begin for begin, end in position.finished)
                    worked[group, one.topic, one.partition] = one.offset + above
        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(topic, number): latest for _, topic, number in self.places}
        found = self._bench.admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        at = {(place.topic, place.partition): future.result(60).offset for place, future in found.items()}
        ends = {place: at[place[1:]] for place in self.places}
        self._told.append(Told(began_s, time.time(), worked, ends))
        return self._told[-1]

    def appended(self, place: Place, offset: int) -> tuple[float, float]:
        """Between which moments the record at an offset was appended."""
        before = [one.began_s for one in self._told if one.ends[place] <= offset]
        after = [one.ended_s for one in self._told if one.ends[place] > offset]
        return max(before, default=0.0), min(after, default=time.time())


class Comparison:
    """Compares, and notes what was compared."""

    def __init__(self, exporter: Exporter, truth: Truth) -> None:
        self._exporter, self._truth = exporter, truth
        self.count = 0
        self.without_age = 0
        self.most: dict[str, float] = defaultdict(float)  # by group: records that wait

    def second(self) -> None:
        """One measurement, between two looks at the broker."""
        before = self._truth.asked()
        figures = self._exporter.measured()
        after = self._truth.asked()
        for place in self._truth.places:
            self._place(place, before, figures, after)
        self.count += 1

    def _place(self, place: Place, before: Told, figures: Figures, after: Told) -> None:
        group, topic, number = place
        labels = group, str(number), topic
        end = figures["streamflow_topic_end_offset"][str(number), topic]
        unread = figures["streamflow_consumer_uncommitted_records"][labels]
        records = figures["streamflow_consumer_lag_records"][labels]
        seconds = figures["streamflow_consumer_lag_seconds"].get(labels)
        done = before.worked.get(place, 0), after.worked.get(place, 0)
        least, most = before.ends[place] - max(done), after.ends[place] - min(done)
        assert before.ends[place] <= end <= after.ends[place], place
        assert max(0, least) <= unread <= most, (place, before, after)
        assert 0 <= records <= unread, place
        assert seconds == 0 or records > 0, place
        self.most[group] = max(self.most[group], records)
        if seconds is None:
            self.without_age += 1  # the record could not be read in time
        elif records:
            assert seconds > 0, place
            self._age(place, seconds, figures, before)

    def _age(self, place: Place, seconds: float, figures: Figures, before: Told) -> None:
        """Of the first record that is not worked on: between when it can have been appended and the measurement."""
        group, topic, number = place
        committed = figures.get("streamflow_consumer_committed_offset", {}).get((group, str(number), topic), 0)
        earliest, latest = self._truth.appended(place, int(committed))
        assert seconds <= figures[MEASURED][()] - earliest + CLOCK_S, place
        if "tasks." in group:  # of the engine's, the first may be a watermark, which does not wait
            assert seconds >= before.ended_s - latest - CLOCK_S, place


@only_full  # tests/integration/test_metrics.py compares one lane, a few times
def test_lag_is_the_brokers_each_second_while_lanes_and_engine_scale(bootstrap: str, tmp_path: Path) -> None:
    with (
        make_lanes(bootstrap, tmp_path, partitions=PARTITIONS, lanes=LANES, drain_s=1.0) as bench,
        exporting(bench) as exporter,
    ):
        comparison = Comparison(exporter, Truth(bench))
        under_load(bench, comparison)
        bench.wait(lambda: set(exporter.lags().values()) == {(0, 0)}, "every lag to be zero", 120)
        for _ in range(5):
            assert set(exporter.lags().values()) == {(0, 0)}
    assert comparison.count >= 15
    assert {group for group, records in comparison.most.items() if records} == set(comparison.most)
    assert comparison.without_age <= comparison.count  # of sixteen places, at most one in sixteen


class Scaled:
    """Workers that come and go: one of the engine and two of lanes, then twice as many, then less than at first, then
    as at first."""

    def __init__(self, bench: LaneBench) -> None:
        self._bench = bench
        self._workers: dict[str, Worker] = {}

    def begin(self) -> None:
        self._engine("engine-1")
        self._lanes("lanes-1", "default", "slow")
        self._lanes("lanes-2", "bulk")
        self._bench.wait_open(self._workers["engine-1"])
        self._bench.wait_assigned(self._workers["lanes-1"], "default", "slow")
        self._bench.wait_assigned(self._workers["lanes-2"], "bulk")

    def more_engine(self) -> None:
        self._engine("engine-2")
        self._lanes("lanes-3", "default")

    def more_lanes(self) -> None:
        self._lanes("lanes-4", "slow", "bulk")

    def less(self) -> None:
        self._workers["engine-1"].stop()
        self._workers["lanes-1"].stop()

    def again(self) -> None:
        self._workers["lanes-3"].stop()
        self._bench.restart(self._workers["engine-1"])
        self._bench.restart(self._workers["lanes-1"])

    def _engine(self, name: str) -> None:
        self._workers[name] = self._bench.worker(name)

    def _lanes(self, name: str, *lanes: str) -> None:
        self._workers[name] = self._bench.task_worker(name, *lanes)


def under_load(bench: LaneBench, comparison: Comparison) -> None:
    """Tasks for every lane at a steady rate, whose answers are commands for the engine, while workers come and go."""
    workers = Scaled(bench)
    sent, began = 0, time.monotonic()
    for step in (workers.begin, workers.more_engine, workers.more_lanes, workers.less, workers.again):
        step()
        until_s = time.monotonic() + PHASE_S
        while time.monotonic() < until_s:
            due, next_s = int((time.monotonic() - began + 1) * PER_S), time.monotonic() + 1
            for lane in LANES:
                numbers = range(sent, due)
                bench.put(lane, *(a_task(bench, lane, number) for number in numbers))
            sent = due
            comparison.second()
            bench.wait(partial(is_past, next_s), "the next second")


def a_task(bench: LaneBench, lane: str, number: int) -> Task:
    return bench.task(f"{lane}-{number}", input={"value": number, "delay_ms": TAKES_MS})


def is_past(at_s: float) -> bool:
    return time.monotonic() >= at_s
