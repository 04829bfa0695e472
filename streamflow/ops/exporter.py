"""The exporter's round: lag measured from outside of the workers, without a group of its own, into gauges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.groups import engine_group, history_group, ingress_group, mirror_group
from streamflow.kafka.publication import read_log
from streamflow.kafka.topic_ends import topic_ends
from streamflow.kafka.topics import DEAD_LETTERS, UNCLAIMED, lane_topic_name, topic_name
from streamflow.kafka.worker_registry import group_of
from streamflow.ops.lag import PartitionLag, measure_lag, totals
from streamflow.ops.waiting import Progress
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_DEFINITIONS_S = 30.0  # between looks at what is published, which says what ingress reads

Labels = tuple[tuple[str, str], ...]


class Rates:
    """How long each group takes to catch up in each topic, from the measurements so far."""

    def __init__(self) -> None:
        self._progress: dict[tuple[str, str], Progress] = {}

    def drains(self, lags: Sequence[PartitionLag], at_s: float) -> dict[tuple[str, str], float | None]:
        """Seconds by role and topic, after the measurement `lags` at `at_s`; see `Progress.drain_s`."""
        found = {}
        for (role, topic), (records, _) in totals(lags).items():
            here = [one for one in lags if (one.role, one.topic) == (role, topic)]
            progress = self._progress.setdefault((role, topic), Progress())
            progress.note(at_s, sum(one.committed or 0 for one in here), sum(one.end for one in here))
            found[role, topic] = progress.drain_s(records)
        self._progress = {place: progress for place, progress in self._progress.items() if place in found}
        return found


class LagGauges:
    """Measurements as gauges of `metrics`. Gauges that are not in a measurement are dropped."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._groups = {
            "engine": engine_group(settings),
            "ingress": ingress_group(settings),
            "history": history_group(settings),
            "mirror": mirror_group(settings),
        }
        self._lanes = {lane_topic_name(settings, lane): group_of(settings, lane) for lane in settings.tasks.lanes}
        self._rates = Rates()
        self._told: set[Labels] = set()

    def tell(self, lags: Sequence[PartitionLag], ends: Mapping[tuple[str, int], int], at_s: float) -> None:
        """Take a measurement: lags, and the ends of further topics by (topic, partition)."""
        told: set[Labels] = set()
        metrics = self._metrics
        for one in lags:
            group, topic, partition = self._group(one.role, one.topic), one.topic, str(one.partition)
            if one.state:
                metrics.gauge("topic_trouble", 1, group=group, topic=topic, state=one.state)
                told.add((("group", group), ("topic", topic), ("state", one.state)))
            if one.partition < 0 or one.state:
                continue
            told.add((("group", group), ("topic", topic), ("partition", partition)))
            metrics.gauge("consumer_lag_records", one.records, group=group, topic=topic, partition=partition)
            metrics.gauge("consumer_lag_seconds", one.seconds, group=group, topic=topic, partition=partition)
            metrics.gauge("consumer_uncommitted_records", one.unread, group=group, topic=topic, partition=partition)
            metrics.gauge("topic_end_offset", one.end, topic=topic, partition=partition)
            if one.committed is not None:
                metrics.gauge("consumer_committed_offset", one.committed, group=group, topic=topic, partition=partition)
        for (role, topic), seconds in self._rates.drains(lags, at_s).items():
            if seconds is not None:
                metrics.gauge("consumer_drain_seconds", seconds, group=self._group(role, topic), topic=topic)
        for (topic, number), end in ends.items():
            metrics.gauge("topic_end_offset", end, topic=topic, partition=str(number))
        for gone in self._told - told:
            metrics.forget(**dict(gone))
        self._told = told

    def lose(self) -> None:
        """Nothing is known now: an old figure would be taken for a new one."""
        self._metrics.forget()
        self._told = set()

    def _group(self, role: str, topic: str) -> str:
        return self._groups.get(role) or self._lanes.get(topic, role)


def export(settings: Settings, metrics: Metrics, stop: threading.Event) -> None:
    """Measure every `metrics.measure_s` seconds until `stop` is set. A broker that does not answer is asked again."""
    gauges = LagGauges(settings, metrics)
    published: Callable[[], Snapshot] = _every(_DEFINITIONS_S, lambda: read_log(settings))
    letters = [topic_name(settings, DEAD_LETTERS), topic_name(settings, UNCLAIMED)]
    while not stop.is_set():
        began = time.monotonic()
        try:
            lags = measure_lag(settings, published())
            found = topic_ends(settings, letters).found
        except OperationError as error:
            metrics.count("exporter_failures")
            gauges.lose()
            log.warning("lag_not_measured", code=error.code, error=error.message, again_in_s=settings.metrics.measure_s)
        else:
            ends = {(name, int(number)): at for name, one in found.items() for number, at in one.offsets.items()}
            with metrics.together():  # else a scrape could have figures of two measurements
                gauges.tell(lags, ends, time.monotonic())
                metrics.observe("exporter_measure_seconds", time.monotonic() - began)
                metrics.gauge("exporter_measured_timestamp_seconds", time.time())
        stop.wait(max(0.0, settings.metrics.measure_s - (time.monotonic() - began)))


def _every(seconds: float, read: Callable[[], Snapshot]) -> Callable[[], Snapshot]:
    """What `read` gave last, at most `seconds` ago."""
    held: list[tuple[float, Snapshot]] = []

    def current() -> Snapshot:
        if not held or time.monotonic() - held[0][0] >= seconds:
            held[:] = [(time.monotonic(), read())]
        return held[0][1]

    return current
