"""`print`: a line for the worker's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import PrintPlan, StepPlan
from streamflow.engine.address import split_address
from streamflow.engine.effects import PrintLine
from streamflow.engine.evaluation import TEXT_CHARS, EvaluationContext
from streamflow.engine.steps.kind import FactRule, StepKind, done, ended, short
from streamflow.engine.transitions import LinePrinted

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: PrintPlan) -> None:
    text = EvaluationContext(run).text(work.text, "print/text")[:TEXT_CHARS]
    run.record(LinePrinted(text=text), step.id)
    head = run.head
    scope, name = split_address(step.id)
    run.builder.effects.append(
        PrintLine(run=head.run, scope=scope, step=name, text=text, trace=run.trace, correlation_id=head.correlation_id)
    )


PRINT = StepKind(
    name="print",
    plan=PrintPlan,
    begin=begin,
    facts={
        LinePrinted: FactRule(
            words=lambda data, time: f"printed {short(data.text)}",
            step=done,
            output=lambda data: {"text": data.text},
            outcome=ended("done"),
        )
    },
)
