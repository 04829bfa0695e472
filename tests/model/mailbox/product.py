"""The product's engine in the place of the reference: the same commands, the same facts.

A wait begins when an approval before it is given, or when the wait before it has ended. A run stops by undoing a call,
and has ended when that is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from streamflow.definition.plan import Plan
from streamflow.engine import commands as c
from streamflow.engine.builder import Limits
from streamflow.engine.decide import decide
from streamflow.engine.effects import AppendCommand, DeadLetter, Unclaimed
from streamflow.engine.mailbox.records import EMPTY, box_key, mailbox_name
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import Overlay, encode_record
from streamflow.engine.record_keys import run_key
from streamflow.engine.state import RunState, Watermark
from streamflow.engine.transitions import (
    RunCancelled,
    RunStarted,
    RunStopping,
    Transition,
    WaitSatisfied,
    WaitStarted,
    WaitTimedOut,
)
from streamflow.simulation.store import MemoryStore
from tests.builders import a_definition, a_plan
from tests.model.mailbox.words import (
    ENTRIES,
    LONGEST,
    OPEN_RUNS,
    TRAIL,
    WINDOW,
    Act,
    Broken,
    Command,
    Definition,
    Deliver,
    Fact,
    Mailbox,
    Wait,
)

# Ingress has read everything: no limit of a wait is held back.
_READ = {
    "all": Watermark(partitions=1, at_ms={"0": 1 << 60}, feeds={"o": ("all",), "p": ("all",), "q": ("all",)}, bound=0)
}


class Product:
    """One partition of the product."""

    def __init__(self, definitions: Mapping[str, Definition], claims: int, store: MemoryStore | None = None) -> None:
        self._definitions = definitions
        self._claims = claims
        self._limits = Limits(
            kept_events=ENTRIES,
            open_runs=OPEN_RUNS,
            claims=claims,
            window_ms=WINDOW,
            claims_most_ms=LONGEST,
            trail_ms=TRAIL,
            unused_content_ms=WINDOW,
        )
        self._contents = _Contents(definitions)
        self._store = store or MemoryStore()
        self._overlay = Overlay(self._store)
        self._saved = dict(self._store.scan(""))

    def apply(self, offset: int, at: int, command: Command) -> tuple[list[Fact], list[Act]] | None:
        own = replace(self._overlay.own, watermarks=_READ)
        if offset <= own.applied:
            return None
        what = self._command(command, offset)
        decision = decide(self._overlay, self._contents, own, what, at, offset, self._limits)
        facts = list(self._facts(decision, command, offset, at))
        self._overlay.apply(decision.changes)
        follow_ups = [
            Act("continue", effect.command.definition.upper(), effect.command.key)
            for effect in decision.effects
            if isinstance(effect, AppendCommand) and isinstance(effect.command, c.ContinueDelivery)
        ]
        return facts, follow_ups

    def continue_due(self, box: Mailbox) -> bool:
        found = self._overlay.get(box_key(mailbox_name(box[0].lower(), box[1]))) or EMPTY
        return bool(found.continue_due)

    def checkpoint(self) -> None:
        cut = self._overlay.capture()
        self._store.write(cut)
        self._overlay.saved()
        if dict(self._store.scan("")) != self.state():
            raise Broken("the records are not the state")

    def reopened(self) -> Product:
        return Product(self._definitions, self._claims, self._store)

    def state(self) -> dict[str, bytes]:
        return {key: encode_record(self._overlay.get(key)) for key in self._overlay.keys("")}

    def is_at_rest(self) -> bool:
        return all(
            key.partition("/")[0] in ("own", "mark", "tally", "window", "content") for key in self._overlay.keys("")
        )

    def counted(self) -> int:
        tallies = [self._overlay.get(key) for key in self._overlay.keys("tally/")]
        return sum(n for tally in tallies for name, n in tally.items() if not name.endswith("/delivered"))

    # -- commands

    def _command(self, command: Command, offset: int) -> c.Command:
        if isinstance(command, Deliver):
            return self._delivery(command, offset)
        id_, run = f"c{offset}", command.run or ""
        if command.kind == "tick":
            return c.AdvanceWatermark(id=id_, topic="none", partitions=1, at_ms={})
        if command.kind == "continue":
            return c.ContinueDelivery(id_, command.definition.lower(), command.key)
        if command.kind == "begin":
            return c.Decide(id=id_, run=run, address=f"g{command.arg}", decision="approved", by="somebody")
        if command.kind == "cancel":
            return c.CancelRun(id_, run)
        head: RunState | None = self._overlay.get(run_key(run))
        if command.kind == "end":
            if head is not None and head.stopping is None:
                return c.CancelRun(id_, run)
            # what is under way is waited for before it is undone
            call = head.steps.get("call") if head is not None else None
            under_way = call is not None and call.status == "calling"
            return c.CompleteAttempt(
                id=id_, run=run, address="call" if under_way else "call.undo", attempt=1, output={}
            )
        wait = head.steps.get(f"w{command.arg}") if head is not None else None
        return c.FireTimer(
            id=id_, run=run, address=f"w{command.arg}", due_ms=wait.due_ms or 0 if wait is not None else 0
        )

    def _delivery(self, command: Deliver, offset: int) -> c.Deliver:
        event, (partition, source_offset, committed) = command.event, command.origin
        origin = c.Origin(topic_id=f"topic{partition}", partition=partition, offset=source_offset, committed=committed)
        known = event.id is not None
        start = self._contents.start(command.definition, command.start) if command.start is not None else None
        return c.Deliver(
            id=f"d{offset}",
            definition=command.definition.lower(),
            key=command.key,
            event=c.Event(
                name=event.name,
                id=str(event.id) if known else f"topic{partition}/{source_offset}",
                time_ms=event.at,
                limit_time_ms=event.at,
                data={"n": event.data, "tag": event.data % 2},
                source=event.source if known else "",
            ),
            origin=origin,
            start=start,
            trigger="o" if start is not None else "",
            keep_ms=command.keep,
            copies_ms=command.copies,
            window_ms=command.window,
        )

    # -- facts

    def _facts(self, decision: Decision, command: Command, offset: int, at: int) -> Iterator[Fact]:
        """The facts of a decision: what leaves before the command is looked at comes first, what leaves because of it
        last."""
        finals = sorted(self._finals(decision, command, offset), key=lambda final: final[1] != offset)
        first = self._over_before(offset, at) if finals else []
        yield from (fact for fact in finals if fact in first)
        for transition in decision.transitions:
            yield from self._fact(transition, offset)
        yield from (fact for fact in finals if fact not in first)

    def _over_before(self, offset: int, at: int) -> list[Fact]:
        """What leaves by the passing of time alone."""
        own, nothing = replace(self._overlay.own, watermarks=_READ), Act("tick")
        if self._overlay.due(max(at, own.time_ms) - 1, {}) is None:
            return []
        what = self._command(nothing, offset)
        passing = decide(self._overlay, self._contents, own, what, at, offset, self._limits)
        return list(self._finals(passing, nothing, offset))

    def _fact(self, transition: Transition, offset: int) -> Iterator[Fact]:
        data, run = transition.data, transition.run
        wait = int((transition.step or "w0")[1:]) if (transition.step or "").startswith("w") else 0
        if isinstance(data, RunStarted):
            yield "start", run
        elif isinstance(data, WaitStarted):
            yield "begin", run, wait, offset, transition.at_ms, data.due_ms
        elif isinstance(data, WaitSatisfied):
            yield "claim", data.offset, run, wait, int(data.outcome[1:]), "every" if data.is_copy else "one"
        elif isinstance(data, WaitTimedOut):
            yield "fire", run, wait
        elif isinstance(data, RunStopping):
            yield "cancel", run
        elif isinstance(data, RunCancelled):
            yield "end", run

    def _finals(self, decision: Decision, command: Command, offset: int) -> Iterator[Fact]:
        for effect in decision.effects:
            if isinstance(effect, Unclaimed):
                yield "final", effect.offset, effect.outcome, effect.reason
            elif isinstance(effect, DeadLetter):
                yield "final", offset, effect.reason, ""
        if decision.outcome == "duplicate" and isinstance(command, Deliver):
            yield "final", offset, "duplicate", decision.reason
        for key, record in decision.changes.items():
            if key.startswith("seen/") and record is not None and record.last == offset and record.outcome != "kept":
                yield "final", record.offset, record.outcome, ""


class _Contents:
    """The contents of all versions."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._shas: dict[tuple[str, int], str] = {}
        self._contents: dict[str, str] = {}
        self._plans: dict[str, Plan] = {}
        for name, definition in definitions.items():
            for version, waits in enumerate(definition.plans):
                plan, content = _plan(name.lower(), version, definition.policy, waits)
                self._shas[name, version] = plan.sha
                self._contents[plan.sha], self._plans[plan.sha] = content, plan

    def start(self, definition: str, version: int) -> c.DefinitionRef:
        return c.DefinitionRef(self._shas[definition, version], 0)

    def content(self, start: c.DefinitionRef) -> str | None:
        return self._contents.get(start.sha256)

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        return self._plans[sha]


@lru_cache(maxsize=4096)
def _plan(name: str, version: int, policy: str, waits: tuple[Wait, ...]) -> tuple[Plan, str]:
    call = {"operation": "book"}
    steps: list[dict[str, Any]] = [{"id": "call", "call": call, "undo": call}]
    for index, wait in enumerate(waits):
        gate = f"g{index}"
        needs: dict[str, Any] = {"needs": [f"{gate}.approved"]}
        if wait.after is None:
            approval = {"text": "'go on'", "who": ["somebody"], "forever": True}
            steps.append({"id": gate, "approval": approval})
        else:
            ends = [f"w{wait.after}"] + ([f"w{wait.after}.timeout"] if waits[wait.after].within else [])
            needs = {"needs": ends, "join": "any"}
        steps.append({"id": f"w{index}", **needs, "wait": _wait(wait)})
    definition = a_definition(*steps, name=name, version=str(version + 1), runs=policy, on=[{"id": "o", "event": "o"}])
    return a_plan(definition)


def _wait(wait: Wait) -> dict[str, Any]:
    events = [
        {"id": f"c{number}", "event": name, **({"where": "event.n == trigger.tag"} if where else {})}
        for number, (name, where) in enumerate(wait.clauses)
    ]
    limit: dict[str, Any] = {"within": f"{wait.within}ms"} if wait.within else {"forever": True}
    keep = {"keep": f"{wait.keep}ms"} if wait.keep else {}
    return {"events": events, "since": wait.since, "take": wait.take, **limit, **keep}


def product(definitions: Mapping[str, Definition], claims: int) -> Product:
    """The product with these definitions."""
    return Product(definitions, claims)
