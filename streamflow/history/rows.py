"""Rows of the history store, as the projection makes them and readers get them. Times are epoch milliseconds of the
partition's time."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

RunStatus = Literal["open", "completed", "failed", "cancelled"]
ENDED: tuple[RunStatus, ...] = ("completed", "failed", "cancelled")
TroubleKind = Literal["rejected", "unclaimed", "late", "expired", "overflow", "parked", "dead_letter"]
TROUBLE_KINDS: tuple[TroubleKind, ...] = TroubleKind.__args__  # type: ignore[attr-defined]


class RunRow(Struct, frozen=True, kw_only=True):
    """A run, as its latest transition left it. Without payloads."""

    run: str
    """The run id."""

    definition: str
    """The name of its definition."""

    version: str
    """The version of its definition."""

    sha: str
    """The sha256 of its content; empty when its beginning was no longer in the topic."""

    key: str
    """Its business key."""

    status: RunStatus
    """`open`, or how it ended. An open run with a `parked_step` waits for a person."""

    started_ms: int
    """When it began, or the time of its first transition that was still in the topic."""

    updated_ms: int
    """The time of its latest transition."""

    ended_ms: int | None = None
    """When it ended; None: it is open."""

    duration_ms: int | None = None
    """How long it took; None: it is open."""

    error_code: str | None = None
    """The code of the latest attempt that failed or of what a step is parked for; None: nothing failed, or the run
    completed."""

    error_message: str | None = None
    """The same for people; of a failed or cancelled run the reason of its end."""

    parent: str | None = None
    """The run whose step waits for this one."""

    restart_of: str | None = None
    """The run in whose place this one was started."""

    parked_step: str | None = None
    """The address of the parked step (the one that began first, if there are several)."""

    waits_for: str | None = None
    """What it waits for, sorted, with a space between: names of events, `approval:<who>`, `delay:<until>`,
    `call:<operation>`, `callback:<operation>`, `retry:<operation>` or `child:<definition>`; beyond 20 their number."""

    due_ms: int | None = None
    """When its next timer is due."""

    stopping: str | None = None
    """How a run that undoes its steps is going to end."""

    seq: int
    """The number of its latest transition."""

    first_seq: int = 1
    """The number of its first transition that was read; above 1 the beginning was no longer in the topic."""


class StepRow(Struct, frozen=True, kw_only=True):
    """A step of an open run that has begun and not ended."""

    run: str
    """The run id."""

    step: str
    """The address of the step."""

    state: str
    """Its status, as the engine names it, such as `waiting` or `parked`."""

    attempt: int
    """The number of its latest attempt, from 1; 0: it makes none."""

    since_ms: int
    """Since when it has this status."""

    begun_ms: int
    """When it began."""

    due_ms: int | None = None
    """When its timer is due."""

    waits_for: str | None = None
    """The same of the step, all of it."""

    error_code: str | None = None
    """The code of its latest failed attempt, or of what it is parked for."""

    body: bytes = b""
    """The engine's state of the step, from which the projection continues."""


class TransitionRow(Struct, frozen=True, kw_only=True):
    """A transition of a run."""

    run: str
    """The run id."""

    seq: int
    """Its number in the run."""

    at_ms: int
    """When it happened."""

    kind: str
    """Its type, such as `WaitStarted`."""

    step: str
    """The address of the step that it is about; empty: the run."""

    body: bytes
    """The value of its record in `runs`, JSON."""


class TroubleRow(Struct, frozen=True, kw_only=True):
    """A warning for operators."""

    id: str
    """What it is known by: the id of a dead letter, the place of a delivery, `parked/<run>/<step>`."""

    kind: TroubleKind
    """What kind of trouble it is."""

    definition: str = ""
    """Whose it is; empty: nothing says it."""

    key: str = ""
    """The business key; empty: nothing says it."""

    event: str = ""
    """The name of the event that it is about."""

    event_id: str = ""
    """The id of the event."""

    source: str = ""
    """The source of the event."""

    run: str = ""
    """The run that it is about, or that came nearest to taking the event."""

    step: str = ""
    """The address of the step of that run."""

    code: str = ""
    """The stable code of the reason."""

    message: str = ""
    """The reason for people."""

    at_ms: int
    """When it happened last."""

    count: int = 1
    """How often it happened."""

    state: Literal["open", "settled"] = "open"
    """`settled`: a person has dealt with it, or the run continued."""

    place: str = ""
    """Where the record lies: `topic/partition/offset`."""


class EventFate(Struct, frozen=True, kw_only=True):
    """One outcome of an event: a run that it started, a wait that took it, or why nothing did."""

    event_id: str
    """The event's id."""

    source: str
    """The event's source; empty: it has none."""

    event: str
    """Its name in the catalog."""

    definition: str
    """The definition to which it was delivered; empty: it was refused before that."""

    key: str
    """The business key."""

    outcome: str
    """`started`, `taken`, `copied`, `emitted`, `unclaimed`, `expired`, `refused`, `rejected` or `dead_letter`."""

    reason: str = ""
    """Why nothing took it: a code."""

    run: str = ""
    """The run that it started, that took it or that emitted it, or that came nearest to taking it."""

    step: str = ""
    """The address of the step of that run."""

    at_ms: int
    """When that was decided."""

    place: str = ""
    """Where the record that says so lies: `topic/partition/offset`."""


class LogRow(Struct, frozen=True, kw_only=True):
    """A log line about a run."""

    run: str
    """The run id."""

    seq: int
    """Its offset in `logs`: lines of one run are in one partition."""

    at_ms: int
    """When it was logged, by the clock of the process."""

    role: str
    """The role of the process."""

    level: str
    """`debug`, `info`, `warning` or `error`."""

    event: str
    """What happened."""

    fields: str
    """What else the line says, JSON."""


class Attribute(Struct, frozen=True, kw_only=True):
    """A search attribute of a run, as its definition declares it."""

    run: str
    """The run id."""

    name: str
    """Its name."""

    value: str
    """A text as it is, a number or a truth value as JSON writes it."""

    started_ms: int
    """When the run began."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far one partition of a topic is projected."""

    topic: str
    """The role of the topic, such as `runs`."""

    partition: int
    """Its partition."""

    offset: int
    """The next offset to read."""

    end: int
    """The end of the partition when this was written."""

    record_ms: int
    """The broker's time of the record before `offset`; 0: there was none."""

    lag_ms: int = 0
    """How old the record before `offset` was when more were waiting; 0: none was waiting."""

    seen_ms: int
    """When the worker wrote this, by its own clock."""


class CounterKey(Struct, frozen=True, gc=False, order=True):
    """What is counted: in `hour` with an empty `step` how runs began and ended, else how a step ended."""

    definition: str
    """The name of the definition."""

    version: str
    """Its version."""

    step: str
    """The address of the step; empty: the run."""

    outcome: str
    """Of a run `started`, `completed`, `failed` or `cancelled`; of a step its outcome, `skipped` or `parked`."""

    hour: int
    """The hour, as the number of hours since the epoch."""
