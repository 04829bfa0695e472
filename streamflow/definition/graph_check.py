"""The check of the graph of a definition: ids, needs, circles, and joins that can never be met."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from streamflow.definition.graph import Graph, kind_of, outcomes_of
from streamflow.definition.model import Definition, Step
from streamflow.definition.plan import NO_OUTCOME
from streamflow.definition.steps.registry import OUTSIDE
from streamflow.definition.syntax import nearest
from streamflow.definition.work_check import work_problems
from streamflow.errors import Problem

RESERVED = frozenset(  # words of CEL
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
    }
    | {"null", "return", "true", "var", "void", "while"}
)
_ENDED = frozenset({"*done"})  # the one outcome of the kinds that have none to name


def graph_problems(definition: Definition, graph: Graph) -> Iterator[Problem]:
    """Every problem of the graph, in the order of the text."""
    yield from _ids(definition)
    for index, step in enumerate(definition.steps):
        at = f"/steps/{index}"
        yield from work_problems(step, at)
        yield from _needs(step, at, graph, {trigger.id for trigger in definition.on})
    for circle in graph.cycles:
        index = next(index for index, step in enumerate(definition.steps) if step.id == circle[0])
        around = " -> ".join((*circle, circle[0]))
        yield Problem(
            "SF213",
            f"/steps/{index}/needs",
            f"these steps wait for each other and can never begin: {around}."
            if len(circle) > 1
            else f"the step `{circle[0]}` needs itself.",
            "Take one of the needs away.",
        )
    if not graph.cycles:
        yield from _joins(definition, graph)
        yield from _unfollowed(definition)


def _ids(definition: Definition) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    triggers = ((trigger.id, f"/on/{index}/id", "trigger") for index, trigger in enumerate(definition.on))
    steps = ((step.id, f"/steps/{index}/id", "step") for index, step in enumerate(definition.steps))
    for id_, at, what in chain(triggers, steps):
        if id_ in seen:
            yield Problem(
                "SF210",
                at,
                f"the id `{id_}` is already that of another {seen[id_]}.",
                f"Give this {what} an id of its own.",
            )
        elif id_ in RESERVED:
            yield Problem(
                "SF219",
                at,
                f"`{id_}` is a word of the expression language and cannot be an id.",
                f"For example `{id_}_{what}`.",
            )
        seen.setdefault(id_, what)


def _needs(step: Step, at: str, graph: Graph, triggers: set[str]) -> Iterator[Problem]:
    for index, need in enumerate(step.needs):
        id_, _, outcome = need.partition(".")
        place = f"{at}/needs/{index}"
        if need in step.needs[:index]:
            yield Problem("SF223", place, f"the need `{need}` is written twice.", "Remove one of them.")
        target = graph.steps.get(id_)
        if target is not None and target.fail is not None:
            yield Problem(
                "SF226", place, f"the step `{id_}` ends the run, so nothing can come after it.", "Remove this need."
            )
            continue
        if target is None:
            near = nearest(id_, graph.steps)
            if id_ in triggers:
                yield Problem(
                    "SF211",
                    place,
                    f"`{id_}` is a trigger, not a step.",
                    "A step without needs starts with the run. Remove this need.",
                )
            else:
                yield Problem(
                    "SF211",
                    place,
                    f"there is no step `{id_}`.",
                    f"Did you mean `{near}`?" if near else f"The steps are {', '.join(graph.steps)}.",
                )
            continue
        outcomes = outcomes_of(target)
        if outcome and outcome not in outcomes:
            near = nearest(outcome, outcomes)
            if outcome == "timeout" and (target.wait is not None or target.approval is not None):
                fix = f"Give the {kind_of(target)} `{id_}` a limit with `within`."
            elif near:
                fix = f"Did you mean `{id_}.{near}`?"
            elif kind_of(target) in OUTSIDE:
                fix = f"Write `{id_}` alone for its good end, or one of {', '.join(outcomes)}."
            else:
                fix = (
                    f"Its outcomes are {', '.join(outcomes)}."
                    if outcomes
                    else f"Write `{id_}` alone: a step of kind {kind_of(target) or 'this'} has no outcomes to name."
                )
            yield Problem("SF212", place, f"the step `{id_}` has no outcome `{outcome}`.", fix)


def _joins(definition: Definition, graph: Graph) -> Iterator[Problem]:
    """Steps that can never begin. What must have happened for a step is kept as the outcomes that each earlier step may
    have had."""
    must: dict[str, dict[str, frozenset[str]] | None] = {}
    index_of = {step.id: index for index, step in reversed(list(enumerate(definition.steps)))}
    for id_ in graph.order:
        step = graph.steps[id_]
        ways = [_way(need, graph, must) for need in step.needs]
        known = [way for way in ways if way is not None]
        clash = ""
        if step.join == "any":
            must[id_] = _either(known) if known or not ways else None
        elif len(known) < len(ways):
            must[id_] = None
        else:
            joined, clash = _both(known)
            must[id_] = None if clash else joined
        at = f"/steps/{index_of[id_]}"
        if clash:
            fix = f"Use join: any, or need only one outcome of `{clash}`."
            yield Problem(
                "SF217",
                at + "/needs",
                f"the needs of `{id_}` can never all be met: `{clash}` ends in one way only.",
                fix,
            )
        elif must[id_] is None:
            dead = next(need for need in step.needs if _way(need, graph, must) is None)
            yield Problem(
                "SF218",
                at,
                f"the step `{id_}` can never begin, because it needs `{dead}`.",
                "Correct that step first, or need another one.",
            )


def _way(
    need: str, graph: Graph, must: dict[str, dict[str, frozenset[str]] | None]
) -> dict[str, frozenset[str]] | None:
    id_, _, outcome = need.partition(".")
    if id_ not in graph.steps or graph.steps[id_].fail is not None:
        return {}  # reported already
    before = must[id_]
    if before is None:
        return None
    plain = frozenset(outcomes_of(graph.steps[id_])) - frozenset(NO_OUTCOME)
    return {**before, id_: frozenset({outcome}) if outcome else plain or _ENDED}


def _both(ways: list[dict[str, frozenset[str]]]) -> tuple[dict[str, frozenset[str]], str]:
    joined: dict[str, frozenset[str]] = {}
    for way in ways:
        for id_, outcomes in way.items():
            joined[id_] = joined.get(id_, outcomes) & outcomes
            if not joined[id_]:
                return {}, id_
    return joined, ""


def _either(ways: list[dict[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    if not ways:
        return {}
    shared = [id_ for id_ in ways[0] if all(id_ in way for way in ways)]
    return {id_: frozenset[str]().union(*(way[id_] for way in ways)) for id_ in shared}


def _unfollowed(definition: Definition) -> Iterator[Problem]:
    needed = {need for step in definition.steps for need in step.needs}
    for index, step in enumerate(definition.steps):
        limited = step.wait or step.approval
        if limited is not None and limited.within is not None and f"{step.id}.timeout" not in needed:
            at = f"/steps/{index}/{kind_of(step)}/within"
            fix = f"Add a step that needs `{step.id}.timeout`."
            yield Problem(
                "SF222", at, f"when `{step.id}` times out after {limited.within}, nothing follows.", fix, "warning"
            )
