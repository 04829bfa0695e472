"""The draft of one decision: reads through to the state, collects what would change, and touches nothing.

`RunBuilder` is the part for one run: each fact recorded in it is evolved at once, so the next question is asked of the
state after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from streamflow.definition.plan import NO_OUTCOME, START, Compiled, Plan
from streamflow.engine.address import split_address
from streamflow.engine.commands import CompleteAttempt, Continue, FailAttempt, Parent
from streamflow.engine.effects import AppendCommand, Effect
from streamflow.engine.evolve import evolve, records_of
from streamflow.engine.mailbox.buckets import Memories
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.record_keys import item_out_key, out_key, run_key
from streamflow.engine.state import WRITTEN_ONCE, NextGeneration, PartitionState, RunState, StateView
from streamflow.engine.trace import RunTraces, Trace
from streamflow.engine.transitions import (
    ENDINGS,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunStopping,
    StepParked,
    StepsSkipped,
    Transition,
    WaitStarted,
    WaitTimedOut,
)
from streamflow.ids import command_place, run_id

_UNREAD: Any = object()  # stands for no record; None is a deleted one
_ENDS_WAITS = frozenset({WaitStarted, WaitTimedOut, StepsSkipped, RunStopping})  # after which kept events may leave

NAME_BYTES = 1000  # of a business key, an event's id or its source; they are in many records


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one decision: counts, bytes of encoded records, and times in milliseconds."""

    environment: str = "main"  # a part of every run id

    transitions: int = 256
    """Transitions of one command; beyond it the run is continued by a further command."""

    command_bytes: int = 4_000_000
    """Bytes of what one command computes: inputs, values, events. Beyond it the run is continued by a further
    command."""

    list_bytes: int = 4_000_000
    """Bytes of the outputs of one list together, if they are read; beyond it an item fails with `output_too_large`."""

    kept_events: int = 100  # entries of a mailbox
    mailbox_bytes: int = 1 << 20  # their payloads
    claims: int = 16  # of one command; the rest is left to a Continue
    claimed_bytes: int = 1 << 20  # payloads that one command may claim
    window_ms: int = 7 * 86_400_000  # how long a consumed event is known at least, if its definition does not say
    claims_most_ms: int = 90 * 86_400_000  # how long at most, while a run is open that was open then
    trail_ms: int = 86_400_000  # how long the record of an event that nobody consumed is known
    unused_content_ms: int = 86_400_000  # how long a content stays that no run uses
    record_bytes: int = 900_000
    open_runs: int = 100  # of a mailbox
    name_bytes: int = NAME_BYTES  # a business key, an event's id or its source
    items: int = 10_000
    lost_ms: int = 60_000

    def window(self, said_ms: int | None) -> int:
        """How long the events of a definition are remembered that says `said_ms`, or does not say it."""
        return min(said_ms or self.window_ms, self.claims_most_ms)


class DecisionBuilder(Struct, kw_only=True):
    """Changes by key (None deletes), transitions and effects of one command, in order."""

    view: StateView
    now_ms: int
    cause: str
    limits: Limits
    partition: PartitionState
    offset: int
    sent_at: tuple[int, int]
    """The partition of `commands` and the offset at which the command's sender has it acknowledged."""
    successor: NextGeneration | None
    """The generation to forward to, as it is after this draft."""
    traces: RunTraces
    changes: dict[str, Any] = {}
    bytes: int = 0
    """Encoded bytes of what the command has computed so far."""
    _read: dict[str, Any] = {}
    transitions: list[Transition] = []
    effects: list[Effect] = []
    mailboxes: dict[tuple[str, str], Mailbox] = {}  # by definition and business key
    memories: Memories
    tallies: dict[str, dict[str, int]] = {}  # counts of deliveries, by definition
    claims: int = 0
    claimed_bytes: int = 0
    continued: set[str] = msgspec.field(default_factory=set)  # runs for which a further command was asked for
    parks: bool = False  # whether a step is parked by this command
    pins: list[tuple[str, str, int]] = []  # (sha256, revision, change) of open runs
    plans: dict[str, Plan] = {}  # those that this command has needed, by sha256

    def mailbox(self, definition: str, key: str) -> Mailbox:
        """The mailbox of a business key; it is settled and written when the decision ends."""
        found = self.mailboxes.get((definition, key))
        if found is None:
            found = self.mailboxes[definition, key] = Mailbox(self, definition, key)
        return found

    def release(self) -> None:
        """Let go of the mailboxes, which refer to the builder: as a cycle, each decision would stay in memory until
        the garbage collector finds it, which costs a quarter of the engine's time."""
        self.mailboxes.clear()

    def run_id(self, definition: str, key: str, sent_at: tuple[int, int] | None = None) -> str:
        """The id of the run that this command starts, or the one at that partition and offset of `commands`."""
        place = command_place(self.partition.topic_id, *(sent_at or self.sent_at))
        return run_id(self.limits.environment, definition, key, place)

    def get(self, key: str) -> Any:
        """The record under `key` as it is after this draft."""
        found = self.changes.get(key, _UNREAD)
        if found is _UNREAD:
            found = self._read.get(key, _UNREAD)
            if found is _UNREAD:  # decoding it again for every expression would cost more than they do
                found = self._read[key] = self.view.get(key)
        return found

    def put(self, key: str, record: Any) -> None:
        if record is None and self.changes.get(key) is not None and key.startswith(WRITTEN_ONCE):
            del self.changes[key]  # came and went within this decision
        else:
            self.changes[key] = record


def _transition(
    builder: DecisionBuilder,
    plan: Plan,
    run: str,
    key: str,
    seq: int,
    data: Any,
    address: str = "",
    attempt: int | None = None,
) -> Transition:
    scope, step = split_address(address) if address else ("", None)
    return Transition(
        run=run,
        definition=plan.name,
        version=plan.version,
        key=key,
        seq=seq,
        at_ms=builder.now_ms,
        cause=builder.cause,
        data=data,
        step=step,
        attempt=attempt,
        scope=scope,
    )


class RunBuilder:
    """One run in a draft: its head so far, its plan, and the recording of facts."""

    __slots__ = ("builder", "closed", "head", "plan")

    def __init__(self, builder: DecisionBuilder, plan: Plan, head: RunState) -> None:
        self.builder = builder
        self.plan = plan
        self.head = head
        self.closed = False

    @classmethod
    def start(cls, builder: DecisionBuilder, plan: Plan, run: str, key: str, fact: RunStarted) -> RunBuilder:
        """A run that begins, with its first transition."""
        transition = _transition(builder, plan, run, key, 1, fact)
        started = cls(builder, plan, evolve(None, transition))
        started._collect(None, transition)
        return started

    def is_over(self) -> bool:
        """Whether no further step begins: the run has ended, or is stopping."""
        return self.closed or self.head.stopping is not None

    @property
    def trace(self) -> Trace | None:
        """The span of what the run does now; None: it is in no trace."""
        return self.builder.traces.of(self.head.run, self.head.trace)

    @property
    def full(self) -> bool:
        """Whether this command has made as many transitions, or computed as many bytes, as one may."""
        builder, limits = self.builder, self.builder.limits
        return len(builder.transitions) >= limits.transitions or builder.bytes >= limits.command_bytes

    def continue_later(self) -> None:
        """Ask for a further command, once, because this one has made as many transitions as one may."""
        head = self.head
        if head.run in self.builder.continued:
            return
        self.builder.continued.add(head.run)
        again = Continue(id=f"continue/{head.run}/{head.seq}", run=head.run, seq=head.seq, trace=self.trace)
        self.builder.effects.append(AppendCommand(head.key, again))

    def record(self, data: Any, address: str = "", *, attempt: int | None = None) -> Transition:
        """Record a fact, about the step at `address` unless it is about the run."""
        before = self.head
        transition = _transition(
            self.builder, self.plan, before.run, before.key, before.seq + 1, data, address, attempt
        )
        self.head = evolve(before, transition)
        self._collect(before, transition)
        return transition

    def _collect(self, before: RunState | None, transition: Transition) -> None:
        """Collect a transition and what it changes beside the head."""
        builder, plan, after, kind = self.builder, self.plan, self.head, type(transition.data)
        builder.transitions.append(transition)
        builder.traces.of(after.run, after.trace)
        for name, record in records_of(before, after, transition, plan.reads):
            builder.put(name, record)
        if kind in ENDINGS:
            self._close(after, transition)
        else:
            builder.changes[run_key(after.run)] = after
            builder.parks |= kind is StepParked
        if kind in _ENDS_WAITS and plan.waits:
            builder.mailbox(after.definition, after.key)  # to be settled

    def _close(self, state: RunState, transition: Transition) -> None:
        self.closed = True
        builder = self.builder
        builder.put(run_key(state.run), None)
        builder.mailbox(state.definition, state.key).runs.pop(state.run)
        builder.pins.append((state.sha, state.revision, -1))
        if state.parent is not None:
            builder.effects.append(
                AppendCommand(state.parent.key, answer_of(state.parent, state.run, transition.data, self.trace))
            )

    def variables(
        self,
        expression: Compiled,
        event: Any = None,
        *,
        attributes: Mapping[str, str] | None = None,
        item: tuple[int, Any] | None = None,
        now_ms: int | None = None,
        inputs_not_ready: tuple[str, ...] = (),
    ) -> Mapping[str, Any]:
        """The values that `expression` reads, and no others: converting them is most of its cost.

        `event` and `attributes` are those of the event that is looked at, `item` is (index, item) of a list, `now_ms`
        the time to give for `now` instead of the command's, `inputs_not_ready` are steps that count as not ended."""
        names, builder, head = expression.names, self.builder, self.head
        values: dict[str, Any] = {}
        if "event" in names:
            values["event"] = event
        if "cloudevent" in names:
            values["cloudevent"] = attributes or {}
        if "trigger" in names:
            values["trigger"] = builder.get(out_key(head.run, START))
        if "steps" in names:
            values["steps"] = self._outputs(expression, inputs_not_ready)
        if "errors" in names:
            values["errors"] = self._errors(expression, inputs_not_ready)
        if item is not None:
            values["index"], values["item"] = item
        if "run" in names:
            values["run"] = {
                "id": head.run,
                "key": head.key,
                "definition": head.definition,
                "version": head.version,
                "started_ms": head.started_ms,
                "trigger": head.trigger,
            }
        if "now" in names:
            values["now"] = builder.now_ms if now_ms is None else now_ms
        return values

    def _outputs(self, expression: Compiled, inputs_not_ready: tuple[str, ...]) -> dict[str, Any]:
        """The outputs of the steps that `expression` names and that have one."""
        head = self.head
        return {
            step: self.output(step)
            for step in sorted(expression.steps)
            if (state := head.steps.get(step)) is not None
            and state.status == "done"
            and (state.outcome not in NO_OUTCOME or (state.items is not None and head.stopping is not None))
            and step not in inputs_not_ready
        }

    def _errors(self, expression: Compiled, inputs_not_ready: tuple[str, ...]) -> dict[str, Any]:
        """The errors of the steps that `expression` names and that failed or timed out after an attempt."""
        head = self.head
        return {
            step: self.builder.get(out_key(head.run, step))
            for step in sorted(expression.steps)
            if (state := head.steps.get(step)) is not None
            and state.outcome in NO_OUTCOME
            and state.attempt
            and step not in inputs_not_ready
        }

    def output(self, step: str) -> Any:
        """The output of a step that is done and that an expression of the plan reads; of a list, that of every item,
        None for those without."""
        head = self.head
        items = head.steps[step].items
        if items is None:
            return self.builder.get(out_key(head.run, step))
        return [self.builder.get(item_out_key(head.run, step, item)) for item in range(items.total)]


def answer_of(parent: Parent, run: str, ending: Any, trace: Trace | None) -> CompleteAttempt | FailAttempt:
    """What the end of a run is for its parent."""
    if isinstance(ending, RunCompleted):
        output = {"run": run, "ended": ",".join(ending.ended), "output": ending.output}
        return CompleteAttempt(
            id=f"ended/{run}",
            run=parent.run,
            address=parent.address,
            attempt=parent.attempt,
            output=output,
            item=parent.item,
            trace=trace,
        )
    code = "child_failed" if isinstance(ending, RunFailed) else "child_cancelled"
    return FailAttempt(
        id=f"ended/{run}",
        run=parent.run,
        address=parent.address,
        attempt=parent.attempt,
        code=code,
        message=f"{run}: {ending.reason[:1000]}",
        retryable=False,
        item=parent.item,
        trace=trace,
    )
