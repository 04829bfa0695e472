"""What can be wrong with the graph of a definition: ids, kinds of work, needs, circles, and joins that can never be met."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import Graph, kind_of, outcomes_of
from streamflow.definition.model import KINDS, Definition, Step
from streamflow.definition.plan import NO_OUTCOME
from streamflow.definition.syntax import nearest
from streamflow.errors import Problem

LONGEST_MS = 10 * 365 * 86_400_000  # ten years: what is longer is a mistake, and timers stay far from the largest integer
RESERVED = frozenset(  # words of CEL
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "package", "namespace"}
    | {"null", "return", "true", "var", "void", "while"}
)
_ENDED = frozenset({"*done"})  # the one outcome of the kinds that have none to name


def graph_problems(definition: Definition, graph: Graph) -> Iterator[Problem]:
    """Every problem of the graph, in the order of the text."""
    yield from _ids(definition)
    for index, step in enumerate(definition.steps):
        at = f"/steps/{index}"
        yield from _work(step, at)
        yield from _needs(step, at, graph, {trigger.id for trigger in definition.on})
    for circle in graph.cycles:
        index = next(index for index, step in enumerate(definition.steps) if step.id == circle[0])
        around = " -> ".join((*circle, circle[0]))
        yield Problem("SF213", f"/steps/{index}/needs", f"these steps wait for each other and can never begin: {around}.", "Take one of the needs away.")
    if not graph.cycles:
        yield from _joins(definition, graph)
        yield from _unfollowed(definition)


def _ids(definition: Definition) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    triggers = ((trigger.id, f"/on/{index}/id", "trigger") for index, trigger in enumerate(definition.on))
    steps = ((step.id, f"/steps/{index}/id", "step") for index, step in enumerate(definition.steps))
    for id_, at, what in chain(triggers, steps):
        if id_ in seen:
            yield Problem("SF210", at, f"the id `{id_}` is already that of another {seen[id_]}.", f"Give this {what} an id of its own.")
        elif id_ in RESERVED:
            yield Problem("SF219", at, f"`{id_}` is a word of the expression language and cannot be an id.", f"For example `{id_}_{what}`.")
        seen.setdefault(id_, what)


def _work(step: Step, at: str) -> Iterator[Problem]:
    kinds = [kind for kind in KINDS if getattr(step, kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        fix = "Make a step of each." if kinds else f"Add one of {', '.join(KINDS)}."
        yield Problem("SF214", at, f"expected exactly one kind of work in step `{step.id}` but found {found}.", fix)
    if step.wait is not None:
        yield from _twice([clause.id for clause in step.wait.events], at + "/wait/events", "id", "event of this wait")
        yield from _reserved([clause.id for clause in step.wait.events], at + "/wait/events")
        if (step.wait.within is None) == (not step.wait.forever):
            found = "both" if step.wait.forever else "neither"
            yield Problem(
                "SF215",
                at + "/wait",
                f"expected either `within` or `forever: true` but found {found}.",
                "Say how long to wait, such as within: 24h; keep one of the two.",
            )
        for index, clause in enumerate(step.wait.events):
            if clause.key is not None:
                where = f"{at}/wait/events/{index}/key"
                fix = "Remove `key`; an event is matched to its run by the key that the catalog declares for it."
                yield Problem("SF224", where, "a run can only wait for events under its own key.", fix)
        for field in ("within", "keep"):
            yield from _length(getattr(step.wait, field), f"{at}/wait/{field}", allow_zero=field == "keep")
    if step.choose is not None:
        branches = step.choose
        yield from _twice([branch.id for branch in branches], at + "/choose", "id", "branch")
        yield from _reserved([branch.id for branch in branches], at + "/choose")
        for index, branch in enumerate(branches[:-1]):
            if branch.if_ is None:
                yield Problem(
                    "SF220",
                    f"{at}/choose/{index}",
                    f"the branch `{branch.id}` has no `if`, so the branches after it are never taken.",
                    "Move it to the end or give it an `if`.",
                )
        if all(branch.if_ is not None for branch in branches):
            fix = "Add a last branch without `if`, such as {id: otherwise}."
            yield Problem("SF221", at + "/choose", "when no `if` holds, no branch is taken, and the steps that need one are skipped.", fix, "warning")
    if step.set is not None:
        yield from _twice([value.name for value in step.set], at + "/set", "name", "value")
    if step.emit is not None:
        yield from _twice([value.name for value in step.emit.data], at + "/emit/data", "name", "field")
    if step.delay is not None:
        if (step.delay.duration is None) == (step.delay.until is None):
            found = "neither" if step.delay.until is None else "both"
            yield Problem("SF216", at + "/delay", f"expected either `for` or `until` but found {found}.", "Write for: 2h, or until: with a point in time.")
        yield from _length(step.delay.duration, at + "/delay/for")


def _length(text: str | None, at: str, allow_zero: bool = False) -> Iterator[Problem]:
    if text is None:
        return
    ms = parse_ms(text)
    if ms > LONGEST_MS or (ms == 0 and not allow_zero):
        yield Problem("SF232", at, f"expected a length of time up to ten years, and not zero, but found {text}.", "Write one such as 30s, 24h or 7d.")


def _twice(names: list[str], at: str, field: str, what: str) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem("SF223", f"{at}/{index}/{field}", f"another {what} is already called `{name}`.", "Give each its own name.")


def _reserved(names: list[str], at: str) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in NO_OUTCOME:
            yield Problem("SF219", f"{at}/{index}/id", f"`{name}` has a meaning of its own as an outcome.", "Choose another id.")


def _needs(step: Step, at: str, graph: Graph, triggers: set[str]) -> Iterator[Problem]:
    for index, need in enumerate(step.needs):
        id_, _, outcome = need.partition(".")
        place = f"{at}/needs/{index}"
        if need in step.needs[:index]:
            yield Problem("SF223", place, f"the need `{need}` is written twice.", "Remove one of them.")
        target = graph.steps.get(id_)
        if target is None:
            near = nearest(id_, graph.steps)
            if id_ in triggers:
                yield Problem("SF211", place, f"`{id_}` is a trigger, not a step.", "A step without needs begins with the run; remove this need.")
            else:
                yield Problem("SF211", place, f"there is no step `{id_}`.", f"Did you mean `{near}`?" if near else f"The steps are {', '.join(graph.steps)}.")
            continue
        outcomes = outcomes_of(target)
        if outcome and outcome not in outcomes:
            near = nearest(outcome, outcomes)
            if outcome == "timeout" and target.wait is not None:
                fix = f"Give the wait `{id_}` a limit with `within`."
            elif near:
                fix = f"Did you mean `{id_}.{near}`?"
            else:
                fix = (
                    f"Its outcomes are {', '.join(outcomes)}."
                    if outcomes
                    else f"Write `{id_}` alone: a step of kind {kind_of(target) or 'this'} has no outcomes to name."
                )
            yield Problem("SF212", place, f"the step `{id_}` has no outcome `{outcome}`.", fix)


def _joins(definition: Definition, graph: Graph) -> Iterator[Problem]:
    """Steps that can never begin. What must have happened for a step is kept as the outcomes that each earlier step may have had."""
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
            yield Problem("SF217", at + "/needs", f"the needs of `{id_}` can never all be met: `{clash}` ends in one way only.", fix)
        elif must[id_] is None:
            dead = next(need for need in step.needs if _way(need, graph, must) is None)
            yield Problem("SF218", at, f"the step `{id_}` can never begin, because it needs `{dead}`.", "Mend that step first, or need another one.")


def _way(need: str, graph: Graph, must: dict[str, dict[str, frozenset[str]] | None]) -> dict[str, frozenset[str]] | None:
    id_, _, outcome = need.partition(".")
    if id_ not in graph.steps:
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
        if step.wait is not None and step.wait.within is not None and f"{step.id}.timeout" not in needed:
            at = f"/steps/{index}/wait/within"
            fix = f"Add a step that needs `{step.id}.timeout`."
            yield Problem("SF222", at, f"when `{step.id}` has waited {step.wait.within} in vain, nothing follows.", fix, "warning")
