"""A checked definition compiled to a plan: expressions compiled, steps in topological order, waits indexed by event."""

from __future__ import annotations

from streamflow.definition import content as contents
from streamflow.definition.catalog import Catalog
from streamflow.definition.duration import parse_ms
from streamflow.definition.expression import compile_expression
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Mapping, Step, Trigger, WaitEvent
from streamflow.definition.plan import (
    BranchPlan,
    ChoosePlan,
    ClausePlan,
    Compiled,
    DelayPlan,
    EmitPlan,
    NeedPlan,
    Plan,
    PrintPlan,
    SetPlan,
    StepPlan,
    WaitPlan,
    Work,
)


def plan_of(content: bytes) -> Plan:
    """The plan of canonical `content`. What workers use; it does not check types again.

    Raises DefinitionError if an expression or the graph cannot be compiled, which published content never does."""
    definition, catalog = contents.read_content(content)
    return compile_plan(definition, catalog, contents.sha256_of(content))


def compile_plan(definition: Definition, catalog: Catalog, sha: str) -> Plan:
    """The plan of `definition`, which `check` found without errors, under the content hash `sha`."""
    graph = Graph(definition)
    steps = {step.id: step for step in definition.steps}
    compiled = {id_: _step(steps[id_], graph, catalog) for id_ in graph.order}
    waits: dict[str, list[tuple[str, ClausePlan]]] = {}
    for id_, step in compiled.items():
        if isinstance(step.work, WaitPlan):
            for clause in step.work.clauses:
                waits.setdefault(clause.event, []).append((id_, clause))
    return Plan(
        sha=sha,
        name=definition.name,
        version=definition.version,
        policy=definition.runs,
        triggers=tuple(_clause(trigger) for trigger in definition.on),
        steps=compiled,
        waits={event: tuple(clauses) for event, clauses in waits.items()},
    )


def _step(step: Step, graph: Graph, catalog: Catalog) -> StepPlan:
    return StepPlan(
        id=step.id,
        title=step.title or step.id,
        needs=tuple(_need(need) for need in step.needs),
        join_all=step.join == "all",
        condition=_optional(step.if_),
        work=_work(step, catalog),
        dependents=graph.dependents[step.id],
    )


def _need(need: str) -> NeedPlan:
    step, _, outcome = need.partition(".")
    return NeedPlan(step, outcome or None)


def _clause(clause: Trigger | WaitEvent) -> ClausePlan:
    return ClausePlan(clause.id, clause.event, _optional(clause.where), _optional(clause.key))


def _optional(source: str | None) -> Compiled | None:
    return compile_expression(source) if source is not None else None


def _values(mappings: list[Mapping]) -> tuple[tuple[str, Compiled], ...]:
    return tuple((mapping.name, compile_expression(mapping.expr)) for mapping in mappings)


def _work(step: Step, catalog: Catalog) -> Work:
    if step.wait is not None:
        within = parse_ms(step.wait.within) if step.wait.within is not None else None
        specs = [catalog.event(clause.event) for clause in step.wait.events]
        topics = sorted({topic for spec in specs if spec is not None for topic in spec.topics})
        return WaitPlan(tuple(_clause(clause) for clause in step.wait.events), within, parse_ms(step.wait.keep) if step.wait.keep else None, tuple(topics))
    if step.choose is not None:
        return ChoosePlan(tuple(BranchPlan(branch.id, _optional(branch.if_)) for branch in step.choose))
    if step.set is not None:
        return SetPlan(_values(step.set))
    if step.emit is not None:
        event = catalog.event(step.emit.event)
        if event is None:
            raise ValueError(f"expected the event {step.emit.event} in the catalog of step {step.id} but it is not there; check the definition first")
        return EmitPlan(event.name, event.topics[0], _values(step.emit.data), _optional(step.emit.key))
    if step.delay is not None:
        return DelayPlan(parse_ms(step.delay.duration) if step.delay.duration is not None else None, _optional(step.delay.until))
    if step.print is not None:
        return PrintPlan(compile_expression(step.print.text))
    raise ValueError(f"expected a kind of work in step {step.id} but there is none; check the definition first")
