"""The exporter's round: lag measured from outside of the workers, without a consumer group, into gauges."""

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
from streamflow.ops.lag import PartitionLag, measure_lag
from streamflow.ops.lag_rows import Rates
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_DEFINITIONS_S = 30.0  # between looks at what is published, which says what ingress reads

Place = tuple[str, tuple[tuple[str, str], ...]]
"""A gauge: its name and labels."""


class _Gauges:
    """The gauges of one measurement."""

    def __init__(self) -> None:
        self.found: dict[Place, float] = {}

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.found[name, tuple(labels.items())] = value


class Ages:
    """The ages of what waits first. Where a measurement has none, it is the last that was known and the time since, as
    long as the group has committed nothing: then the same record is still the first."""

    def __init__(self) -> None:
        self._began: dict[tuple[str, str, int], tuple[int | None, float]] = {}  # what was committed, and since when

    def take(self, lags: Sequence[PartitionLag], at_s: float) -> list[float | None]:
        """Of each of `lags`, measured at `at_s`; None when it is not known."""
        found, began = [], {}
        for one in lags:
            place, seconds = (one.role, one.topic, one.partition), one.seconds
            if seconds is None and (known := self._began.get(place)) is not None and known[0] == one.committed:
                seconds = at_s - known[1]
            if seconds:
                began[place] = one.committed, at_s - seconds
            found.append(seconds)
        self._began = began
        return found


class LagGauges:
    """Measurements as gauges of `metrics`. Gauges that are not in a measurement are dropped."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._sink = metrics
        self._groups = {
            "engine": engine_group(settings),
            "ingress": ingress_group(settings),
            "history": history_group(settings),
            "mirror": mirror_group(settings),
        }
        self._lanes = {lane_topic_name(settings, lane): group_of(settings, lane) for lane in settings.tasks.lanes}
        self._rates = Rates()
        self._ages = Ages()
        self._current: dict[Place, float] = {}

    def update(self, lags: Sequence[PartitionLag], ends: Mapping[tuple[str, int], int], at_s: float) -> None:
        """Take a measurement: lags, and the ends of further topics by (topic, partition)."""
        metrics = _Gauges()
        for one, seconds in zip(lags, self._ages.take(lags, at_s), strict=True):
            group, topic, partition = self._group(one.role, one.topic), one.topic, str(one.partition)
            if one.state:
                metrics.gauge("topic_trouble", 1, group=group, topic=topic, state=one.state)
            if one.partition < 0 or one.state:
                continue
            metrics.gauge("consumer_lag_records", one.records, group=group, topic=topic, partition=partition)
            if seconds is not None:
                metrics.gauge("consumer_lag_seconds", seconds, group=group, topic=topic, partition=partition)
            metrics.gauge("consumer_uncommitted_records", one.unread, group=group, topic=topic, partition=partition)
            metrics.gauge("topic_end_offset", one.end, topic=topic, partition=partition)
            if one.committed is not None:
                metrics.gauge("consumer_committed_offset", one.committed, group=group, topic=topic, partition=partition)
        for (role, topic), drain_s in self._rates.drains(lags, at_s).items():
            if drain_s is not None:
                metrics.gauge("consumer_drain_seconds", drain_s, group=self._group(role, topic), topic=topic)
        for (topic, number), end in ends.items():
            metrics.gauge("topic_end_offset", end, topic=topic, partition=str(number))
        self._set(metrics.found)

    def _set(self, found: dict[Place, float]) -> None:
        """First what is gone, which makes room."""
        for name, labels in self._current.keys() - found.keys():
            self._sink.forget(name, **dict(labels))
        for (name, labels), value in found.items():
            self._sink.gauge(name, value, **dict(labels))
        self._current = found

    def lose(self) -> None:
        """Nothing is known now: an old figure would be taken for a new one."""
        self._sink.forget()
        self._current = {}

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
                gauges.update(lags, ends, time.monotonic())
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
