"""Decisions of people on approvals."""

from __future__ import annotations

from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.operator_commands import asked_for, describe
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import PartitionState
from streamflow.engine.transitions import ApprovalGiven
from streamflow.errors import with_remedy


def decide_approval(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.Decide) -> None:
    """Take a person's answer. Who may give it is asked where it comes in. Raises Refused."""
    run = asked_for(builder, contents, command)
    state, step = run.head.steps.get(command.address), run.plan.steps.get(command.address)
    if step is None or state is None or state.status != "awaiting_approval":
        now = (state.outcome or state.status) if state else "not begun"
        message = f"expected step {command.address} to wait for an approval but it is {now}. Show the run again."
        raise Refused("rejected", "not_approving", message, describe(run))
    try:
        EvaluationContext(run).check_size(command.data, "data")
    except ParkStep as parked:
        problem = f"expected an answer that fits a record but it is {parked.code.replace('_', ' ')}: {parked.detail}"
        raise Refused("rejected", parked.code, with_remedy(problem, "shorten it"), describe(run)) from None
    run.record(ApprovalGiven(command.decision, command.by, command.data), step.id)
    advance(run, step.dependents)
