"""Builders for tests: a definition, a plan, a command, each with a default for everything that a test does not care
about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.model import Definition
from streamflow.definition.plan import Plan
from streamflow.engine.commands import DefinitionRef, Deliver, Event, Origin, StartRun
from streamflow.simulation.definitions import compiled

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def a_catalog(*names: str, topics: Mapping[str, str] | None = None, operations: Sequence[str] = ()) -> Catalog:
    """A catalog of plain CloudEvents, each in a topic of its own unless `topics` says otherwise, and of operations that
    take and give anything."""
    events = [{"name": name, "topics": [(topics or {}).get(name, f"{name}s")]} for name in names]
    return Catalog.model_validate({"events": events, "operations": [{"name": name} for name in operations]})


def a_definition(
    *steps: dict[str, Any],
    name: str = "order",
    version: str = "1",
    runs: str = "many",
    on: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> Definition:
    """A definition that starts by `placed` and has these steps."""
    triggers = list(on) or [{"id": "placed", "event": "placed"}]
    return Definition.model_validate(
        {"name": name, "version": version, "runs": runs, "on": triggers, "steps": list(steps), **more}
    )


def events_of(definition: Definition) -> list[str]:
    """The names of the events in `definition`, each once."""
    names = [trigger.event for trigger in definition.on]
    for step in definition.steps:
        names += [clause.event for clause in step.wait.events] if step.wait else []
        names += [step.emit.event] if step.emit else []
    return list(dict.fromkeys(names))


def operations_of(definition: Definition) -> list[str]:
    """The names of the operations in `definition`, each once."""
    calls = [call for step in definition.steps for call in (step.call, step.undo) if call is not None]
    return list(dict.fromkeys(call.operation for call in calls))


def a_plan(definition: Definition, catalog: Catalog | None = None) -> tuple[Plan, str]:
    """The plan of `definition`, and its content."""
    catalog = catalog or a_catalog(*events_of(definition), operations=operations_of(definition))
    content = canonical(definition, catalog)
    return compiled(content), content.decode()


def an_event(name: str = "placed", id: str = "e1", data: Any = None, time_ms: int = NOW_MS) -> Event:
    return Event(name=name, id=id, time_ms=time_ms, data={} if data is None else data)


def an_origin(offset: int = 0, committed: int = 0, *, topic_id: str = "topic", partition: int = 0) -> Origin:
    return Origin(topic_id=topic_id, partition=partition, offset=offset, committed=committed)


def a_delivery(
    event: Event,
    *,
    definition: str = "order",
    key: str = "k1",
    origin: Origin | None = None,
    start: DefinitionRef | None = None,
    trigger: str = "placed",
    keep_ms: int = 0,
    copies_ms: int = 0,
    window_ms: int = 0,
    id: str | None = None,
) -> Deliver:
    return Deliver(
        id=id or f"deliver/{event.id}",
        definition=definition,
        key=key,
        event=event,
        origin=origin or an_origin(),
        start=start,
        trigger=trigger if start is not None else "",
        keep_ms=keep_ms,
        copies_ms=copies_ms,
        window_ms=window_ms,
    )


def a_start(
    plan: Plan,
    event: Event | None = None,
    *,
    key: str = "k1",
    origin: Origin | None = None,
    id: str | None = None,
    at: int = 0,
    trigger: str = "placed",
) -> Deliver:
    """A delivery that starts a run of `plan`."""
    event = event or an_event()
    return a_delivery(
        event,
        definition=plan.name,
        key=key,
        origin=origin,
        start=DefinitionRef(plan.sha, at),
        trigger=trigger,
        id=id or f"start/{event.id}",
    )


def a_request(
    plan: Plan, data: Any = None, *, key: str = "k1", id: str = "r1", at: int = 0, time_ms: int = NOW_MS
) -> StartRun:
    """A caller's request for a run."""
    event = Event(name="", id=id, time_ms=time_ms, data={} if data is None else data)
    return StartRun(id=f"request/{id}", definition=plan.name, key=key, start=DefinitionRef(plan.sha, at), event=event)


def a_sha(definition: Definition) -> str:
    return sha256_of(canonical(definition, a_catalog(*events_of(definition), operations=operations_of(definition))))
