"""`emit`: an event of the catalog, published to the users' topic that the host has bound it to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import EmitPlan, StepPlan
from streamflow.engine.effects import PublishEvent
from streamflow.engine.evaluation import Place
from streamflow.engine.steps.kind import FactRule, StepKind, done, ended, short
from streamflow.engine.transitions import EventEmitted

if TYPE_CHECKING:
    from streamflow.engine.draft import RunDraft


def begin(run: RunDraft, step: StepPlan, work: EmitPlan) -> None:
    head, place, draft = run.head, Place(run), run.draft
    data, key = place.values(work.data, "emit"), place.key(work.key, "emit/key")
    event_id = f"{head.run}/{head.seq + 1}"
    place.valid(work.validator, data, "emit")
    run.record(EventEmitted(event=work.event, id=event_id, key=key, data=data), step.id)
    draft.effects.append(
        PublishEvent(
            key=key,
            id=event_id,
            type=work.event,
            at_ms=draft.now_ms,
            data=data,
            definition=head.definition,
            run=head.run,
            trace=draft.trace,
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
