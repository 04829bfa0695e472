"""Shadow replay: what a run was given, played through a content in virtual time and without effects.

A run is given its trigger, the events of its key that a run took later, the decisions of people, and what operations
answered: all of it is in the transitions. Operations answer at once, with what they answered then. Two contents that
are given the same can be compared. The payload of an event that no run took is kept nowhere, so none is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import operation_names
from streamflow.definition.model import Definition
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded, CallRequested
from streamflow.engine.commands import Event
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.simulation.comparison import path
from streamflow.simulation.driver import Simulation
from streamflow.simulation.replaying import Passing, decide_again
from streamflow.simulation.tasks import Silent

Pair = tuple[Definition, Catalog]
_MOST_TIMERS = 2000
_UNANSWERED = frozenset({"attempt_lost", "queue_expired", "deadline_passed"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run that ended, and what else happened for its key."""

    history: Sequence[Transition]  # of the run, complete and in order
    related: Sequence[Transition] = ()  # of other runs with its key, and of its child runs


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a replay."""

    status: str  # `completed`, `failed`, `cancelled`, `open`, or `not started`
    ended: str  # the last steps, or the reason
    output: Any
    path: tuple[str, ...]  # the steps that ended, with their outcomes
    calls: tuple[tuple[str, str, Any], ...]  # step, operation, input
    events: tuple[tuple[str, str, str, Any], ...]  # step, event, key, payload
    values: tuple[tuple[str, Any], ...]  # step, what it set
    unanswered: tuple[str, ...]  # operations of which no answer was recorded

    def facts(self) -> dict[str, Any]:
        """As JSON would have it, without payloads."""
        return {"status": self.status, "ended": self.ended, "path": list(self.path)}


@dataclass(frozen=True, slots=True)
class Divergence:
    """How two replays of a run differ: in which of `status`, `path`, `output`, `calls`, `events` (none: they are the
    same), and the first step that does."""

    what: tuple[str, ...]
    first: str | None


def compare(before: Replayed, after: Replayed) -> Divergence:
    """How `after` differs from `before`."""
    what = [name for name in ("path", "output", "calls", "events") if getattr(before, name) != getattr(after, name)]
    if (before.status, before.ended) != (after.status, after.ended):
        what.insert(0, "status")
    first = _first(before.path, after.path)
    if first is None and what:
        first = _address(before.values, after.values)
    if first is None and "calls" in what:
        first = _address(before.calls, after.calls)
    if first is None and "events" in what:
        first = _address(before.events, after.events)
    return Divergence(tuple(what), first)


def _first(before: Sequence[str], after: Sequence[str]) -> str | None:
    for one, other in zip_longest(before, after):
        if one != other:
            return (other or one).partition(".")[0] if (other or one) else None
    return None


def _address(before: Sequence[tuple[Any, ...]], after: Sequence[tuple[Any, ...]]) -> str | None:
    for one, other in zip_longest(before, after):
        if one != other:
            return str((other or one or ("",))[0])
    return None


def replay(recorded: Recorded, pair: Pair, children: Sequence[Pair] = ()) -> Replayed:
    """Plays what a run was given through the content of `pair`. `children` are what it starts, each after those that it
    starts itself."""
    return _Replay(recorded, pair, children).played()


def is_replayable(history: Sequence[Transition]) -> str:
    """Why the run of `history` cannot be replayed; empty if it can."""
    first, last = history[0], history[-1]
    if not isinstance(first.data, t.RunStarted) or first.seq != 1 or last.seq != len(history):
        return "its history is not complete"
    if not isinstance(last.data, t.ENDINGS):
        return "it has not ended"
    if first.data.parent is not None:
        return "it is a child run"
    if any(isinstance(one.data, t.StepParked | t.StepRetried | t.RunCancelled) for one in history):
        return "a person has intervened"
    return ""


@dataclass(slots=True)
class _Replay:
    recorded: Recorded
    pair: Pair
    children: Sequence[Pair]
    unanswered: dict[str, None] = field(default_factory=dict)
    simulation: Simulation = field(init=False)
    _answers: list[RecordedAnswer] = field(init=False)
    _attempts: dict[tuple[str, str, int | None], int] = field(default_factory=dict)
    _time: Passing = field(init=False)

    def __post_init__(self) -> None:
        pairs = [*self.children, self.pair]
        called = {name for definition, _ in pairs for name in operation_names(definition)}
        began = self.recorded.history[0].at_ms
        self.simulation = Simulation(operations=dict.fromkeys(called, self._answer), now_ms=began)
        self._time = Passing(self.simulation, _MOST_TIMERS)
        for definition, catalog in pairs:
            events = [
                spec.model_copy(update={"topics": [f"shadow.{spec.name}"], "start": "earliest"})
                for spec in catalog.events
            ]
            self.simulation.publish(definition, catalog.model_copy(update={"events": events}))
        own = self.recorded.history[0].run
        related = [one for one in self.recorded.related if one.run != own]
        self._answers = list(answers_in([*self.recorded.history, *related]))

    def played(self) -> Replayed:
        for at_ms, given in self._inputs():
            self._time.until(at_ms)
            if isinstance(given, Event):
                self._send(given)
            else:
                self._decide(given)
            self.simulation.run_until_quiet()
        self._time.rest()
        return self._outcome()

    def _inputs(self) -> list[tuple[int, Event | Transition]]:
        """What the run was given, in order: its trigger first."""
        history, known = self.recorded.history, {spec.name for spec in self.pair[1].events}
        first = history[0]
        assert isinstance(first.data, t.RunStarted)
        trigger = first.data.event
        found: list[tuple[int, Event | Transition]] = [(first.at_ms, trigger)]
        seen = {_identity(trigger)}
        everything = [*history, *self.recorded.related]
        later = [(one.at_ms, one.data.event) for one in everything if isinstance(one.data, t.WaitSatisfied)]
        decided = [(one.at_ms, one) for one in history if isinstance(one.data, t.ApprovalGiven)]
        for at_ms, event in sorted(later, key=lambda each: each[0]):
            if event.name in known and _identity(event) not in seen and at_ms >= first.at_ms:
                seen.add(_identity(event))
                found.append((at_ms, event))
        return found[:1] + sorted([*found[1:], *decided], key=lambda each: each[0])

    def _send(self, event: Event) -> None:
        first = self.recorded.history[0]
        definition, catalog = self.pair
        if not event.name:
            self.simulation.start(definition.name, event.data, key=first.key, id=event.id)
            return
        spec = catalog.event(event.name)
        if spec is None:
            return  # this content knows nothing of it
        headers = {f"ce_{name}": text for name, text in event.attributes.items()}
        if event.source:
            headers["ce_source"] = event.source
        key = first.key if spec.key is None else None
        try:
            self.simulation.send(event.name, event.data, key=key, id=event.id, time_ms=event.time_ms, headers=headers)
        except Rejected:
            return  # the catalog reads a payload that this event does not have

    def _decide(self, given: Transition) -> None:
        if (run := self._run()) is not None:
            decide_again(self.simulation, run, given)

    def _answer(self, input: Any, task: Task) -> Any:
        place = (task.definition, task.address, task.item)
        number = self._attempts.get(place, 0)
        self._attempts[place] = number + 1
        there = [one for one in self._answers if one.place == place and one.operation == task.operation]
        alike = [one for one in there if one.input == input] or there
        if not alike:
            alike = [one for one in self._answers if one.operation == task.operation and one.input == input]
        if not alike:
            self.unanswered[task.operation] = None
            return Silent()
        return given(alike[min(number, len(alike) - 1)].fact)

    def _run(self) -> str | None:
        name, key = self.pair[0].name, self.recorded.history[0].key
        return next(
            (one.run for one in self.simulation.transitions() if (one.definition, one.key) == (name, key)), None
        )

    def _outcome(self) -> Replayed:
        run = self._run()
        return outcome_of(self.simulation.history(run) if run is not None else [], self.unanswered)


def outcome_of(history: Sequence[Transition], unanswered: Iterable[str]) -> Replayed:
    """The result of a replayed run; it did not start if there is no `history`."""
    last = history[-1].data if history else None
    status, ended, output = "not started" if not history else "open", "", None
    if isinstance(last, t.RunCompleted):
        status, ended, output = "completed", ", ".join(last.ended), last.output
    elif isinstance(last, t.RunFailed | t.RunCancelled):
        status = "failed" if isinstance(last, t.RunFailed) else "cancelled"
        ended = last.reason
    return Replayed(
        status=status,
        ended=ended,
        output=output,
        path=tuple(path(history)),
        calls=tuple(
            (one.address, one.data.operation, one.data.input) for one in history if isinstance(one.data, CallRequested)
        ),
        events=tuple(
            (one.address, one.data.event, one.data.key, one.data.data)
            for one in history
            if isinstance(one.data, t.EventEmitted)
        ),
        values=tuple((one.address, one.data.values) for one in history if isinstance(one.data, t.ValuesSet)),
        unanswered=tuple(unanswered),
    )


def given(fact: AttemptSucceeded | AttemptFailed) -> Any:
    """What an operation answers to an attempt that ended so: its output, or Silent. Raises OperationError."""
    if isinstance(fact, AttemptSucceeded):
        return fact.output
    if fact.outcome == "timeout" or fact.code in _UNANSWERED:
        return Silent()
    raise OperationError(fact.code, fact.message, retryable=fact.retry_ms is not None)


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """What an operation answered to an attempt."""

    place: tuple[str, str, int | None]  # definition, step, item
    key: str  # of the run
    operation: str
    input: Any
    fact: AttemptSucceeded | AttemptFailed


def answers_in(transitions: Iterable[Transition]) -> Iterable[RecordedAnswer]:
    """What operations answered, in order."""
    asked: dict[tuple[str, str, int | None], CallRequested] = {}
    for one in transitions:
        data = one.data
        if isinstance(data, CallRequested):
            asked[one.run, one.address, data.item] = data
        elif isinstance(data, AttemptSucceeded | AttemptFailed):
            call = asked.get((one.run, one.address, data.item))
            if call is not None:
                place = (one.definition, one.address, data.item)
                yield RecordedAnswer(place, one.key, call.operation, call.input, data)


def _identity(event: Event) -> tuple[str, str, str]:
    return event.name, event.source, event.id
