"""One process's metrics in memory: plain numbers under a lock, which a scrape turns into families of
`prometheus-client`.

The client's own counters are not used: finding a child by its labels and adding to it cost several times as much as
here, on every command, and nothing of theirs bounds the values of a label. `make bench` (micro) shows what a command's
metrics cost.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from streamflow.core.flow import BY_ATTEMPT, BY_CLASS, Moved, moved
from streamflow.engine.outcome import Decision
from streamflow.engine.transitions import Transition
from streamflow.metrics.metric import Kind, Process
from streamflow.metrics.metric import Metric as Declared
from streamflow.metrics.registry import OTHER, bounds_of, declared, series_of

_VALUE_CHARS = 200  # of a label's value; names are shorter
_FLOWS = 20_000  # combinations of definition, step and fact of which the series are remembered


class _Distribution:
    """The observations of one series: how many in each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


Sample = Callable[[], None]
Cells = tuple[list[float], ...]
"""Numbers of series, which a count adds to."""


class ProcessMetrics(Collector):
    """The metrics that `process` exports. Thread-safe, but for `decided`. It never raises: what is not declared is
    counted, and left out. So is a gauge beyond a bound: as `other` it would hide one behind another. Counters and
    distributions beyond a bound are added up as `other`."""

    def __init__(self, process: Process, *, bounds: Mapping[str, int] | None = None, series: int | None = None) -> None:
        self._declared = declared(process)
        self._bounds = bounds_of(process) if bounds is None else bounds
        self._most = series_of(process) if series is None else series
        self._lock = threading.RLock()  # `together` holds it over several measurements
        self._values: dict[str, dict[tuple[str, ...], list[float]]] = {}
        self._distributions: dict[str, dict[tuple[str, ...], _Distribution]] = {}
        for name, metric in self._declared.items():
            if metric.kind is Kind.HISTOGRAM:
                # from the start: else `rate` does not see the first observation, such as the restore of a new worker
                self._distributions[name] = {} if metric.labels else {(): _Distribution(len(metric.buckets))}
            else:
                self._values[name] = {}
        # by name and labels as they were given; what is `other` is not remembered, as there is no end of it
        self._found: dict[tuple[object, ...], list[float]] = {}
        self._found_distributions: dict[tuple[object, ...], tuple[_Distribution, tuple[float, ...]]] = {}
        self._outcomes: dict[tuple[str, str], list[float]] = {}
        self._decisions: tuple[_Distribution, tuple[float, ...]] | None = None
        self._flows: dict[tuple[str, str | None, type], Cells] = {}
        self._counted: dict[tuple[str, str | None, str], Cells] = {}
        self._stale = 0  # forgotten cells in `_found`
        self._uses: dict[str, dict[str, int]] = {}  # by label and value: how many series have it
        self._samples: list[Sample] = []

    # -- what is reported

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """See `Metrics`."""
        with self._lock:
            cell = self._found.get((name, *labels.items())) or self._cell(name, labels, Kind.COUNTER)
            cell[0] += value

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """See `Metrics`."""
        with self._lock:
            cell = self._found.get((name, *labels.items())) or self._cell(name, labels, Kind.GAUGE)
            cell[0] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """See `Metrics`."""
        with self._lock:
            found = self._found_distributions.get((name, *labels.items())) or self._distribution(name, labels)
            distribution, buckets = found
            distribution.counts[bisect_left(buckets, value)] += 1
            distribution.total += value

    def decided(self, decision: Decision, seconds: float | None) -> None:
        """See `Metrics`. The one measurement of every command: what it adds to is looked up once and remembered, and
        only that takes the lock, so one thread alone may call this."""
        outcome = decision.outcome, decision.reason
        (self._outcomes.get(outcome) or self._outcome_cell(*outcome))[0] += 1
        if seconds is not None:
            distribution, buckets = self._decisions or self._decision_times()
            distribution.counts[bisect_left(buckets, seconds)] += 1
            distribution.total += seconds
        flows = self._flows
        for one in decision.transitions:
            cells = flows.get((one.definition, one.step, type(one.data)))
            for cell in self._flow_cells(one) if cells is None else cells:
                cell[0] += 1

    def forget(self, name: str | None = None, /, **labels: str) -> None:
        """See `Metrics`."""
        wanted = {label: _clean(value) for label, value in labels.items()}
        with self._lock:
            for metric in self._declared.values():
                if metric.kind is not Kind.GAUGE or name not in (None, metric.name):
                    continue
                if wanted.keys() <= set(metric.labels):
                    for place in self._places(metric, wanted):
                        self._drop(metric, place)
            if self._stale > self._most:
                self._found = {place: cell for place, cell in self._found.items() if cell}
                self._stale = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `Metrics`."""
        with self._lock:
            yield

    def sample(self, take: Sample) -> Callable[[], None]:
        """Call `take` before each scrape, in the thread that serves it, to set gauges. Returns what ends that."""
        self._samples.append(take)
        return lambda: self._samples.remove(take) if take in self._samples else None

    # -- what is read

    def collect(self) -> Iterator[Metric]:
        """Every declared metric that has a value, for `prometheus-client`."""
        for take in list(self._samples):
            take()
        with self._lock:
            values = {name: {place: cell[0] for place, cell in found.items()} for name, found in self._values.items()}
            distributions = {
                name: {place: (tuple(one.counts), one.total) for place, one in found.items()}
                for name, found in self._distributions.items()
            }
        for name, metric in self._declared.items():
            if metric.kind is Kind.HISTOGRAM:
                yield _histogram(metric, distributions[name])
            else:
                made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                family = made(metric.family, metric.help, labels=metric.labels, unit=metric.unit)
                for place, value in values[name].items():
                    family.add_metric(place, value)
                yield family

    def describe(self) -> Iterator[Metric]:
        """Nothing: a registry need not collect to know our names."""
        return iter(())

    # -- what commands add to; called by the thread that decides

    def _outcome_cell(self, outcome: str, reason: str) -> list[float]:
        with self._lock:
            cell = self._cell("commands", {"outcome": outcome, "reason": reason}, Kind.COUNTER)
        if len(self._outcomes) < self._most:
            self._outcomes[outcome, reason] = cell
        return cell

    def _decision_times(self) -> tuple[_Distribution, tuple[float, ...]]:
        with self._lock:
            self._decisions = self._distribution("decision_seconds", {})
        return self._decisions

    def _flow_cells(self, transition: Transition) -> Cells:
        """What a transition adds to. Facts that always count for the same are remembered by their class."""
        kind, definition = type(transition.data), transition.definition
        if (of_attempt := BY_ATTEMPT.get(kind)) is not None:
            flow, step = of_attempt(transition.data, transition.attempt), transition.step or ""
            if flow is None:
                return ()
            return self._counted.get((definition, step, flow)) or self._counted_cells(definition, Moved(step, flow))
        found: list[list[float]] = []
        for one in moved(transition):
            found += self._counted.get((definition, *one)) or self._counted_cells(definition, one)
        if kind in BY_CLASS and len(self._flows) < _FLOWS:
            self._flows[definition, transition.step, kind] = tuple(found)
        return tuple(found)

    def _counted_cells(self, definition: str, counted: Moved) -> Cells:
        step, flow = counted
        if step is not None:
            name, labels = "steps", {"definition": definition, "step": step, "flow": flow}
        elif flow == "started":
            name, labels = "runs_started", {"definition": definition}
        else:
            name, labels = "runs_ended", {"definition": definition, "outcome": flow}
        with self._lock:
            cells: Cells = (self._cell(name, labels, Kind.COUNTER),)
        if len(self._counted) < _FLOWS:
            self._counted[definition, step, flow] = cells
        return cells

    # -- inside, with the lock

    def _cell(self, name: str, labels: Mapping[str, str], kind: Kind) -> list[float]:
        metric = self._declared.get(name)
        if metric is None or metric.kind is not kind or labels.keys() != set(metric.labels):
            return self._undeclared()
        series = self._values[name]
        place, bounded = self._place(metric, labels, series)
        if bounded and kind is Kind.GAUGE:
            return [0.0]  # which nobody reads
        cell = series.get(place)
        if cell is None:
            cell = series[place] = [0.0]
            self._used(metric, place)
        if not bounded:
            self._found[(name, *labels.items())] = cell
        return cell

    def _distribution(self, name: str, labels: Mapping[str, str]) -> tuple[_Distribution, tuple[float, ...]]:
        metric = self._declared.get(name)
        if metric is None or metric.kind is not Kind.HISTOGRAM or labels.keys() != set(metric.labels):
            self._undeclared()[0] += 1
            return _Distribution(0), ()
        series = self._distributions[name]
        place, bounded = self._place(metric, labels, series)
        found = series.get(place)
        if found is None:
            found = series[place] = _Distribution(len(metric.buckets))
            self._used(metric, place)
        if not bounded:
            self._found_distributions[(name, *labels.items())] = found, metric.buckets
        return found, metric.buckets

    def _undeclared(self) -> list[float]:
        """Counts one; returns a number that nobody reads."""
        self._values["metrics_undeclared"].setdefault((), [0.0])[0] += 1
        return [0.0]

    def _place(
        self, metric: Declared, labels: Mapping[str, str], series: Mapping[tuple[str, ...], object]
    ) -> tuple[tuple[str, ...], bool]:
        """The values of a series in the order of its labels, and whether it is beyond a bound."""
        names = metric.labels
        place = tuple(self._admitted(name, _clean(labels[name])) for name in names)
        bounded = any(value == OTHER != labels[name] for name, value in zip(names, place, strict=True))
        if place in series or len(series) < self._most:
            return place, bounded
        self._other("series")
        few = tuple(
            value if self._bounds.get(name, 0) <= 60 else OTHER for name, value in zip(names, place, strict=True)
        )
        return few, True

    def _admitted(self, label: str, value: str) -> str:
        known = self._uses.setdefault(label, {})
        if value == OTHER or value in known or len(known) < self._bounds.get(label, 0):
            return value
        self._other(label)
        return OTHER

    def _used(self, metric: Declared, place: tuple[str, ...]) -> None:
        """A series has come: its values are among those that are exported."""
        for label, value in zip(metric.labels, place, strict=True):
            if value != OTHER:  # which there is always room for
                uses = self._uses.setdefault(label, {})
                uses[value] = uses.get(value, 0) + 1

    def _places(self, metric: Declared, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
        """The series of a metric that have these labels."""
        series = self._values[metric.name]
        if len(labels) == len(metric.labels):  # one, without a search: many are forgotten one by one
            place = tuple(labels[label] for label in metric.labels)
            return [place] if place in series else []
        wanted = labels.items()
        return [place for place in series if wanted <= dict(zip(metric.labels, place, strict=True)).items()]

    def _drop(self, metric: Declared, place: tuple[str, ...]) -> None:
        """A gauge has gone: values that no other series has make room for others."""
        self._values[metric.name].pop(place).clear()  # an empty cell is looked up again when it is set
        self._stale += 1
        for label, value in zip(metric.labels, place, strict=True):
            if value != OTHER:
                uses = self._uses[label]
                uses[value] -= 1
                if not uses[value]:
                    del uses[value]

    def _other(self, label: str) -> None:
        self._values["metrics_other"].setdefault((label,), [0.0])[0] += 1


def _clean(value: str) -> str:
    """A value that the exposition can write: of bounded length, without halves of surrogate pairs."""
    return value[:_VALUE_CHARS].encode("utf-8", "replace").decode()


def _histogram(
    metric: Declared, series: Mapping[tuple[str, ...], tuple[tuple[int, ...], float]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels, unit=metric.unit)
    bounds = [*(str(floatToGoString(bound)) for bound in metric.buckets), "+Inf"]  # type: ignore[no-untyped-call]
    for place, (counts, total) in series.items():
        below, buckets = 0, []
        for bound, count in zip(bounds, counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        family.add_metric(place, buckets, total)
    return family
