"""A definition as lines of text, for a terminal: each step, what it does, and where its ways out lead."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph
from streamflow.definition.model import Call, Definition, Step

_MARKS = {"done": "✓", "waiting": "…", "skipped": "-", "parked": "!", "failed": "✗"}


def outline(definition: Definition, catalog: Catalog, states: Mapping[str, str] | None = None) -> str:
    """The outline of `definition`; `states` marks the steps of a run as `mermaid` colours them."""
    graph = Graph(definition)
    lines = [f"{definition.name}@{definition.version}" + (f"  {definition.title}" if definition.title else ""), ""]
    lines += [
        f"  when {_event(trigger.event, catalog)}" + (f", if {trigger.where}" if trigger.where else "")
        for trigger in definition.on
    ]
    lines += ["  when it is asked for"] if definition.input is not None else []
    for name in graph.order:
        step = graph.steps[name]
        mark = f"{_MARKS.get(states.get(name, ''), ' ')} " if states is not None else ""
        lines += ["", f"  {mark}{name}: {step.title or name}", f"      {_does(step, catalog)}"]
        if step.undo is not None:
            undone = f"{_MARKS.get(states.get(f'{name}.undo', ''), ' ')} " if states is not None else ""
            lines.append(f"      {undone}undone by {_call(step.undo, catalog)}")
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
    return each + _work(step, catalog) + condition


def _work(step: Step, catalog: Catalog) -> str:
    if step.wait is not None:
        events = " or ".join(f"{clause.id}: {_event(clause.event, catalog)}" for clause in step.wait.events)
        return f"wait {f'at most {step.wait.within}' if step.wait.within is not None else 'without limit'} for {events}"
    if step.choose is not None:
        return "choose " + ", ".join(
            f"{branch.id} if {branch.if_}" if branch.if_ is not None else f"else {branch.id}" for branch in step.choose
        )
    if step.set is not None:
        return "set " + ", ".join(f"{value.name} = {value.expr}" for value in step.set)
    if step.emit is not None:
        return f"emit {_event(step.emit.event, catalog)}"
    if step.delay is not None:
        return (
            f"go on after {step.delay.duration}" if step.delay.duration is not None else f"go on at {step.delay.until}"
        )
    if step.call is not None:
        return _call(step.call, catalog)
    if step.run is not None:
        return f"run {step.run.definition}@{step.run.version}" + _limit(step.run.within)
    if step.approval is not None:
        limit = _limit(step.approval.within) or ", without limit"
        return f"ask {', '.join(step.approval.who)}: {step.approval.text}{limit}"
    if step.fail is not None:
        return f"fail: {step.fail.reason}"
    return f"print {step.print.text}" if step.print is not None else "nothing"


def _call(call: Call, catalog: Catalog) -> str:
    spec = catalog.operation(call.operation)
    name = f"{spec.title} ({spec.name})" if spec is not None and spec.title else call.operation
    attempts = call.retry.attempts if call.retry is not None else spec.retry.attempts if spec is not None else None
    return f"call {name}" + (f", up to {attempts} times" if attempts is not None else "") + _limit(call.within)


def _limit(within: str | None) -> str:
    return f", at most {within}" if within is not None else ""


def _event(name: str, catalog: Catalog) -> str:
    spec = catalog.event(name)
    return f"{spec.title} ({name})" if spec is not None and spec.title else name
