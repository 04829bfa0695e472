"""A partition of one definition under test: given some commands, when another, then exactly this."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

from streamflow.definition.model import Definition
from streamflow.definition.plan import Plan
from streamflow.engine.builder import Limits
from streamflow.engine.commands import Command, Continue, DefinitionRef, Event
from streamflow.engine.decide import decide
from streamflow.engine.effects import AppendCommand
from streamflow.engine.evolve import evolve
from streamflow.engine.mailbox.records import tally_key
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import Overlay, encode_record
from streamflow.engine.record_keys import run_key
from streamflow.engine.state import PartitionState, RunState
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.ids import command_place, run_id
from streamflow.simulation.store import MemoryStore
from tests.builders import NOW_MS, a_delivery, a_plan, a_start, an_event, an_origin


class Bench:
    """Decides commands at `now_ms`, one offset after the other, and keeps what they gave."""

    def __init__(self, *definitions: Definition, limits: Limits | None = None) -> None:
        self.plans: dict[str, Plan] = {}
        self.contents: dict[str, str] = {}
        for definition in definitions:
            plan, content = a_plan(definition)
            self.plans[plan.sha], self.contents[plan.sha] = plan, content
        self.plan = next(iter(self.plans.values()))
        self.limits = limits or Limits()
        self.store = MemoryStore()
        self.overlay = Overlay(self.store)
        self.now_ms = NOW_MS
        self.offset = 0
        self.transitions: list[Transition] = []
        self.last: Decision | None = None
        self._starts: dict[tuple[str, str], int] = {}  # offsets, by event id and key

    # the contents that a decision may ask for

    def content(self, start: DefinitionRef) -> str | None:
        return self.contents.get(start.sha256)

    def plan_of(self, name: str, version: str = "1") -> Plan:
        return next(plan for plan in self.plans.values() if (plan.name, plan.version) == (name, version))

    def plan_for(self, sha: str, content: Callable[[], str]) -> Plan:
        assert self.contents[sha] == content()
        return self.plans[sha]

    # deciding

    def consider(self, command: Command) -> Decision:
        """Decide without taking anything over."""
        decision = decide(
            self.overlay, _Contents(self), self.overlay.own, command, self.now_ms, self.offset, self.limits
        )
        assert {tally_key(name) for name in decision.tallied} == {
            key for key in decision.changes if key.startswith(tally_key(""))
        }
        return decision

    def take(self, command: Command) -> Decision:
        decision = self.last = self.consider(command)
        self.overlay.apply(decision.changes)
        self.transitions += decision.transitions
        self.offset += 1
        return decision

    def take_all(self, command: Command) -> list[Decision]:
        """As `take`, and every `Continue` that follows."""
        decisions = [self.take(command)]
        while following := [
            e.command for e in decisions[-1].effects if isinstance(e, AppendCommand) and isinstance(e.command, Continue)
        ]:
            decisions.append(self.take(following[0]))
        return decisions

    def start(
        self, data: Any = None, *, id: str = "e1", key: str = "k1", plan: Plan | None = None, time_ms: int | None = None
    ) -> Decision:
        event = an_event((plan or self.plan).triggers[0].event, id, data, NOW_MS if time_ms is None else time_ms)
        self._starts.setdefault((id, key), self.offset)
        return self.take(a_start(plan or self.plan, event, key=key, origin=an_origin(self.offset)))

    def offer(
        self,
        name: str,
        data: Any = None,
        *,
        id: str | None = None,
        key: str = "k1",
        time_ms: int | None = None,
        keep_ms: int = 0,
        copies_ms: int = 0,
        window_ms: int = 0,
        source: str = "",
    ) -> Decision:
        """Deliver an event, a record of its own."""
        event = Event(
            name=name,
            id=id or f"{name}-{self.offset}",
            time_ms=self.now_ms if time_ms is None else time_ms,
            data={} if data is None else data,
            limit_time_ms=time_ms or 0,
            source=source,
        )
        command = a_delivery(
            event,
            definition=self.plan.name,
            key=key,
            origin=an_origin(self.offset),
            keep_ms=keep_ms,
            copies_ms=copies_ms,
            window_ms=window_ms,
        )
        return self.take(command)

    def checkpoint(self) -> dict[str, bytes | None]:
        """A whole checkpoint; the cut."""
        cut = self.overlay.capture()
        self.store.write(cut)
        self.overlay.saved()
        return cut

    def reopen(self) -> None:
        """Another owner, with nothing but what the store has."""
        self.overlay = Overlay(self.store)

    # looking

    def run(self, id: str = "e1", key: str = "k1") -> str:
        """The run that the first start by this event, or the command at this offset, has started."""
        place = command_place(self.own().topic_id, 0, self._starts.get((id, key), 0))
        return run_id(self.limits.environment, self.plan.name, key, place)

    def head(self, id: str = "e1", key: str = "k1") -> RunState | None:
        found: RunState | None = self.overlay.get(run_key(self.run(id, key)))
        return found

    def statuses(self, id: str = "e1") -> dict[str, str]:
        head = self.head(id)
        assert head is not None
        return {
            name: step.status if step.outcome is None else f"{step.status}:{step.outcome}"
            for name, step in head.steps.items()
        }

    def own(self) -> PartitionState:
        return self.overlay.own

    def state(self) -> dict[str, bytes]:
        """All records, as they would be stored."""
        keys = list(self.overlay.keys(""))
        return {key: encode_record(self.overlay.get(key)) for key in keys}

    def kinds(self) -> set[str]:
        return {key.partition("/")[0] for key in self.state()}

    def assert_heads_are_folds(self) -> None:
        """The head of every open run is the fold of its transitions, and their seq has no gap."""
        by_run: dict[str, list[Transition]] = {}
        for transition in self.transitions:
            by_run.setdefault(transition.run, []).append(transition)
        for run, transitions in by_run.items():
            assert [t.seq for t in transitions] == list(range(1, len(transitions) + 1))
            head = fold(transitions)
            stored = self.overlay.get(run_key(run))
            assert stored is None or stored == head


class _Contents:
    def __init__(self, bench: Bench) -> None:
        self.content = bench.content
        self.plan = bench.plan_for


def fold(transitions: Iterable[Transition]) -> RunState:
    first, *rest = transitions
    assert isinstance(first.data, RunStarted)
    return reduce(evolve, rest, evolve(None, first))


def facts(decision: Decision) -> list[Any]:
    """What happened, as (type, step) pairs, or the type alone."""
    return [(t.type, t.step) if t.step else t.type for t in decision.transitions]


def outcome(decision: Decision) -> tuple[str, str]:
    return decision.outcome, decision.reason
