"""One run, folded from its transitions into its rows. Pure: the same transitions give the same rows.

What the state of a step is after a fact, the rules of the engine say; this module adds since when, and what people look
for: errors, what is parked, what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded
from streamflow.engine.evolve import FACT_RULES, parked_after, retried_after, stopped_after
from streamflow.engine.state import StepState
from streamflow.engine.transitions import Transition
from streamflow.history.counters import Counters, count
from streamflow.history.rows import RunRow, RunStatus, StepRow
from streamflow.history.waits import found_by, shown, waits_after

NO_BRANCH = "none"  # how a choose is counted of which no branch held
MESSAGE_CHARS = 500
_ENDINGS: dict[type, RunStatus] = {
    t.RunCompleted: "completed",
    t.RunFailed: "failed",
    t.RunCancelled: "cancelled",
}
_RESTART = "restart/"  # the id of a request that puts a run instead of another one begins so
_CLOSED = frozenset({"done", "skipped"})
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StepState)


@dataclass(slots=True)
class OpenStep:
    """A step that has begun and not ended."""

    state: StepState
    since_ms: int
    begun_ms: int
    waits_for: tuple[str, ...] = ()
    error_code: str | None = None


@dataclass(slots=True)
class RunFold:
    """A run so far. `touched` are steps whose rows changed since the fold was made or `settled` was called; `stored`
    says that the store has transitions of it."""

    run: str
    definition: str
    version: str
    key: str
    sha: str = ""
    status: RunStatus = "open"
    started_ms: int = 0
    updated_ms: int = 0
    error_code: str | None = None
    error_message: str | None = None
    parent: str | None = None
    restart_of: str | None = None
    stopping: str | None = None
    seq: int = 0
    first_seq: int = 1
    steps: dict[str, OpenStep] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    unparked: set[str] = field(default_factory=set)
    waited: frozenset[str] = frozenset()
    stored: bool = False

    def take(self, transition: Transition, counters: Counters) -> bool:
        """Take the next transition in, and count what it ends; False for a copy of one that it has."""
        if transition.seq <= self.seq:
            return False
        if not self.seq:
            self.started_ms, self.first_seq = transition.at_ms, transition.seq
        self.seq, self.updated_ms = transition.seq, transition.at_ms
        special = _SPECIAL.get(type(transition.data))
        if special is not None:
            special(self, transition, counters)
        else:
            self._step(transition, counters)
        return True

    def row(self) -> RunRow:
        """The run as it is now."""
        ended = self.status != "open"
        due = [step.state.due_ms for step in self.steps.values() if step.state.due_ms is not None]
        parked = [(step.begun_ms, name) for name, step in self.steps.items() if step.state.status == "parked"]
        return RunRow(
            run=self.run,
            definition=self.definition,
            version=self.version,
            sha=self.sha,
            key=self.key,
            status=self.status,
            started_ms=self.started_ms,
            updated_ms=self.updated_ms,
            ended_ms=self.updated_ms if ended else None,
            duration_ms=self.updated_ms - self.started_ms if ended else None,
            error_code=self.error_code,
            error_message=self.error_message,
            parent=self.parent,
            restart_of=self.restart_of,
            parked_step=min(parked)[1] if parked else None,
            waits_for=shown(wait for step in self.steps.values() for wait in step.waits_for),
            due_ms=min(due) if due else None,
            stopping=self.stopping,
            seq=self.seq,
            first_seq=self.first_seq,
        )

    @property
    def waits(self) -> frozenset[str]:
        """What it waits for, as words that it is found by."""
        return found_by(wait for step in self.steps.values() for wait in step.waits_for)

    def step_row(self, name: str) -> StepRow:
        """The row of an open step."""
        step = self.steps[name]
        return StepRow(
            run=self.run,
            step=name,
            state=step.state.status,
            attempt=step.state.attempt,
            since_ms=step.since_ms,
            begun_ms=step.begun_ms,
            due_ms=step.state.due_ms,
            waits_for=" ".join(step.waits_for) or None,
            error_code=step.error_code,
            body=_encoder.encode(step.state),
        )

    def settled(self) -> None:
        """What changed is in the store now."""
        self.touched.clear()
        self.unparked.clear()
        self.waited = self.waits
        self.stored = True

    # -- facts about steps

    def _step(self, transition: Transition, counters: Counters) -> None:
        data, name = transition.data, transition.address
        rule = FACT_RULES[type(data)]
        if rule.step is None or not name:
            return
        before = self.steps.get(name)
        after = rule.step(before.state if before is not None else None, transition)
        outcome = rule.outcome(data) if rule.outcome is not None else None
        if after.status in _CLOSED:
            self._close(name)
            if isinstance(data, AttemptSucceeded) and before is not None and before.error_code == self.error_code:
                self.error_code = self.error_message = None
            took = transition.at_ms - before.begun_ms if before is not None else 0
            count(
                counters,
                self.definition,
                self.version,
                name,
                outcome or after.outcome or NO_BRANCH,
                transition.at_ms,
                took,
            )
        else:
            self._set(name, after, transition.at_ms)
            step = self.steps[name]
            step.waits_for = waits_after(step.waits_for, data, after.status)
        if isinstance(data, AttemptFailed):
            self.error_code, self.error_message = data.code, data.message[:MESSAGE_CHARS]
            if name in self.steps:
                self.steps[name].error_code = data.code

    def _set(self, name: str, state: StepState, at_ms: int) -> None:
        step = self.steps.get(name)
        if step is None:
            self.steps[name] = OpenStep(state, at_ms, at_ms)
        else:
            if step.state.status != state.status:
                step.since_ms = at_ms
            step.waits_for = waits_after(step.waits_for, None, state.status)
            step.state = state
        self.touched.add(name)

    def _close(self, name: str) -> OpenStep | None:
        step = self.steps.pop(name, None)
        if step is not None:
            self.touched.add(name)
            if step.state.status == "parked":
                self.unparked.add(name)
        return step

    # -- facts about the run

    def _started(self, transition: Transition, counters: Counters) -> None:
        data: t.RunStarted = transition.data
        self.sha, self.parent = data.sha, data.parent.run if data.parent is not None else None
        if data.event.id.startswith(_RESTART):
            self.restart_of = data.event.id.removeprefix(_RESTART)
        count(counters, self.definition, self.version, "", "started", transition.at_ms, None)

    def _skipped(self, transition: Transition, counters: Counters) -> None:
        for name in transition.data.steps:
            before = self._close(name)
            took = transition.at_ms - before.begun_ms if before is not None else None
            count(counters, self.definition, self.version, name, "skipped", transition.at_ms, took)

    def _parked(self, transition: Transition, counters: Counters) -> None:
        data: t.StepParked = transition.data
        name = transition.address
        before = self.steps.get(name)
        self._set(name, parked_after(before.state if before is not None else None), transition.at_ms)
        self.steps[name].error_code = self.error_code = data.code
        if before is None or self.error_message is None:
            self.error_message = f"parked at {data.at}"[:MESSAGE_CHARS]
        count(counters, self.definition, self.version, name, "parked", transition.at_ms, None)

    def _retried(self, transition: Transition, counters: Counters) -> None:
        name = transition.address
        before = self.steps.get(name)
        after = retried_after(before.state, transition.data.deadline_ms) if before is not None else None
        if after is None or after.status in _CLOSED:
            self._close(name)
        else:
            self.unparked.add(name)
            self._set(name, after, transition.at_ms)

    def _stopping(self, transition: Transition, counters: Counters) -> None:
        data: t.RunStopping = transition.data
        under_way = {one.address: one for one in data.under_way}
        for name in tuple(self.steps):
            state = stopped_after(self.steps[name].state, under_way.get(name))
            if state.status in _CLOSED:
                self._close(name)
            else:
                self._set(name, state, transition.at_ms)
        self.stopping = data.ending

    def _ended(self, transition: Transition, counters: Counters) -> None:
        data = transition.data
        self.status = _ENDINGS[type(data)]
        for name in tuple(self.steps):
            self._close(name)
        self.stopping = None
        if isinstance(data, t.RunCompleted):
            self.error_code = self.error_message = None
        else:
            self.error_message = data.reason[:MESSAGE_CHARS] or self.error_message
        took = transition.at_ms - self.started_ms
        count(counters, self.definition, self.version, "", self.status, transition.at_ms, took)


_SPECIAL: dict[type, Callable[[RunFold, Transition, Counters], None]] = {
    t.RunStarted: RunFold._started,  # noqa: SLF001 - of the class above
    t.StepsSkipped: RunFold._skipped,  # noqa: SLF001
    t.StepParked: RunFold._parked,  # noqa: SLF001
    t.StepRetried: RunFold._retried,  # noqa: SLF001
    t.RunStopping: RunFold._stopping,  # noqa: SLF001
    t.RunCompleted: RunFold._ended,  # noqa: SLF001
    t.RunFailed: RunFold._ended,  # noqa: SLF001
    t.RunCancelled: RunFold._ended,  # noqa: SLF001
}


def restored(row: RunRow, steps: Iterable[StepRow]) -> RunFold:
    """The fold of a run as the store has it."""
    fold = RunFold(
        **{
            name: getattr(row, name)
            for name in (
                "run",
                "definition",
                "version",
                "key",
                "sha",
                "status",
                "started_ms",
                "updated_ms",
                "error_code",
                "error_message",
                "parent",
                "restart_of",
                "stopping",
                "seq",
                "first_seq",
            )
        }
    )
    for step in steps:
        waits: Any = tuple(step.waits_for.split(" ")) if step.waits_for else ()
        fold.steps[step.step] = OpenStep(
            _decoder.decode(step.body), step.since_ms, step.begun_ms, waits, step.error_code
        )
    fold.settled()
    return fold
