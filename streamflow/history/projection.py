"""Records of topics to changes of rows. Pure: no clock, no I/O. Records of one partition come in their order; copies
change nothing.

`runs` is folded run by run (`runs.RunFold`); what `unclaimed` and `dead-letters` say stands for itself (`trouble`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamflow.definition.plan import whole_number
from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.history.counters import Counters
from streamflow.history.notices import NoticeRow, notice_of_transition
from streamflow.history.rows import Attribute, EventFate, LogRow, RunRow, StepRow, TransitionRow, TroubleRow
from streamflow.history.runs import RunFold

ATTRIBUTE_CHARS = 200
ATTRIBUTES = 16
Search = Callable[[str], Mapping[str, str]]
"""The search attributes that the content with a sha256 declares: the path in the trigger's data by name."""


@dataclass(slots=True)
class Changes:
    """What a batch of records changes, ready for the store."""

    runs: list[RunRow] = field(default_factory=list)
    """Rows of runs, each run once, with its latest state."""

    steps: list[StepRow] = field(default_factory=list)
    """Open steps that changed."""

    steps_ended: list[tuple[str, str]] = field(default_factory=list)
    """(run, step) of steps that are no longer open."""

    transitions: list[TransitionRow] = field(default_factory=list)
    """Transitions of runs that are open after the batch."""

    ended: dict[str, list[TransitionRow]] = field(default_factory=dict)
    """Runs that ended, with those of their transitions that the store does not have yet."""

    stored: set[str] = field(default_factory=set)
    """Those of `ended` of which the store has transitions."""

    attributes: list[Attribute] = field(default_factory=list)
    """Search attributes of runs that began."""

    waits: list[tuple[str, str, int]] = field(default_factory=list)
    """(run, wait, started_ms) of what open runs wait for now, as words that they are found by."""

    waits_ended: list[tuple[str, str, int]] = field(default_factory=list)
    """The same of what they no longer wait for."""

    counters: Counters = field(default_factory=dict)
    """What is added to the counters."""

    trouble: dict[str, TroubleRow] = field(default_factory=dict)
    """Trouble that is new, or happened again, by id."""

    settled: set[str] = field(default_factory=set)
    """Ids of trouble that is over, and that the store may have."""

    fates: list[EventFate] = field(default_factory=list)
    """Outcomes of events."""

    logs: list[LogRow] = field(default_factory=list)
    """Log lines about runs."""

    notices: list[NoticeRow] = field(default_factory=list)
    """What people may be notified of."""

    copies: int = 0
    """Transitions that were there already."""

    gaps: int = 0
    """Runs in which transitions are missing."""

    def note_trouble(self, row: TroubleRow) -> None:
        """Something happened: a step is parked, perhaps again. Of anything else a second row with the id is a copy."""
        known = self.trouble.get(row.id)
        if row.kind != "parked":
            self.trouble.setdefault(row.id, row)
            return
        self.trouble[row.id] = row if known is None else msgspec.structs.replace(row, count=known.count + row.count)
        self.settled.discard(row.id)

    def settle(self, id_: str) -> None:
        """It is over."""
        known = self.trouble.get(id_)
        if known is None:
            self.settled.add(id_)
        else:
            self.trouble[id_] = msgspec.structs.replace(known, state="settled")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTransition:
    """A transition with its record."""

    transition: Transition
    """What the record says."""

    value: bytes
    """The value of the record."""

    place: str
    """`runs/<partition>/<offset>`."""


def project_runs(
    batch: Iterable[RecordedTransition], folds: dict[str, RunFold], search: Search, changes: Changes
) -> None:
    """Fold `batch` into `folds`, which have every run of it that the store knows, and note what changes. Runs that are
    new are added to `folds`."""
    pending: dict[str, list[TransitionRow]] = {}
    for recorded in batch:
        transition = recorded.transition
        fold = folds.get(transition.run)
        if fold is None:
            fold = folds[transition.run] = RunFold(
                transition.run, transition.definition, transition.version, transition.key
            )
        if fold.seq and transition.seq > fold.seq + 1:
            changes.gaps += 1
        if not fold.take(transition, changes.counters):
            changes.copies += 1
            continue
        data = transition.data
        pending.setdefault(transition.run, []).append(
            TransitionRow(
                run=transition.run,
                seq=transition.seq,
                at_ms=transition.at_ms,
                kind=type(data).__name__,
                step=transition.address,
                body=recorded.value,
            )
        )
        if isinstance(data, t.RunStarted):
            changes.attributes += attributes_of(transition.run, transition.at_ms, data, search(data.sha))
        elif isinstance(data, t.StepParked):
            changes.note_trouble(_parked(recorded, fold))
        if (notice := notice_of_transition(transition)) is not None:
            changes.notices.append(notice)
        fate = _fate(recorded)
        if fate is not None:
            changes.fates.append(fate)
        if fold.unparked:
            for step in sorted(fold.unparked):
                changes.settle(parked_id(fold.run, step))
            fold.unparked.clear()
    for run, rows in pending.items():
        _note(folds[run], rows, changes)


def _note(fold: RunFold, rows: list[TransitionRow], changes: Changes) -> None:
    changes.runs.append(fold.row())
    waits = fold.waits
    changes.waits += [(fold.run, wait, fold.started_ms) for wait in sorted(waits - fold.waited)]
    changes.waits_ended += [(fold.run, wait, fold.started_ms) for wait in sorted(fold.waited - waits)]
    for name in sorted(fold.touched):
        if name in fold.steps:
            changes.steps.append(fold.step_row(name))
        else:
            changes.steps_ended.append((fold.run, name))
    if fold.status == "open":
        changes.transitions += rows
    else:
        changes.ended[fold.run] = rows
        if fold.stored:
            changes.stored.add(fold.run)
    fold.settled()


CORRELATION = "correlation_id"  # the attribute that every run has whose caller gave one


def attributes_of(run: str, started_ms: int, started: t.RunStarted, search: Mapping[str, str]) -> list[Attribute]:
    """The declared search attributes of a run, from the data that it was started with. A path that leads nowhere, or to
    a list or an object, gives none. The correlation id is one, unless the definition declares another of its name."""
    found = []
    for name, path in list(search.items())[:ATTRIBUTES]:
        value = _value(started.event.data, path.split(".")[1:])
        if value is not None:
            found.append(Attribute(run=run, name=name, value=value[:ATTRIBUTE_CHARS], started_ms=started_ms))
    if started.correlation_id and CORRELATION not in search:
        found.append(Attribute(run=run, name=CORRELATION, value=started.correlation_id, started_ms=started_ms))
    return found


def _value(data: Any, path: list[str]) -> str | None:
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    if isinstance(data, str):
        return data
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, float):
        data = whole_number(data)
    return str(data) if isinstance(data, int | float) else None


def parked_id(run: str, step: str) -> str:
    """The id of the trouble that a parked step is."""
    return f"parked/{run}/{step}"


def _parked(recorded: RecordedTransition, fold: RunFold) -> TroubleRow:
    transition = recorded.transition
    return TroubleRow(
        id=parked_id(transition.run, transition.address),
        kind="parked",
        definition=transition.definition,
        key=transition.key,
        run=transition.run,
        step=transition.address,
        code=transition.data.code,
        message=fold.error_message or "",
        at_ms=transition.at_ms,
        place=recorded.place,
    )


def _fate(recorded: RecordedTransition) -> EventFate | None:
    transition = recorded.transition
    data = transition.data
    if isinstance(data, t.RunStarted):
        event, outcome = data.event, "started"
    elif isinstance(data, t.WaitSatisfied):
        event, outcome = data.event, "copied" if data.is_copy else "taken"
    elif isinstance(data, t.EventEmitted):
        return EventFate(
            event_id=data.id,
            source="",
            event=data.event,
            definition=transition.definition,
            key=data.key,
            outcome="emitted",
            run=transition.run,
            step=transition.address,
            at_ms=transition.at_ms,
            place=recorded.place,
        )
    else:
        return None
    if not event.id:
        return None
    return EventFate(
        event_id=event.id,
        source=event.source,
        event=event.name,
        definition=transition.definition,
        key=transition.key,
        outcome=outcome,
        run=transition.run,
        step=transition.address,
        at_ms=transition.at_ms,
        place=recorded.place,
    )
