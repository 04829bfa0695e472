"""What one run costs on average, from the volumes of the scenarios that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamflow.errors import Rejected
from streamflow.simulation.volume import Amount, Held, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Records of one kind for each run."""

    records: float
    bytes: float  # with what Kafka adds to a record, uncompressed, of one replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One run of a definition, its child runs included: the mean of its scenarios."""

    definition: str
    scenarios: tuple[str, ...]  # names of those that were counted
    events: Cost
    commands: Cost
    transitions: Cost
    attempts: dict[str, Cost]  # by lane; cancellations included
    emitted: Cost
    others: Cost  # dead letters, unclaimed events, audit
    changelog: Cost  # written, with a checkpoint after each action
    waiting: Cost  # records of the state while a run waits, and bytes of their keys and values, where they are most
    kept: Cost  # the same of a finished run


def workload_of(definition: str, volumes: Sequence[Volume]) -> Workload:
    """The mean of `volumes`. Raises Rejected (`capacity_without_runs`) when none of them starts a run."""
    runs = sum(volume.runs for volume in volumes)
    if not runs:
        text = f"No scenario of {definition} starts a run, so there is nothing to count."
        raise Rejected("capacity_without_runs", f"{text} Name scenarios that do, or write one (docs/scenarios.md).")

    def mean(amounts: Sequence[Amount]) -> Cost:
        return Cost(records=sum(one.records for one in amounts) / runs, bytes=sum(one.bytes for one in amounts) / runs)

    lanes = sorted({lane for volume in volumes for lane in volume.tasks})
    waiting = [volume.waiting for volume in volumes if volume.waiting.runs]
    ended = [volume for volume in volumes if volume.runs and volume.kept.records]
    return Workload(
        definition=definition,
        scenarios=tuple(volume.name for volume in volumes),
        events=mean([volume.events for volume in volumes]),
        commands=mean([volume.commands for volume in volumes]),
        transitions=mean([volume.transitions for volume in volumes]),
        attempts={lane: mean([volume.tasks.get(lane, Amount()) for volume in volumes]) for lane in lanes},
        emitted=mean([volume.emitted for volume in volumes]),
        others=mean([volume.others for volume in volumes]),
        changelog=mean([volume.changelog for volume in volumes]),
        waiting=_each(waiting, sum(held.runs for held in waiting)),
        kept=_each([volume.kept for volume in ended], sum(volume.runs for volume in ended)),
    )


def _each(held: Sequence[Held], runs: int) -> Cost:
    """For each of `runs` what they hold; nothing when there are none."""
    count = max(1, runs)
    return Cost(records=sum(one.records for one in held) / count, bytes=sum(one.bytes for one in held) / count)
