"""What a definition leaves open about the events that it waits for: which of them count, who gets them, and how a
repeated one is recognised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.duration import format_ms, parse_ms
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Step, Wait
from streamflow.errors import Problem

SHORTEST_WINDOW_MS = 3_600_000  # sends that are repeated after a failure are apart by minutes
LONGEST_WINDOW_MS = 90 * 86_400_000  # the retention of `runs`, in which a repeated event would be looked up
_STRUCTURED = "application/cloudevents+json"  # the content type of a CloudEvent with its attributes in the value


class _Clause(NamedTuple):
    """An event of a wait, and its place in the text."""

    step: Step
    wait: Wait
    event: str
    wait_at: str
    event_at: str


def delivery_problems(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Problem]:
    """Every problem of the delivery of events in `definition`."""
    clauses = [
        _Clause(step, step.wait, clause.event, f"/steps/{index}/wait", f"/steps/{index}/wait/events/{place}/event")
        for index, step in enumerate(definition.steps)
        if step.wait is not None
        for place, clause in enumerate(step.wait.events)
    ]
    yield from _before_their_run(definition, catalog, clauses)
    yield from _points(definition, graph, clauses)
    yield from _taken_by_starts(definition, clauses)
    yield from _without_id(definition, catalog, clauses)
    yield from _window(definition)


def _before_their_run(definition: Definition, catalog: Catalog, clauses: list[_Clause]) -> Iterator[Problem]:
    """Waits for events that may be read before the event that starts their run: topics have no order among each
    other."""
    starting = {topic for trigger in definition.on if (spec := catalog.event(trigger.event)) for topic in spec.topics}
    kept = {clause.event for clause in clauses if clause.wait.keep is not None}
    for clause in clauses:
        spec = catalog.event(clause.event)
        if spec is None or clause.event in kept or clause.wait.since == "here":
            continue
        if starting and not starting.intersection(spec.topics):
            yield Problem(
                "SF225",
                clause.event_at,
                f"`{clause.event}` comes from another topic than what starts a run, so it may be read before its "
                "run has begun, and be lost.",
                "Add `keep` to the wait, such as keep: 1h.",
                "warning",
            )


def _points(definition: Definition, graph: Graph, clauses: list[_Clause]) -> Iterator[Problem]:
    """Waits that an old event could meet, and that do not say whether it counts."""
    triggers = {trigger.event for trigger in definition.on}
    for wait_at, clause in {clause.wait_at: clause for clause in reversed(clauses)}.items():
        if clause.wait.since is not None:
            continue
        for each in (each for each in clauses if each.wait_at == wait_at):
            earlier = [
                other.step.id
                for other in clauses
                if other.event == each.event and other.step.id in graph.ancestors[each.step.id]
            ]
            if earlier:
                why = f"the step `{earlier[0]}` before it waits for `{each.event}` too"
            elif each.event in triggers:
                why = f"`{each.event}` also starts runs"
            else:
                continue
            yield Problem(
                "SF248",
                wait_at,
                f"the wait `{each.step.id}` has to say which events count, because {why}.",
                "Add `since: run` (what came since the run started and no step took) or `since: here` (only what comes "
                "after this wait has begun).",
            )
            break


def _taken_by_starts(definition: Definition, clauses: list[_Clause]) -> Iterator[Problem]:
    """Waits that never get their event: each one starts another run, which consumes it."""
    if definition.runs != "many":
        return
    always = {trigger.event for trigger in definition.on if trigger.where is None and trigger.key is None}
    for clause in clauses:
        if clause.wait.take != "every" and clause.event in always:
            yield Problem(
                "SF249",
                clause.event_at,
                f"every `{clause.event}` starts another run, which consumes it, so this wait never gets one.",
                "Let the wait take a copy (`take: every`), or say `runs: join`.",
            )


def _without_id(definition: Definition, catalog: Catalog, clauses: list[_Clause]) -> Iterator[Problem]:
    """Events that are recognised as plain JSON and carry no id: when a producer sends one twice, it is two events."""
    places = [(trigger.event, f"/on/{index}/event") for index, trigger in enumerate(definition.on)]
    places += [(clause.event, clause.event_at) for clause in clauses]
    for name, at in {name: (name, at) for name, at in reversed(places)}.values():
        spec = catalog.event(name)
        if spec is not None and not _may_have_id(spec):
            yield Problem(
                "SF229",
                at,
                f"`{name}` is recognised as plain JSON and has no id in the catalog, so an event that its producer "
                "sends twice counts twice.",
                "Say in the catalog where its id is, such as id: {path: event_id}.",
                "warning",
            )


def _may_have_id(spec: EventSpec) -> bool:
    """Whether the catalog names an id, or recognises the event as a CloudEvent, which always has one."""
    match = spec.match
    if spec.id is not None or match is None or match.type is not None:
        return True
    return match.header is not None and (match.header.startswith("ce_") or match.equals == _STRUCTURED)


def _window(definition: Definition) -> Iterator[Problem]:
    """A memory of consumed events that ends before a producer repeats one, or that outlives the history of runs."""
    if definition.window is None or SHORTEST_WINDOW_MS <= parse_ms(definition.window) <= LONGEST_WINDOW_MS:
        return
    yield Problem(
        "SF232",
        "/window",
        f"expected a window from {format_ms(SHORTEST_WINDOW_MS)} to {LONGEST_WINDOW_MS // 86_400_000}d but found "
        f"{definition.window}.",
        "Write one such as 24h or 30d, or leave it out for that of the settings.",
    )
