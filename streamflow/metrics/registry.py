"""The declared metrics: all that any process exports, as data. docs/metrics.md is made from it.

Names and units follow OpenMetrics: base units (seconds, bytes), counters end in `_total`. Every name begins with
`streamflow_`; the code says the rest of it. No label holds a run, a business key or an event's id.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.metrics.metric import Metric, Process, counter, gauge, histogram

OTHER = "other"
"""The value of a label beyond its bound, of a counter or a distribution."""

ALL = tuple(Process)

SHORT_S = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1.0)
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LONG_S = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
BYTES = (1e3, 1e4, 1e5, 1e6, 4e6, 16e6, 64e6, 256e6)
RECORDS = (0.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)

BOUNDS: Mapping[str, int] = {
    "api_key": 200,
    "certificate": 10,
    "code": 100,
    "currency": 10,
    "definition": 200,
    "event": 200,
    "group": 100,
    "kind": 10,
    "lane": 50,
    "label": 50,
    "method": 10,
    "model": 100,
    "operation": 200,
    "outcome": 50,
    "partition": 1000,
    "flow": 10,
    "reason": 100,
    "role": 10,
    "route": 200,
    "state": 20,
    "status": 60,
    "step": 500,
    "topic": 200,
}
"""How many values of a label a process exports; what comes later is counted as `other`, and gauges are left out."""

SERIES = 2000
"""How many series one metric may have; beyond it the labels of which there may be many are `other`, and gauges are left
out."""

EXPORTER_BOUNDS: Mapping[str, int] = {**BOUNDS, "group": 1000, "partition": 10_000, "topic": 2000}
EXPORTER_SERIES = 50_000
"""The same of the exporter, which has gauges of every partition that anybody reads."""


def bounds_of(process: Process) -> Mapping[str, int]:
    """How many values of each label `process` exports."""
    return EXPORTER_BOUNDS if process is Process.EXPORTER else BOUNDS


def series_of(process: Process) -> int:
    """How many series of one metric `process` exports."""
    return EXPORTER_SERIES if process is Process.EXPORTER else SERIES


_E, _I, _T, _H = Process.ENGINE, Process.INGRESS, Process.TASKS, Process.HISTORY
_M, _S, _X = Process.MIRROR, Process.SIDECAR, Process.EXPORTER

WORKERS = (_E, _I, _T, _H, _M)

METRICS: tuple[Metric, ...] = (
    # -- runs and steps
    counter("runs_started", "Runs that have begun.", _E, labels="definition"),
    counter("runs_ended", "Runs that have ended: completed, failed or cancelled.", _E, labels="definition outcome"),
    counter(
        "steps",
        "Steps by what happened to them: in, out, failed, parked, skipped, and retried for an attempt that is made "
        "again.",
        _E,
        labels="definition step flow",
    ),
    gauge("parked_runs", "Open runs that are parked, as of the last checkpoint.", _E, labels="partition"),
    gauge("open_runs", "Runs that have not ended.", _H, labels="definition status"),
    gauge("oldest_open_run_age_seconds", "Age of the oldest run that has not ended.", _H, labels="definition status"),
    gauge("open_steps", "Steps that have begun and not ended.", _H, labels="definition step state"),
    gauge(
        "oldest_open_step_age_seconds",
        "Time since the oldest open step came into its state.",
        _H,
        labels="definition step state",
    ),
    # -- the engine
    counter("commands", "Decided commands.", _E, labels="outcome reason"),
    histogram(
        "decision_seconds",
        "Time of one command, from its record to its outputs; every seventh is measured.",
        SHORT_S,
        _E,
    ),
    counter("set_aside", "Commands that could not be decided and became dead letters.", _E, labels="reason"),
    histogram("timer_lateness_seconds", "Time between when a timer was due and its command.", LATENCY_S, _E),
    gauge("applied_offset", "Offset in commands of the last decided command.", _E, labels="partition"),
    gauge(
        "hot_key_ratio",
        "Share, at least, of the most frequent key in the commands of the last whole minute; 0 if under 100 came.",
        _E,
        labels="partition",
    ),
    gauge("partitions", "Partitions of this worker: open, opening or stopped.", _E, labels="state"),
    counter("partition_failures", "Partitions that failed and were opened again or stopped.", _E),
    # -- mailboxes
    counter(
        "deliveries",
        "Deliveries of events (outcome delivered) and how they ended, as of the last checkpoints.",
        _E,
        labels="definition event outcome reason",
    ),
    gauge("kept_events", "Events in mailboxes that no run has taken yet.", _E, labels="definition partition"),
    # -- checkpoints, restores, the store
    gauge(
        "checkpoint_age_seconds",
        "Time since the last checkpoint of a partition; 0 when there is nothing to save.",
        _E,
        labels="partition",
    ),
    histogram("checkpoint_seconds", "Time of a checkpoint, from the cut to the store.", LATENCY_S, _E),
    histogram("checkpoint_bytes", "Keys and values of one cut.", BYTES, _E),
    histogram("restore_seconds", "Time of an opening, from the fence to the first command.", LONG_S, _E),
    histogram("restore_records", "Records read from the changelog at an opening.", RECORDS, _E),
    gauge(
        "store_bytes",
        "The local store of a partition: memtables, block_cache and table_readers are memory, files is disk.",
        _E,
        labels="partition kind",
    ),
    # -- outputs
    gauge(
        "oldest_unacknowledged_seconds",
        "Age of the oldest output that the broker has not acknowledged, at the last checkpoint.",
        _E,
        labels="partition",
    ),
    gauge(
        "outbox_events",
        "Emitted events that a user's topic has not acknowledged.",
        _E,
        labels="topic partition",
    ),
    gauge("outbox_stalled", "1 while a user's topic takes nothing, else 0.", _E, labels="topic partition"),
    counter("outbox_given_up", "Emitted events that became dead letters.", _E, labels="topic"),
    # -- ingress
    counter("source_records", "Records of the users' topics: matched, ignored or dead.", _I, labels="topic outcome"),
    gauge("sources_stopped", "Source partitions that are not read while the engine is far behind.", _I),
    gauge("sources_without_schema", "Source partitions that wait while the schema registry does not answer.", _I),
    gauge("versions_unapproved", "Published versions without the approval that is required: not loaded.", _I),
    # -- task workers
    counter(
        "attempts",
        "Attempts by how they ended: completed, failed, suspended, expired or cancelled.",
        _T,
        labels="lane operation outcome",
    ),
    histogram("attempt_seconds", "Time of an attempt in its worker.", LATENCY_S, _T, labels="lane operation"),
    histogram("attempt_queue_seconds", "Time from a task's record to its start.", LATENCY_S, _T, labels="lane"),
    gauge("attempts_running", "Attempts that run now.", _T, labels="lane"),
    gauge("attempts_held", "Tasks that are read and not answered yet.", _T, labels="lane"),
    counter("tasks_unreadable", "Records of a lane that became dead letters.", _T, labels="lane"),
    # -- history
    counter("history_records", "Records that are in the history store.", _H, labels="topic"),
    gauge("history_lag_seconds", "Age of the last record taken, while others wait behind it.", _H, labels="topic"),
    histogram("history_batch_seconds", "Time of one batch: project and write.", LATENCY_S, _H),
    counter(
        "notifications",
        "Notifications of users by result: sent, over, unwanted, failed or unknown.",
        _H,
        labels="outcome",
    ),
    # -- the mirror
    counter("mirror_records", "Records of mirrored topics: written, or unreadable.", _M, labels="topic outcome"),
    # -- the sidecar
    counter("requests", "Answered HTTP requests.", _S, labels="method route status"),
    histogram("request_seconds", "Time to the head of an answer.", LATENCY_S, _S, labels="method route"),
    gauge(
        "api_key_expires_timestamp_seconds",
        "When an API key expires; until a week later, or until it is revoked.",
        _S,
        labels="api_key",
    ),
    gauge(
        "rates_shared",
        "1 while requests are counted in the Redis of `access.redis`, 0 while it does not answer and each sidecar "
        "counts by itself.",
        _S,
    ),
    counter("requests_refused", "Requests refused before any route, by the problem's code.", _S, labels="code"),
    gauge("streams_open", "Streams that are open: of a run, of a conversation, or live.", _S, labels="kind"),
    counter(
        "streams_refused",
        "Streams refused because so many are open: in total, or each, of one principal.",
        _S,
        labels="reason",
    ),
    counter("streams_ended", "Streams that the sidecar ended, by the reason's code.", _S, labels="kind code"),
    counter(
        "connections_ended",
        "Connections that the sidecar ended: late with a head or body, idle, unread or with too many unread_bytes; "
        "above the limit the longest that waits, or else the newest.",
        _S,
        labels="reason",
    ),
    # -- language models, as far as this process has asked them
    counter(
        "model_tokens",
        "Tokens of answers: input, cached_input, cache_write, output; estimated if the provider reports none.",
        _S,
        labels="model kind",
    ),
    counter(
        "model_answers",
        "Answers by how they ended: end, tools, length, calls, refused, failed, cancelled, budget_exhausted.",
        _S,
        labels="model outcome",
    ),
    counter(
        "model_cost",
        "Cost of answers of models with a price, in whole units of the currency, such as dollars.",
        _S,
        labels="model currency",
    ),
    # -- the exporter
    gauge(
        "consumer_lag_records",
        "Records that a group has not worked on: 0 while all that is unread is within one checkpoint or commit.",
        _X,
        labels="group topic partition",
    ),
    gauge(
        "consumer_lag_seconds",
        "Age of the oldest record that a group has not worked on: 0 when nothing waits, absent while it is not known.",
        _X,
        labels="group topic partition",
    ),
    gauge(
        "consumer_drain_seconds",
        "Time until a group has caught up at the present rate; 0 when nothing waits, +Inf when it falls behind.",
        _X,
        labels="group topic",
    ),
    gauge(
        "consumer_uncommitted_records",
        "Records between what a group has committed and the end, also those that are worked on.",
        _X,
        labels="group topic partition",
    ),
    gauge("consumer_committed_offset", "What a group has committed.", _X, labels="group topic partition"),
    gauge("topic_end_offset", "Offset behind the last record that may be read.", _X, labels="topic partition"),
    gauge(
        "topic_trouble", "1 while a topic is missing, unreadable or without a leader.", _X, labels="group topic state"
    ),
    counter("exporter_failures", "Measurements that the broker did not answer.", _X),
    histogram("exporter_measure_seconds", "Time of one measurement.", LATENCY_S, _X),
    gauge("exporter_measured_timestamp_seconds", "When the last measurement was complete.", _X),
    # -- every worker
    counter(
        "rebalances",
        "Assignments that its groups have given to this worker; a task worker has a group for each lane.",
        *WORKERS,
    ),
    # -- every process
    gauge(
        "certificate_expires_timestamp_seconds",
        "When this client's certificate for Kafka expires, by the setting that names its file.",
        *ALL,
        labels="certificate",
    ),
    counter(
        "trace_spans",
        "Spans by result: exported, queue_full and export_failed, which are dropped.",
        _E,
        _I,
        _T,
        _S,
        labels="outcome",
    ),
    counter(
        "metrics_other",
        "Measurements beyond a bound, by the label: those of gauges are left out, all others counted as other.",
        *ALL,
        labels="label",
    ),
    counter("metrics_undeclared", "Measurements under a name or with labels that are not declared.", *ALL),
)


def declared(process: Process) -> dict[str, Metric]:
    """The metrics that `process` exports, by name."""
    return {metric.name: metric for metric in METRICS if process in metric.processes}
