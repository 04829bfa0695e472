"""The formulas of what Kafka has to do."""

from __future__ import annotations

from streamflow.capacity.demand import Demand, Installation
from streamflow.capacity.figure import Figure
from streamflow.capacity.measured import Measured
from streamflow.capacity.workload import Workload

_COMPACTION = 2.0  # times the live bytes: what Kafka has not compacted yet (`min.cleanable.dirty.ratio` 0.5)


def broker_figures(work: Workload, demand: Demand, installation: Installation, measured: Measured) -> list[Figure]:
    """What the brokers write, replicate, read and compute at the busiest time."""
    rate, replicas = demand.rate, installation.replicas
    tasks = sum(cost.bytes for cost in work.attempts.values())
    written = (
        work.events.bytes
        + work.commands.bytes
        + work.transitions.bytes
        + tasks
        + work.emitted.bytes
        + work.others.bytes
        + work.changelog.bytes
    )
    # events by ingress, commands by the engine, tasks by their lane, runs by the history
    read = work.events.bytes + work.commands.bytes + tasks + work.transitions.bytes
    broker_us = (
        work.commands.records * measured.broker_command_us + work.transitions.records * measured.broker_transition_us
    ) / demand.speed
    return [
        Figure(
            name="written to the brokers",
            group="broker",
            value=rate * written,
            unit="bytes/s",
            formula="rate x bytes a run of events, commands, runs, tasks, emitted events, state",
            numbers=(
                f"{rate:g}/s x ({work.events.bytes:.0f} + {work.commands.bytes:.0f} + "
                f"{work.transitions.bytes:.0f} + {tasks:.0f} + {work.emitted.bytes + work.others.bytes:.0f} + "
                f"{work.changelog.bytes:.0f})"
            ),
            source="counted in the simulator, uncompressed",
        ),
        Figure(
            name="replicated between them",
            group="broker",
            value=rate * written * (replicas - 1),
            unit="bytes/s",
            formula="written x (replicas - 1)",
            numbers=f"{rate * written:.4g} x {replicas - 1}",
            source="settings",
        ),
        Figure(
            name="read from the brokers",
            group="broker",
            value=rate * read,
            unit="bytes/s",
            formula="rate x bytes a run of events, commands, tasks, and of runs by the history worker",
            numbers=f"{rate:g}/s x {read:.0f}",
            source="counted in the simulator",
        ),
        Figure(
            name="broker processor, one replica",
            group="broker",
            value=rate * broker_us / 1e6,
            unit="cores",
            formula="rate x (commands x CPU of a command + transitions x CPU of a transition) / speed",
            numbers=f"{rate:g}/s x {broker_us:.0f} us",
            source="measured with one broker; each further replica costs less than that again",
        ),
    ]


def disk_figures(
    work: Workload, demand: Demand, installation: Installation, live_bytes: float, partitions: int
) -> list[Figure]:
    """What the topics of Streamflow's own take on the brokers' disks. `live_bytes` are those of the state."""
    a_day = demand.average_rate * 86_400
    tasks = sum(cost.bytes for cost in work.attempts.values())
    commands_days = (installation.commands_hours + installation.segment_hours) / 24
    runs_days = (installation.runs_hours + installation.segment_hours) / 24
    kept = [
        ("commands and tasks", work.commands.bytes + tasks, commands_days, "topics.commands_retention_hours"),
        ("runs", work.transitions.bytes, runs_days, "topics.runs_retention_hours"),
    ]
    found = [
        Figure(
            name=f"disk of {name}",
            group="disk",
            value=installation.replicas * a_day * each * days,
            unit="bytes",
            formula="replicas x runs a day x bytes a run x (retention + segment.ms in days)",
            numbers=f"{installation.replicas} x {a_day:.4g} x {each:.0f} x {days:.3g}",
            source=f"counted, uncompressed; {setting}",
        )
        for name, each, days, setting in kept
    ]
    active = partitions * installation.state_segment_bytes
    found.append(
        Figure(
            name="disk of state",
            group="disk",
            value=installation.replicas * (live_bytes * _COMPACTION + active),
            unit="bytes",
            formula="replicas x (live state x 2 until it is compacted + partitions x open segment)",
            numbers=(
                f"{installation.replicas} x ({live_bytes:.4g} x {_COMPACTION:g} + {partitions} x "
                f"{installation.state_segment_bytes / 1e6:.0f} MB)"
            ),
            source="counted; settings of the topic",
        )
    )
    return found
