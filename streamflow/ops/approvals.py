"""Approvals that wait for people, as `runs` tells of them, and what a person decides.

Who somebody is, is not known here: `by` and `groups` are what the caller says. Anyone who may append to `commands` may
decide anything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING

from streamflow.engine import transitions as t
from streamflow.engine.commands import Decide
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.command_request import new_id
from streamflow.ops.history import transitions
from streamflow.ops.starts import check_schema
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import Unreadable

Decision = Literal["approved", "rejected"]
DECISIONS: dict[str, Decision] = {"approved": "approved", "rejected": "rejected"}

_BEARING = (t.ApprovalRequested, t.ApprovalGiven, t.ApprovalExpired, t.StepsSkipped, t.RunStopping, *t.ENDINGS)
_TYPES = frozenset(f"streamflow.{fact.__name__}".encode() for fact in _BEARING)


@dataclass(frozen=True, slots=True)
class OpenApproval:
    """An approval that nobody has given yet. `due_ms`: when it is given up (None: never)."""

    run: str
    step: str
    definition: str
    version: str
    key: str
    text: str
    who: tuple[str, ...]
    form: Any
    due_ms: int | None
    asked_ms: int

    def facts(self) -> dict[str, Any]:
        """The approval as JSON data."""
        return {name: getattr(self, name) for name in self.__slots__} | {"who": list(self.who)}


class Approvals:
    """The approvals that are open, oldest first. `read` goes on where the last one ended; may be shared by threads."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], OpenApproval] = {}
        # the last seq taken of a run that has open ones: what was asked again is no copy
        self._seen: dict[str, int] = {}
        self.unreadable = Unreadable(RUNS)
        self._at: dict[int, int] = {}
        self._lock = threading.Lock()

    def take(self, transition: Transition) -> None:
        """Takes a transition in; those that say nothing of approvals change nothing."""
        data, run = transition.data, transition.run
        if transition.seq <= self._seen.get(run, 0):
            return
        if isinstance(data, t.ApprovalRequested):
            asked = (
                transition.definition,
                transition.version,
                transition.key,
                data.text,
                data.who,
                data.form,
                data.due_ms,
                transition.at_ms,
            )
            address = transition.address
            self._open[run, address] = OpenApproval(run, address, *asked)
            self._seen[run] = transition.seq
        elif isinstance(data, t.ApprovalGiven | t.ApprovalExpired):
            self._close(run, (transition.address,))
        elif isinstance(data, t.StepsSkipped):
            self._close(run, data.steps)
        elif isinstance(data, t.RunStopping | t.RunCompleted | t.RunFailed | t.RunCancelled):
            self._close(run, [step for of, step in self._open if of == run])

    def _close(self, run: str, steps: Iterable[str]) -> None:
        if run not in self._seen:
            return
        for step in steps:
            self._open.pop((run, step), None)

    def read(self, settings: Settings, progress: Progress | None = None) -> list[OpenApproval]:
        """What is open now. The first time all of `runs` is read. Raises OperationError."""
        with self._lock:
            start: int | dict[int, int] = self._at or OFFSET_BEGINNING
            with Reading(settings, topic_name(settings, RUNS), start=start) as reading:
                for record in reading.to_end(progress):
                    self._take_record(record)
                self._at = {number: high for number, (_, high) in reading.bounds.items()}
            return self.open()

    def open(self) -> list[OpenApproval]:
        """What is open, as far as has been taken."""
        return sorted(self._open.values(), key=lambda one: (one.asked_ms, one.run, one.step))

    def _take_record(self, record: Record) -> None:
        # Most transitions are about something else; their values need not be decoded.
        if any(name == "ce_type" and value in _TYPES for name, value in record.headers):
            for transition in transitions([record], self.unreadable):
                self.take(transition)


def open_approval(history: Iterable[Transition], run: str, step: str) -> OpenApproval:
    """The open approval of `step` in the history of `run`. Raises Rejected (`approval_unknown`, `approval_closed`)."""
    approvals, asked, ended = Approvals(), False, "it is over"
    for transition in history:
        approvals.take(transition)
        asked = asked or (transition.address == step and isinstance(transition.data, t.ApprovalRequested))
        if transition.address == step and isinstance(transition.data, t.ApprovalGiven):
            ended = f"{transition.data.by} has {transition.data.decision} it"
    for one in approvals.open():
        if (one.run, one.step) == (run, step):
            return one
    if asked:
        raise Rejected(
            "approval_closed",
            f"expected an open approval {step} of {run} but {ended}; nothing is left to decide",
            run=run,
            step=step,
        )
    steps = {one.step for one in approvals.open() if one.run == run}
    raise Rejected(
        "approval_unknown",
        f"The run {run} has asked for no approval {step}. {remedy(step, steps, 'open approvals of this run')}",
        run=run,
        step=step,
    )


def decide(
    approval: OpenApproval,
    decision: str,
    *,
    by: str,
    groups: Iterable[str] = (),
    data: Any = None,
    id: str | None = None,
) -> Decide:
    """The command that says what was decided.

    Raises Rejected: `decision_unknown`, `not_allowed` when neither `by` nor one of `groups` may decide,
    `schema_mismatch` when `data` does not fit the form (of a rejection too: what comes after may read it)."""
    if decision not in DECISIONS:
        raise Rejected(
            "decision_unknown", f"expected one of {', '.join(DECISIONS)} but found {decision}. Choose one of them."
        )
    if not by:
        raise Rejected("by_missing", "expected the name of the person who decides but it is empty. Name yourself.")
    if not {by, *groups} & set(approval.who):
        may = ", ".join(approval.who)
        raise Rejected(
            "not_allowed",
            f"expected a decision by one of {may} but {by} is not one of them, and no group was named that is. Ask one "
            "of them, or name the group of the person who decides (`--group` of the command line).",
            who=list(approval.who),
        )
    if approval.form is not None:
        check_schema(approval.form, data, "data that fits the form")
    return Decide(
        id=id or new_id(), run=approval.run, address=approval.step, decision=DECISIONS[decision], by=by, data=data
    )
