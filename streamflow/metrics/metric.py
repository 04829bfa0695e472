"""A metric as it is declared: its type, its unit, its labels, and the processes that export it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

PREFIX = "streamflow_"


class Kind(StrEnum):
    """The type of a metric, as OpenMetrics names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """The processes that export metrics."""

    ENGINE = "engine"
    INGRESS = "ingress"
    TASKS = "tasks"
    HISTORY = "history"
    MIRROR = "mirror"
    SIDECAR = "sidecar"
    EXPORTER = "exporter"


class Metric(Struct, frozen=True, kw_only=True):
    """One declared metric."""

    name: str
    """As the code says it: without the prefix, and without the `_total` of a counter."""

    kind: Kind
    """Its type."""

    help: str
    """What it is, in one sentence."""

    processes: tuple[Process, ...]
    """Who exports it."""

    unit: str = ""
    """Its unit, which its name ends with; empty: it counts things."""

    labels: tuple[str, ...] = ()
    """Its labels, in this order."""

    buckets: tuple[float, ...] = ()
    """Of a histogram: the upper bounds of its buckets, in its unit."""

    @property
    def family(self) -> str:
        """The name of its family, as the exposition has it."""
        return PREFIX + self.name


def counter(name: str, help_: str, *processes: Process, labels: str = "") -> Metric:
    """A counter; `labels` are names, separated by spaces."""
    return Metric(name=name, kind=Kind.COUNTER, help=help_, processes=processes, labels=tuple(labels.split()))


def gauge(name: str, help_: str, *processes: Process, labels: str = "") -> Metric:
    """A gauge, in the unit that its name ends with; `labels` are names, separated by spaces."""
    return Metric(
        name=name, kind=Kind.GAUGE, help=help_, processes=processes, unit=_unit(name), labels=tuple(labels.split())
    )


def histogram(name: str, help_: str, buckets: tuple[float, ...], *processes: Process, labels: str = "") -> Metric:
    """A histogram, in the unit that its name ends with; `labels` are names, separated by spaces."""
    return Metric(
        name=name,
        kind=Kind.HISTOGRAM,
        help=help_,
        processes=processes,
        unit=_unit(name),
        labels=tuple(labels.split()),
        buckets=buckets,
    )


def _unit(name: str) -> str:
    last = name.rpartition("_")[2]
    return last if last in ("seconds", "bytes", "ratio") else ""
