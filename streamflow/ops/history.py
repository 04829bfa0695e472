"""Runs as the topic `runs` tells them: transitions without copies, and what they say about a run, without asking any
worker."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING

from streamflow.engine.transitions import RunCancelled, RunCompleted, RunFailed, RunStarted, RunStopping, Transition
from streamflow.errors import Rejected
from streamflow.ids import environment_of, partition_of, partition_of_run
from streamflow.kafka.publication import read_log
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.ops.steps import OPEN, StepProgress, progress_of, take
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.transitions import decode_transition
from streamflow.wire.unreadable import UNREADABLE, Unreadable

Status = Literal["open", "parked", "completed", "failed", "cancelled"]
END_S = 2.0  # for the end of a run to be in `runs`, once the engine has refused a command because of it
END_AGAIN_S = 0.1
_RUN_ID = r"[0-9a-f]{8}-[a-z0-9]{1,16}-[0-9a-f]{20}"  # as `ids.run_id` makes them
STATUSES: tuple[Status, ...] = ("open", "parked", "completed", "failed", "cancelled")

_ENDINGS: dict[type, Status] = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}


@dataclass(slots=True)
class RunSummary:
    """Where a run is, as its transitions say. `open` are the steps that have begun and not ended, `ended` what its last
    transition says. `correlation_id` is what its caller knows it by, `trace_id` the trace in which it began, both empty
    if there is none. `stopping`: it ends as `failed` or `cancelled` when what is to be undone is undone."""

    run: str
    definition: str
    version: str
    key: str
    status: Status = "open"
    seq: int = 0
    started_ms: int = 0
    last_ms: int = 0
    ended: str = ""
    stopping: str = ""
    open: dict[str, StepProgress] = field(default_factory=dict)
    copies: int = 0
    gaps: int = 0
    correlation_id: str = ""
    trace_id: str = ""

    def take(self, transition: Transition) -> bool:
        """Takes the next transition in; False for a copy of one that it has."""
        if transition.seq <= self.seq:
            self.copies += 1
            return False
        # The beginning of an old run may have left the topic; a hole after the first one seen is never right.
        if self.seq and transition.seq != self.seq + 1:
            self.gaps += 1
        if not self.seq:
            self.started_ms = transition.at_ms
        self.seq = transition.seq
        self.last_ms = transition.at_ms
        data, opened = transition.data, self.open
        take(opened, transition)
        if isinstance(data, RunStarted):
            self.correlation_id, self.trace_id = data.correlation_id, (data.trace or "")[3:35]
        if isinstance(data, RunStopping):
            self.stopping = data.ending
        if transition.step is None or isinstance(data, RunStopping):
            self.open = {name: step for name, step in opened.items() if step.state in OPEN}
        elif transition.address in opened and opened[transition.address].state not in OPEN:
            del opened[transition.address]
        if type(data) in _ENDINGS:
            self.open.clear()
            self.status = _ENDINGS[type(data)]
            self.ended = ", ".join(data.ended) if isinstance(data, RunCompleted) else data.reason
        else:
            self.status = (
                "parked" if self.open and any(step.state == "parked" for step in self.open.values()) else "open"
            )
        return True

    @property
    def at(self) -> dict[str, str]:
        """The open steps, each in a few words."""
        return {name: step.words() for name, step in self.open.items()}

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.status not in ("open", "parked")

    def facts(self) -> dict[str, Any]:
        """The summary as JSON data."""
        return {
            "run": self.run,
            "definition": self.definition,
            "version": self.version,
            "key": self.key,
            "status": self.status,
            "seq": self.seq,
            "started_ms": self.started_ms,
            "last_ms": self.last_ms,
            "ended": self.ended,
            "at": self.at,
            "correlation_id": self.correlation_id or None,
            "trace_id": self.trace_id or None,
        }


class Runs:
    """Summaries of the runs whose transitions it is given, by run id, in the order of their first transition."""

    def __init__(self) -> None:
        self.by_id: dict[str, RunSummary] = {}
        self.unreadable = Unreadable(RUNS)

    def take(self, transition: Transition) -> RunSummary | None:
        """The run's summary after `transition`; None for a copy."""
        run = self.by_id.get(transition.run)
        if run is None:
            run = self.by_id[transition.run] = RunSummary(
                transition.run, transition.definition, transition.version, transition.key
            )
        return run if run.take(transition) else None

    def counts(self) -> dict[Status, int]:
        """How many runs there are in each status."""
        counts: dict[Status, int] = dict.fromkeys(STATUSES, 0)
        for run in self.by_id.values():
            counts[run.status] += 1
        return counts


def partition_of_known_run(settings: Settings, run: str) -> int:
    """The partition of `commands` that is addressed about a run, from its id. Raises Rejected (`no_run_id`)."""
    try:
        return partition_of_run(run, settings.topics.partitions)
    except ValueError as error:
        raise Rejected(
            "no_run_id",
            f"expected a run id such as 4f2a91c0-main-5d0c7a1b2c3d4e5f6071 but found {run!r}; `runs list` shows them",
        ) from error


def open_runs(
    settings: Settings, *, run: str | None = None, key: str | None = None, start: int = OFFSET_BEGINNING
) -> Reading:
    """A reading of `runs`: of the partitions that a known run, or a known business key, can be in, one of the first
    generation, or of all.

    Raises Rejected if `run` is no run id, OperationError if the topic cannot be read."""
    entry = None
    if run is not None:
        entry = partition_of_known_run(settings, run)
    elif key is not None:
        entry = partition_of(key, settings.topics.partitions)
    return Reading(settings, topic_name(settings, RUNS), start=start, entry=entry)


def transitions(records: Iterable[Record], unreadable: Unreadable | None = None) -> Iterator[Transition]:
    """The transitions in records of `runs`. A record that is none is skipped, and counted in `unreadable`."""
    skipped = unreadable or Unreadable(RUNS)
    for record in records:
        try:
            transition = decode_transition(record.value or b"", record.headers)
        except UNREADABLE as error:
            skipped.skip(record.partition, record.offset, error)
        else:
            yield transition


def read_runs(settings: Settings, *, key: str | None = None, progress: Progress | None = None) -> Runs:
    """All runs that the topic tells of, or those in the partition of `key`."""
    runs = Runs()
    with open_runs(settings, key=key) as reading:
        for transition in transitions(reading.to_end(progress), runs.unreadable):
            runs.take(transition)
    return runs


def find_history(settings: Settings, run: str, progress: Progress | None = None) -> list[Transition]:
    """The transitions of one run in order, each once; empty if the topic has none."""
    found: dict[int, Transition] = {}
    named = run.encode()
    with open_runs(settings, run=run) as reading:
        # A partition holds many runs; looking for the id costs a hundredth of decoding.
        for transition in transitions(record for record in reading.to_end(progress) if named in (record.value or b"")):
            if transition.run == run:
                found.setdefault(transition.seq, transition)
    return [found[seq] for seq in sorted(found)]


def read_history(settings: Settings, run: str, progress: Progress | None = None) -> list[Transition]:
    """As `find_history`, but raises Rejected (`run_unknown`) if the topic has none."""
    found = find_history(settings, run, progress)
    if not found:
        raise foreign(settings, run) or Rejected(
            "run_unknown", f"The topic runs has no run {run}. `runs list` shows the runs that are there."
        )
    return found


def foreign(settings: Settings, run: str) -> Rejected | None:
    """The error (`run_unknown`) that the run of this id is of another environment; None if it is not. Raises
    OperationError."""
    if re.fullmatch(_RUN_ID, run) is None:
        return None
    named, own = environment_of(run), read_log(settings).environment
    if named == own:
        return None
    text = f"The run {run} is of the environment {named}, and the topics {settings.topics.prefix}* are of {own}."
    return Rejected(
        "run_unknown", f"{text} Name the prefix of the other one's topics with --prefix.", environment=named
    )


def described(history: list[Transition]) -> dict[str, Any]:
    """A run as JSON data: how far it is, its steps, and once it is complete its output."""
    summary = summary_of(history)
    steps = [{"id": name} | step.facts() for name, step in progress_of(history).items()]
    last = history[-1].data
    return summary.facts() | {"steps": steps} | ({"output": last.output} if isinstance(last, RunCompleted) else {})


def summary_of(history: list[Transition]) -> RunSummary:
    """Where the run of `history` is."""
    first = history[0]
    summary = RunSummary(first.run, first.definition, first.version, first.key)
    for transition in history:
        summary.take(transition)
    return summary


def explained(refusal: Rejected, history: list[Transition]) -> Rejected:
    """What to answer when the engine refused a request for the run of `history`. The engine keeps no record of ended
    runs and calls them unknown; `run_ended` says how the run has ended. Any other refusal is returned as it is."""
    if refusal.code != "run_unknown" or not history:
        return refusal
    summary = summary_of(history)
    if not summary.has_ended:
        return refusal
    end = summary.status + (f" ({summary.ended})" if summary.ended else "")
    text = f"The run {summary.run} has ended: {end}. It can no longer be changed."
    return Rejected("run_ended", text, run=summary.run, status=summary.status)


def explain_refusal(settings: Settings, run: str, refusal: Rejected) -> Rejected:
    """As `explained`, with the history read from `runs`. It waits for a moment for the run's end: the refusal is read
    from another topic and may be there first. Raises OperationError."""
    deadline = time.monotonic() + END_S
    while True:
        history = find_history(settings, run) if refusal.code == "run_unknown" else []
        found = explained(refusal, history)
        if refusal.code == "run_unknown" and not history:
            return foreign(settings, run) or refusal
        if found is not refusal or not history or time.monotonic() > deadline:
            return found
        time.sleep(END_AGAIN_S)
