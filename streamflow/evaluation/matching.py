"""The similarity of two definitions: steps and ways between them as multisets, whatever their ids are. Pure.

A node is what a step does (its kind, and the events or the operation that it names); an edge is a need, from node to
node by an outcome. Both are scored by F1, the harmonic mean of precision and recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from streamflow.definition.model import Definition, Step

Label = tuple[str, ...]
START: Label = ("start",)


def node_f1(expected: Definition, given: Definition) -> float:
    """How much the nodes of two definitions have in common, triggers included; 1 if they are the same ones."""
    return _f1(Counter(nodes(expected)), Counter(nodes(given)))


def graph_f1(expected: Definition, given: Definition) -> float:
    """How much the edges of two definitions have in common; 1 if they are the same ones."""
    return _f1(Counter(edges(expected)), Counter(edges(given)))


def nodes(definition: Definition) -> Iterator[Label]:
    """The triggers and steps of a definition."""
    yield from (("trigger", one.event) for one in definition.on)
    if definition.input is not None:
        yield ("input",)
    yield from map(label, definition.steps)


def edges(definition: Definition) -> Iterator[tuple[Label, str, Label]]:
    """The ways between steps: from which, by which outcome, to which. Outcomes that authors name are named by the event
    that they are for, or by whether they are the last way out of a `choose`."""
    steps = {step.id: step for step in definition.steps}
    for step in definition.steps:
        if not step.needs:
            yield START, "", label(step)
        for need in step.needs:
            before, _, outcome = need.partition(".")
            if before in steps:
                yield label(steps[before]), _outcome(steps[before], outcome), label(step)


def label(step: Step) -> Label:
    """What a step does."""
    if step.wait is not None:
        return ("wait", *sorted({one.event for one in step.wait.events}))
    if step.emit is not None:
        return ("emit", step.emit.event)
    if step.call is not None:
        return ("call", step.call.operation)
    if step.run is not None:
        return ("run", step.run.definition)
    kinds = ("approval", "choose", "delay", "set", "print", "require", "fail")
    return (next((kind for kind in kinds if getattr(step, kind) is not None), "nothing"),)


def counterparts(expected: Definition, given: Definition) -> Mapping[str, str]:
    """The id in `given` of each step of `expected` that has a counterpart there: the step with the same label and id,
    else the next one with the same label, in the order in which they are written."""
    left = {step.id: label(step) for step in given.steps}
    found: dict[str, str] = {}
    for step in expected.steps:
        if left.get(step.id) == label(step):
            found[step.id] = step.id
            del left[step.id]
    for step in expected.steps:
        if step.id not in found:
            alike = next((id_ for id_, one in left.items() if one == label(step)), None)
            if alike is not None:
                found[step.id] = alike
                del left[alike]
    return found


def names(definition: Definition) -> Iterator[tuple[str, str]]:
    """Every event, operation and definition that a definition names, each with its kind."""
    yield from (("event", one.event) for one in definition.on)
    for step in definition.steps:
        yield from (("event", one.event) for one in (step.wait.events if step.wait is not None else ()))
        if step.emit is not None:
            yield "event", step.emit.event
        yield from (("operation", call.operation) for call in (step.call, step.undo) if call is not None)
        if step.run is not None:
            yield "definition", step.run.definition


def _outcome(step: Step, outcome: str) -> str:
    if step.wait is not None:
        return next((one.event for one in step.wait.events if one.id == outcome), outcome)
    if step.choose is not None:
        branch = next((one for one in step.choose if one.id == outcome), None)
        return outcome if branch is None else "otherwise" if branch.if_ is None else "if"
    return outcome


def _f1(expected: Counter[Any], given: Counter[Any]) -> float:
    if not expected and not given:
        return 1.0
    return 2 * (expected & given).total() / (expected.total() + given.total())
