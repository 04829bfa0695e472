"""Shadow replay of a range of the topics: what came in it, played through a content in virtual time and without
effects.

The records of the users' topics are given as they lie there, at the times of their arrival, so that a content starts
the runs that it would have started, also those that the published one did not. People decide as they did for the same
step of the same key, and operations answer what they answered for the same key, or for the same input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import operation_names
from streamflow.definition.model import Definition
from streamflow.engine import transitions as t
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import Transition
from streamflow.simulation.driver import Simulation
from streamflow.simulation.replaying import Passing, decide_again
from streamflow.simulation.shadow import Replayed, answers_in, given, outcome_of
from streamflow.simulation.tasks import Silent
from streamflow.wire.decoding import Record

Pair = tuple[Definition, Catalog]
_MOST_TIMERS = 20_000


@dataclass(frozen=True, slots=True)
class RecordedRange:
    """What came in a time, and what was decided and answered."""

    records: Sequence[Record]  # of the users' topics, by their time
    transitions: Sequence[Transition]  # of the definition's runs, and of what they started


@dataclass(frozen=True, slots=True)
class Started:
    """A run that a replay of a range started."""

    key: str
    nth: int  # of the runs with its key, from 1
    at_ms: int
    outcome: Replayed


def replay_range(recorded: RecordedRange, pair: Pair, children: Sequence[Pair] = ()) -> list[Started]:
    """The runs of the content of `pair` that what was recorded starts, in the order of their starts. `children` are
    what it starts, each after those that it starts itself."""
    return _RangeReplay(recorded, pair, children).played()


def paired(before: Iterable[Started], after: Iterable[Started]) -> list[tuple[Started | None, Started | None]]:
    """The runs of two replays that are of the same start: the same key, and the same number of its runs; by their
    starts."""
    first, second = ({(one.key, one.nth): one for one in found} for found in (before, after))
    pairs = [(first.get(place), second.get(place)) for place in dict.fromkeys([*first, *second])]
    return sorted(pairs, key=lambda pair: min(one.at_ms for one in pair if one is not None))


@dataclass(slots=True)
class _RangeReplay:
    recorded: RecordedRange
    pair: Pair
    children: Sequence[Pair]
    simulation: Simulation = field(init=False)
    _unanswered: dict[str, dict[str, None]] = field(default_factory=dict)  # operations by key
    _time: Passing = field(init=False)

    def __post_init__(self) -> None:
        pairs = [*self.children, self.pair]
        called = {name for definition, _ in pairs for name in operation_names(definition)}
        began = min((one.timestamp_ms for one in self.recorded.records), default=0)
        self.simulation = Simulation(operations=dict.fromkeys(called, self._answer), now_ms=began)
        self._time = Passing(self.simulation, _MOST_TIMERS)
        for definition, catalog in pairs:
            events = [spec.model_copy(update={"start": "earliest"}) for spec in catalog.events]
            self.simulation.publish(definition, catalog.model_copy(update={"events": events}))

    def played(self) -> list[Started]:
        topics = {topic for spec in self.pair[1].events for topic in spec.topics}
        inputs: list[tuple[int, Callable[[], None]]] = [
            (one.timestamp_ms, lambda one=one: self._produce(one))  # type: ignore[misc]
            for one in self.recorded.records
            if one.topic in topics
        ]
        inputs += [
            (one.at_ms, lambda one=one: self._decide(one))  # type: ignore[misc]
            for one in self.recorded.transitions
            if isinstance(one.data, t.ApprovalGiven)
        ]
        for at_ms, give in sorted(inputs, key=lambda each: each[0]):
            self._time.until(at_ms)
            give()
            self.simulation.run_until_quiet()
        self._time.rest()
        return self._started()

    def _produce(self, record: Record) -> None:
        self.simulation.produce(record.topic, record.value, key=record.key, headers=tuple(record.headers))

    def _decide(self, made: Transition) -> None:
        for run in self.simulation.runs():
            first = self.simulation.history(run)[0]
            named = (first.definition, first.key) == (made.definition, made.key)
            if named and decide_again(self.simulation, run, made):
                return

    def _answer(self, input: Any, task: Task) -> Any:
        of = [one for one in answers_in(self.recorded.transitions) if one.operation == task.operation]
        place = (task.definition, task.address, task.item)
        own = [one for one in of if (one.place, one.key) == (place, task.key)]
        alike = [one for one in own if one.input == input] or [one for one in of if one.input == input]
        if not alike:
            self._unanswered.setdefault(task.key, {})[task.operation] = None
            return Silent()
        return given(alike[min(task.attempt, len(alike)) - 1].fact)

    def _started(self) -> list[Started]:
        found: list[Started] = []
        count: dict[str, int] = {}
        for run in self.simulation.runs():
            history = self.simulation.history(run)
            first = history[0]
            if first.definition != self.pair[0].name:
                continue
            count[first.key] = count.get(first.key, 0) + 1
            outcome = outcome_of(history, self._unanswered.get(first.key, ()))
            found.append(Started(first.key, count[first.key], first.at_ms, outcome))
        return found
