"""A checked definition compiled to a plan: expressions compiled, steps in topological order, waits indexed by event."""

from __future__ import annotations

from streamflow.definition import content as contents
from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import Graph
from streamflow.definition.model import Approval, Call, ChildRun, Definition, Mapping, Step, Trigger, Wait, WaitEvent
from streamflow.definition.plan import (
    NO_OUTCOME,
    ApprovalPlan,
    BranchPlan,
    CallPlan,
    ChildPlan,
    ChoosePlan,
    ClausePlan,
    Compiled,
    DelayPlan,
    EachPlan,
    EmitPlan,
    FailPlan,
    NeedPlan,
    Plan,
    PrintPlan,
    RetryPlan,
    SetPlan,
    StepPlan,
    WaitPlan,
    Work,
)
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.validation import validator


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
        triggers=tuple(_clause(trigger, schemas) for trigger in definition.on),
        steps=compiled,
        waits={event: tuple(clauses) for event, clauses in waits.items()},
        output=definition.output,
    )


def _step(step: Step, graph: Graph, catalog: Catalog, needed: set[str], schemas: ReadSchemas) -> StepPlan:
    items = schemas.compile(step.each.items) if step.each is not None else None
    inside = schemas.with_item(items) if items is not None else schemas
    title = step.title or step.id
    return StepPlan(
        id=step.id,
        title=title,
        needs=tuple(_need(need) for need in step.needs),
        join_all=step.join == "all",
        condition=_optional(step.if_, schemas),
        work=_work(step, catalog, inside),
        dependents=graph.dependents[step.id],
        each=EachPlan(items, step.each.at_once) if step.each is not None and items is not None else None,
        handled=frozenset(outcome for outcome in NO_OUTCOME if f"{step.id}.{outcome}" in needed),
        undo=StepPlan(
            id=f"{step.id}.undo",
            title=f"undo {title}",
            needs=(),
            join_all=True,
            condition=None,
            work=_call(step.undo, step, catalog, schemas),
            dependents=(),
        )
        if step.undo is not None
        else None,
    )


def _need(need: str) -> NeedPlan:
    step, _, outcome = need.partition(".")
    return NeedPlan(step, outcome or None)


def _clause(clause: Trigger | WaitEvent, schemas: ReadSchemas) -> ClausePlan:
    schemas = schemas.with_event(clause.event)
    return ClausePlan(
        id=clause.id, event=clause.event, where=_optional(clause.where, schemas), key=_optional(clause.key, schemas)
    )


def _optional(source: str | None, schemas: ReadSchemas) -> Compiled | None:
    return schemas.compile(source) if source is not None else None


def _values(mappings: list[Mapping], schemas: ReadSchemas) -> tuple[tuple[str, Compiled], ...]:
    return tuple((mapping.name, schemas.compile(mapping.expr)) for mapping in mappings)


def _work(step: Step, catalog: Catalog, schemas: ReadSchemas) -> Work:
    if step.wait is not None:
        return _wait(step.wait, schemas)
    if step.choose is not None:
        return ChoosePlan(tuple(BranchPlan(branch.id, _optional(branch.if_, schemas)) for branch in step.choose))
    if step.set is not None:
        return SetPlan(_values(step.set, schemas))
    if step.emit is not None:
        event = catalog.event(step.emit.event)
        if event is None:
            raise _unknown(f"the event {step.emit.event}", step)
        return EmitPlan(
            event=event.name,
            data=_values(step.emit.data, schemas),
            key=_optional(step.emit.key, schemas),
            validator=validator(event.schema_),
        )
    if step.delay is not None:
        return DelayPlan(
            parse_ms(step.delay.duration) if step.delay.duration is not None else None,
            _optional(step.delay.until, schemas),
        )
    if step.print is not None:
        return PrintPlan(schemas.compile(step.print.text))
    if step.call is not None:
        return _call(step.call, step, catalog, schemas)
    if step.run is not None:
        return _child(step.run, step, catalog, schemas)
    if step.approval is not None:
        return _approval(step.approval, schemas)
    if step.fail is not None:
        return FailPlan(schemas.compile(step.fail.reason))
    raise ValueError(f"expected a kind of work in step {step.id} but there is none; check the definition first")


def _unknown(what: str, step: Step) -> ValueError:
    return ValueError(
        f"expected {what} in the catalog of step {step.id} but it is not there; check the definition first"
    )


def _ms(text: str | None) -> int | None:
    return parse_ms(text) if text is not None else None


def _wait(wait: Wait, schemas: ReadSchemas) -> WaitPlan:
    return WaitPlan(
        clauses=tuple(_clause(clause, schemas) for clause in wait.events),
        within_ms=_ms(wait.within),
        keep_ms=_ms(wait.keep),
        since=wait.since or "run",
        take=wait.take or "one",
    )


def _call(call: Call, step: Step, catalog: Catalog, schemas: ReadSchemas) -> CallPlan:
    spec = catalog.operation(call.operation)
    if spec is None:
        raise _unknown(f"the operation {call.operation}", step)
    return CallPlan(
        operation=call.operation,
        lane=call.lane or spec.lane,
        values=_values(call.with_, schemas),
        retry=_retry(call, spec),
        timeout_ms=parse_ms(call.timeout or spec.timeout),
        queue_ms=parse_ms(call.queue or spec.queue),
        within_ms=_ms(call.within),
    )


def _retry(call: Call, spec: OperationSpec) -> RetryPlan:
    """The retries of `call`. A declared error that is not retryable is attempted once, unless the step says
    otherwise."""
    retry = call.retry or spec.retry
    backoff = parse_ms(retry.backoff)
    once = {error.id: (1, backoff) for error in spec.errors if not error.retryable}
    said = {
        code.id: (code.attempts, parse_ms(code.backoff) if code.backoff is not None else backoff)
        for code in retry.codes
    }
    return RetryPlan(
        attempts=retry.attempts,
        backoff_ms=backoff,
        factor=retry.factor,
        longest_ms=parse_ms(retry.longest),
        codes=once | said,
    )


def _child(run: ChildRun, step: Step, catalog: Catalog, schemas: ReadSchemas) -> ChildPlan:
    spec = catalog.definition(run.definition, run.version)
    if spec is None:
        raise _unknown(f"the definition {run.definition}@{run.version}", step)
    return ChildPlan(
        definition=spec.name,
        version=spec.version,
        sha=spec.sha,
        key=_optional(run.key, schemas),
        values=_values(run.with_, schemas),
        within_ms=_ms(run.within),
        validator=validator(spec.input),
    )


def _approval(approval: Approval, schemas: ReadSchemas) -> ApprovalPlan:
    return ApprovalPlan(
        text=schemas.compile(approval.text), who=tuple(approval.who), form=approval.form, within_ms=_ms(approval.within)
    )
