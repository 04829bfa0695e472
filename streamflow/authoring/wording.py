"""Steps in English, from the words that each kind of step has."""

from __future__ import annotations

import re

from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph
from streamflow.definition.model import Step
from streamflow.definition.steps.call import call_sentence
from streamflow.definition.steps.registry import form_of

_ENDS = {"timeout": "`{step}` ran out of time", "failure": "`{step}` failed"}
_JOINS = {"any": "or", "all": "and"}
_DECISIONS = {"approved": "`{step}` was approved", "rejected": "`{step}` was rejected"}


def work_sentence(step: Step, catalog: Catalog) -> str:
    """What the step does, without a full stop: `wait at most 24h for captured: Payment captured
    (payment.captured)`."""
    form = form_of(step)
    work = form[0].sentence(form[1], catalog) if form is not None else "nothing"
    each = f"for each of `{step.each.items}`, {step.each.at_once} at once: " if step.each is not None else ""
    undo = f". It is undone by: {call_sentence(step.undo, catalog)}" if step.undo is not None else ""
    return f"{each}{work}{_given(step)}{undo}"


def _given(step: Step) -> str:
    """The values that the work is given and the conditions of its events, which the words of the kinds leave out."""
    if step.wait is not None:
        asked = [f"`{event.id}` only if `{event.where}`" for event in step.wait.events if event.where is not None]
        return f", {' and '.join(asked)}" if asked else ""
    part = step.emit.data if step.emit else step.call.with_ if step.call else step.run.with_ if step.run else []
    values = ", ".join(f"`{value.name}` = `{value.expr}`" for value in part)
    return f", with {values}" if values else ""


def ways_on(id_: str, graph: Graph) -> str:
    """Which steps come next, and after which outcome, as a sentence with a space before it; empty if none does."""
    found: list[str] = []
    for dependent in graph.dependents[id_]:
        needs = [need.partition(".") for need in dict.fromkeys(graph.steps[dependent].needs)]
        outcomes = [outcome for before, _, outcome in needs if before == id_]
        named = f" ({' or '.join(outcomes)})" if all(outcomes) else ""
        found.append(f"`{dependent}`{named}")
    return f" Next: {', '.join(found)}." if found else ""


def after_words(step: Step) -> str:
    """When the step comes: `after `paid` ended with `captured``, `at the beginning`."""
    if not step.needs:
        return "at the beginning"
    ways = [need_words(need) for need in step.needs]
    if len(ways) == 1:
        return f"after {ways[0]}"
    return f"after {f' {_JOINS[step.join]} after '.join(ways)}"


def need_words(need: str) -> str:
    """A need in English: `` `paid` ran out of time`` for `paid.timeout`."""
    id_, _, outcome = need.partition(".")
    if not outcome:
        return f"`{id_}`"
    template = _ENDS.get(outcome) or _DECISIONS.get(outcome)
    return template.format(step=id_) if template is not None else f"`{id_}` ended with `{outcome}`"


_UNITS = {"ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_PARTS = re.compile(r"([0-9]+)(ms|s|m|h|d|w)")


def limit_words(length: str) -> str:
    """A length of time in words: `1 hour 30 minutes` for `1h30m`."""
    parts = [(int(number), _UNITS[unit]) for number, unit in _PARTS.findall(length)]
    return " ".join(f"{number} {unit}{'' if number == 1 else 's'}" for number, unit in parts)
