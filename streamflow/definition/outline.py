"""A definition as lines of text, for a terminal: each step, what it does, and where its ways out lead."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Step
from streamflow.definition.steps.call import call_sentence
from streamflow.definition.steps.kind import event_name
from streamflow.definition.steps.registry import form_of

_MARKS = {"done": "✓", "waiting": "…", "skipped": "-", "parked": "!", "failed": "✗"}


def outline(definition: Definition, catalog: Catalog, states: Mapping[str, str] | None = None) -> str:
    """The outline of `definition`; `states` marks the steps of a run as `mermaid` colours them."""
    graph = Graph(definition)
    lines = [f"{definition.name}@{definition.version}" + (f"  {definition.title}" if definition.title else ""), ""]
    lines += [
        f"  when {event_name(trigger.event, catalog)}" + (f", if {trigger.where}" if trigger.where else "")
        for trigger in definition.on
    ]
    lines += ["  when it is asked for"] if definition.input is not None else []
    for name in graph.order:
        step = graph.steps[name]
        mark = f"{_MARKS.get(states.get(name, ''), ' ')} " if states is not None else ""
        lines += ["", f"  {mark}{name}: {step.title or name}", f"      {_does(step, catalog)}"]
        if step.undo is not None:
            undone = f"{_MARKS.get(states.get(f'{name}.undo', ''), ' ')} " if states is not None else ""
            lines.append(f"      {undone}undone by {call_sentence(step.undo, catalog)}")
        ways = _ways(name, graph)
        lines += [
            f"      {'└' if place == len(ways) - 1 else '├'}─{outcome}─► {target}"
            for place, (outcome, target) in enumerate(ways)
        ]
    if states is not None:
        lines += ["", "  " + "   ".join(f"{mark} {state}" for state, mark in _MARKS.items())]
    return "\n".join(lines)


def _ways(name: str, graph: Graph) -> list[tuple[str, str]]:
    ways = []
    for dependent in graph.dependents[name]:
        step = graph.steps[dependent]
        joined = (
            " (whichever comes first)"
            if step.join == "any" and len(step.needs) > 1
            else " (when all are done)"
            if len(step.needs) > 1
            else ""
        )
        for need in dict.fromkeys(step.needs):
            before, _, outcome = need.partition(".")
            if before == name:
                ways.append((f" {outcome} " if outcome else "", dependent + joined))
    return ways or [("", "end")]


def _does(step: Step, catalog: Catalog) -> str:
    condition = f", if {step.if_}" if step.if_ is not None else ""
    each = f"for each of {step.each.items}, {step.each.at_once} at once: " if step.each is not None else ""
    form = form_of(step)
    return each + (form[0].sentence(form[1], catalog) if form is not None else "nothing") + condition
