"""A checked definition compiled to a plan: expressions compiled, steps in topological order, waits indexed by event."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.definition import content as contents
from streamflow.definition.catalog import Catalog
from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Step
from streamflow.definition.plan import (
    NO_OUTCOME,
    START,
    EachPlan,
    NeedPlan,
    Plan,
    StepPlan,
    WaitPlan,
    Work,
)
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.call import compile_call
from streamflow.definition.steps.kind import Unresolved, clause, optional
from streamflow.definition.steps.registry import form_of, form_of_work


def plan_of(content: bytes) -> Plan:
    """The plan of canonical `content`. What workers use; it does not check types again.

    Raises DefinitionError if an expression or the graph cannot be compiled, which published content never does."""
    definition, catalog = contents.read_content(content)
    return compile_plan(definition, catalog, contents.sha256_of(content))


def compile_plan(definition: Definition, catalog: Catalog, sha: str) -> Plan:
    """The plan of `definition`, which `check` found without errors, under the content hash `sha`."""
    graph = Graph(definition)
    steps = {step.id: step for step in definition.steps}
    needed = {need for step in definition.steps for need in step.needs}
    schemas = ReadSchemas.of(definition, catalog)
    compiled = {id_: _step(steps[id_], graph, catalog, needed, schemas) for id_ in graph.order}
    waits: dict[str, dict[str, None]] = {}
    for id_, step in compiled.items():
        if isinstance(step.work, WaitPlan):
            for awaited in step.work.clauses:
                waits.setdefault(awaited.event, {})[id_] = None
    return Plan(
        sha=sha,
        name=definition.name,
        version=definition.version,
        policy=definition.runs,
        triggers=tuple(clause(trigger, schemas) for trigger in definition.on),
        steps=compiled,
        waits={event: tuple(waiting) for event, waiting in waits.items()},
        output=definition.output,
        window_ms=parse_ms(definition.window) if definition.window is not None else None,
        reads=_reads([*compiled.values(), *(step.undo for step in compiled.values() if step.undo)], definition.output),
    )


def _step(step: Step, graph: Graph, catalog: Catalog, needed: set[str], schemas: ReadSchemas) -> StepPlan:
    items = schemas.compile(step.each.items) if step.each is not None else None
    inside = schemas.with_item(items) if items is not None else schemas
    return StepPlan(
        id=step.id,
        title=step.title or step.id,
        needs=tuple(_need(need) for need in step.needs),
        join_all=step.join == "all",
        condition=optional(step.if_, schemas),
        work=_work(step, catalog, inside),
        dependents=graph.dependents[step.id],
        each=EachPlan(items, step.each.at_once) if step.each is not None and items is not None else None,
        handled=frozenset(outcome for outcome in NO_OUTCOME if f"{step.id}.{outcome}" in needed),
        undo=_undo(step, catalog, schemas),
    )


def _need(need: str) -> NeedPlan:
    step, _, outcome = need.partition(".")
    return NeedPlan(step, outcome or None)


def _work(step: Step, catalog: Catalog, schemas: ReadSchemas) -> Work:
    form = form_of(step)
    if form is None:
        raise ValueError(f"The step {step.id} has no kind of work. Check the definition first.")
    try:
        work: Work = form[0].compile(form[1], catalog, schemas)
    except Unresolved as missing:
        raise _unresolved(step, missing) from None
    return work


def _undo(step: Step, catalog: Catalog, schemas: ReadSchemas) -> StepPlan | None:
    if step.undo is None:
        return None
    try:
        work = compile_call(step.undo, catalog, schemas)
    except Unresolved as missing:
        raise _unresolved(step, missing) from None
    return StepPlan(
        id=f"{step.id}.undo",
        title=f"undo {step.title or step.id}",
        needs=(),
        join_all=True,
        condition=None,
        work=work,
        dependents=(),
    )


def _unresolved(step: Step, missing: Unresolved) -> ValueError:
    return ValueError(f"The catalog of the step {step.id} does not have {missing}. Check the definition first.")


def _reads(steps: Iterable[StepPlan], output: str | None) -> frozenset[str]:
    """The steps whose outputs an expression or the run's output reads, and START for what started the run."""
    read: set[str] = {output} if output else set()
    for step in steps:
        written = (
            step.condition,
            step.each.items if step.each else None,
            *form_of_work(step.work).expressions(step.work),
        )
        for expression in written:
            if expression is not None:
                read |= expression.steps
                if "trigger" in expression.names:
                    read.add(START)
    return frozenset(read)
