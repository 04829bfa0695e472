"""A plan as text, for reviewers."""

from __future__ import annotations

from streamflow.definition.plan import Plan, Work
from streamflow.definition.steps.registry import form_of_work


def describe(plan: Plan) -> str:
    """The plan as text, one line a step: what a reviewer compares."""
    lines = [f"{plan.name}@{plan.version} {plan.policy}"]
    lines += [
        f"on {t.id}: {t.event}"
        + (f" where {t.where.source}" if t.where else "")
        + (f" key {t.key.source}" if t.key else "")
        for t in plan.triggers
    ]
    for step in plan.steps.values():
        needs = (" and " if step.join_all else " or ").join(
            n.step + (f".{n.outcome}" if n.outcome else "") for n in step.needs
        ) or "start"
        condition = f" if {step.condition.source}" if step.condition else ""
        each = f" each {step.each.items.source} ({step.each.at_once} at once)" if step.each else ""
        undo = f"; undo {_work(step.undo.work)}" if step.undo else ""
        lines.append(f"{step.id} <- {needs}{condition}:{each} {_work(step.work)}{undo}")
    return "\n".join([*lines, f"output {plan.output}"] if plan.output else lines)


def _work(work: Work) -> str:
    return form_of_work(work).describe(work)
