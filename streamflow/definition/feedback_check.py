"""Definitions that start each other without end or in each other's way: what an emitted event starts, and child runs
for the items of a list under one key."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog, ChildSpec
from streamflow.definition.content import child_names, emitted_names
from streamflow.definition.expression import compile_expression
from streamflow.definition.model import Definition, Step
from streamflow.errors import DefinitionError, Problem


def feedback_problems(definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    """Every way in which `definition` feeds itself, by itself or through the published definitions of `catalog`, and
    every list whose child runs would refuse each other."""
    yield from _circles(definition, catalog)
    for index, step in enumerate(definition.steps):
        yield from _one_key(step, f"/steps/{index}/run", catalog)


def _circles(definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    triggers = {trigger.event for trigger in definition.on}
    # this version takes the place of the earlier ones of its name
    others = [spec for spec in catalog.definitions if spec.name != definition.name]
    for index, step in enumerate(definition.steps):
        emitted: tuple[str, ...]
        if step.emit is not None:
            emitted, at = (step.emit.event,), f"/steps/{index}/emit/event"
        elif step.run is not None:
            spec = catalog.definition(step.run.definition, step.run.version)
            emitted, at = tuple(spec.emits) if spec is not None else (), f"/steps/{index}/run/definition"
        else:
            continue
        for event in emitted:
            through = _way_back(event, triggers, others)
            if through is not None:
                path = "".join(f", which starts `{spec.name}`, which emits `{back}`" for spec, back in through)
                yield Problem(
                    "SF247",
                    at,
                    f"this emits `{event}`{path}, which starts this definition again: it may never end.",
                    "See that a `where` of a trigger ends it, or emit another event.",
                    "warning",
                )
                break


def _way_back(event: str, triggers: set[str], others: list[ChildSpec]) -> list[tuple[ChildSpec, str]] | None:
    """The shortest chain of (definition, what it emits) from `event` to one of `triggers`; empty when `event` is one
    itself, None without any."""
    ways: dict[str, list[tuple[ChildSpec, str]]] = {event: []}
    waiting = [event]
    for current in waiting:  # grows while it is walked through: breadth first
        if current in triggers:
            return ways[current]
        for spec in others:
            if current in spec.starts_by:
                for back in spec.emits:
                    if back not in ways:
                        ways[back] = [*ways[current], (spec, back)]
                        waiting.append(back)
    return None


def _one_key(step: Step, at: str, catalog: Catalog) -> Iterator[Problem]:
    if step.run is None or step.each is None or step.each.at_once == 1:
        return
    spec = catalog.definition(step.run.definition, step.run.version)
    if spec is None or spec.runs == "many" or _varies(step.run.key):
        return
    yield Problem(
        "SF246",
        at + ("/key" if step.run.key is not None else ""),
        f"`{spec.name}` allows one open run for a key (`runs: {spec.runs}`), and every item would start it under the "
        "same key: all items but the first would fail.",
        'Give each item a key of its own, such as key: run.key + "-" + string(index), or write at_once: 1.',
    )


def _varies(key: str | None) -> bool:
    """Whether a key may be another for each item."""
    if key is None:
        return False
    try:
        return not compile_expression(key).names.isdisjoint({"item", "index"})
    except DefinitionError:
        return True  # reported already


def emits_of(definition: Definition, catalog: Catalog) -> list[str]:
    """The names of all events that runs of `definition` emit, also by their child runs: sorted, each once."""
    names = set(emitted_names(definition))
    for child in child_names(definition):
        spec = catalog.definition(*child)
        names.update(spec.emits if spec is not None else ())
    return sorted(names)
