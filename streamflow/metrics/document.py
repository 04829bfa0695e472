"""docs/metrics.md, made from the registry: `python -m streamflow.metrics.document > docs/metrics.md`."""

from __future__ import annotations

import sys

from streamflow.metrics.metric import PREFIX, Kind, Metric
from streamflow.metrics.registry import ALL, BOUNDS, EXPORTER_BOUNDS, EXPORTER_SERIES, METRICS, SERIES

_HEAD = """# Metrics

Generated from `streamflow/metrics/registry.py` by `make docs`. Do not edit.

Every process serves its metrics at `http://<metrics.listen>/metrics` in the OpenMetrics format, if the setting
`metrics.listen` (`STREAMFLOW_METRICS__LISTEN`) names an address; it is off by default. The page needs no token. It
shows counts, and names of definitions, steps, operations and topics: keep it on loopback or in a network of your own.
Several processes on one machine need an address each; port 0 takes a free one, which the log names.

Lag is measured by `streamflow exporter`, from outside of the workers: a worker that hangs cannot report its own.
Figures marked *as of the last checkpoint* are counted once the cut is saved, so a crash counts nothing twice.

Every process also exports `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and
`process_start_time_seconds`.

"""

_BOUNDS = f"""
## Bounds

The number of series has a bound, whatever definitions, events and topics there are. A process exports so many values of
a label, and at most {SERIES:,} series of a metric; the exporter, which has every partition that anybody reads, at most
{EXPORTER_SERIES:,}. What comes later is counted by `{PREFIX}metrics_other_total`, under the label or `series`:

- counters and histograms are added up under the value `other`, in a few series more, so sums stay exact;
- gauges are left out: one value of many would hide the others. Sums and maxima over such a gauge then lack something.

A gauge that goes, as those of a partition that another worker has now, makes room for another.

| label | values | of the exporter |
|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    rows = "".join(_row(metric) for metric in METRICS)
    bounds = "".join(f"| `{label}` | {bound} | {EXPORTER_BOUNDS[label]} |\n" for label, bound in sorted(BOUNDS.items()))
    columns = "| name | type | unit | labels | processes | what |\n|---|---|---|---|---|---|\n"
    return f"{_HEAD}## All metrics\n\n{columns}{rows}{_BOUNDS}{bounds}"


def _row(metric: Metric) -> str:
    suffix = "_total" if metric.kind is Kind.COUNTER else ""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    processes = "all" if metric.processes == ALL else ", ".join(metric.processes)
    return f"| `{metric.family}{suffix}` | {metric.kind} | {metric.unit} | {labels} | {processes} | {metric.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
