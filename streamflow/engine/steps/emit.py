"""`emit`: an event of the catalog, published to the users' topic that the host has bound it to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import EmitPlan, StepPlan
from streamflow.engine.effects import PublishEvent
from streamflow.engine.evaluation import EvaluationContext
from streamflow.engine.steps.kind import FactRule, StepKind, done, ended, short
from streamflow.engine.transitions import EventEmitted

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: EmitPlan) -> None:
    head, place, builder = run.head, EvaluationContext(run), run.builder
    data, key = place.values(work.data, "emit"), place.key(work.key, "emit/key")
    event_id = f"{head.run}/{head.seq + 1}"
    place.valid(work.validator, data, "emit")
    run.record(EventEmitted(event=work.event, id=event_id, key=key, data=data), step.id)
    trace = run.trace
    builder.effects.append(
        PublishEvent(
            key=key,
            id=event_id,
            type=work.event,
            at_ms=builder.now_ms,
            data=data,
            definition=head.definition,
            run=head.run,
            trace=trace.at(event_id) if trace is not None else None,
            correlation_id=head.correlation_id,
        )
    )


EMIT = StepKind(
    name="emit",
    plan=EmitPlan,
    begin=begin,
    facts={
        EventEmitted: FactRule(
            words=lambda data, time: f"emitted {data.event}: {short(data.data)}",
            step=done,
            output=lambda data: {"id": data.id},
            outcome=ended("done"),
        )
    },
)
