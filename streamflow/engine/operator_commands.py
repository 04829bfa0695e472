"""Commands of operators, and continuing runs that reached the limit of one command."""

from __future__ import annotations

from typing import Any

from streamflow.definition.plan import StepPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.compensation import continue_compensation, stop
from streamflow.engine.evaluation import ParkStep
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import UNDER_WAY, PartitionState
from streamflow.engine.steps.attempts import begin_attempt
from streamflow.engine.steps.items import continue_list, forget_items, give_up_list
from streamflow.engine.transitions import StepRetried, StepsSkipped
from streamflow.errors import with_remedy


def continue_run(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.Continue) -> None:
    """Go on where the limit of one command stopped. Raises Refused when nothing is left to do."""
    run = maybe_open(builder, contents, command.run)
    if run is None:
        raise Refused("duplicate", "run_ended")
    if run.head.stopping is None:
        for step in run.plan.sequence:
            state = run.head.steps.get(step.id)
            if state is not None and state.status == "listing":
                continue_list(run, step)
        advance(run)
    if not builder.transitions:
        raise Refused("duplicate", "nothing_to_do")


def cancel_run(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.CancelRun) -> None:
    """End a run as cancelled, after what is to be undone; if that is parked, without it, unless it is the parent that
    asks: only a person gives up what is to be undone. Raises Refused."""
    run = asked_for(builder, contents, command)
    if run.head.stopping is not None and (command.by_parent or not run.head.parked):
        raise Refused(
            "rejected",
            "run_stopping",
            with_remedy("expected an open run but it is already being stopped", "wait for its end"),
            describe(run),
        )
    stop(run, "cancelled", command.reason)


def fail_run(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.FailRun) -> None:
    """End a parked run as failed, after what is to be undone; if that is parked, without it. Raises Refused."""
    run = asked_for(builder, contents, command)
    if not run.head.parked:
        text = with_remedy("expected a parked run but it is not", "cancel it instead")
        raise Refused("rejected", "not_parked", text, describe(run))
    stop(run, "failed", command.reason)


def retry_step(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.RetryStep) -> None:
    """Try a parked step again: a call with as many attempts as at first, a list with the items that failed, both in
    their time once more. Raises Refused."""
    run, step = _parked_step(builder, contents, command)
    listed, within = run.head.steps[step.id].items is not None, getattr(step.work, "within_ms", None)
    run.record(StepRetried(builder.now_ms + within if listed and within is not None else None), step.id)
    state = run.head.steps.get(step.id)
    if state is None:
        _begin_again(run, step)
    elif state.status == "listing":
        continue_list(run, step)
    elif state.status == "done":
        advance(run, ())
    else:
        try:
            begin_attempt(run, step, state.attempt + 1, attempts_before_retry=state.attempt)
        except ParkStep as parked:
            run.record(parked.fact, step.id)


def _begin_again(run: RunBuilder, step: StepPlan) -> None:
    if run.head.stopping is not None:
        continue_compensation(run)
    else:
        advance(run, (step.id,))


def skip_step(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.SkipStep) -> None:
    """Treat a parked step as skipped; of a run that is stopping, also a step whose attempts are under way, so that it
    is not waited for. Raises Refused."""
    run = asked_for(builder, contents, command)
    state, waited = run.head.steps.get(command.address), run.plan.step(command.address)
    if run.head.stopping is not None and state is not None and state.status in UNDER_WAY and waited is not None:
        step = waited
    else:
        run, step = _parked_step(builder, contents, command)
    items = run.head.steps[step.id].items
    if items is not None and run.head.stopping is not None:
        give_up_list(run, step)
    else:
        if items is not None:
            forget_items(run, step.id, items.total)
        run.record(StepsSkipped((step.id,)))
    if run.head.stopping is not None:
        continue_compensation(run)
    else:
        advance(run, step.dependents)


def _parked_step(
    builder: DecisionBuilder, contents: Contents, command: c.RetryStep | c.SkipStep
) -> tuple[RunBuilder, StepPlan]:
    run = asked_for(builder, contents, command)
    state, step = run.head.steps.get(command.address), run.plan.step(command.address)
    if step is None or state is None or state.status != "parked":
        now = state.status if state else "not begun"
        raise Refused(
            "rejected",
            "not_parked",
            f"expected step {command.address} to be parked but it is {now}. Show the run again.",
            describe(run),
        )
    return run, step


def asked_for(
    builder: DecisionBuilder, contents: Contents, command: c.CancelRun | c.FailRun | c.RetryStep | c.SkipStep | c.Decide
) -> RunBuilder:
    """The open run that a request is for. Raises Refused."""
    run = maybe_open(builder, contents, command.run)
    if run is not None:
        return run
    text = "No run of this id is open: it has ended, or there never was one. List the runs."
    raise Refused("rejected", "run_unknown", text)


def describe(run: RunBuilder) -> dict[str, Any]:
    """What a refusal reports of the run as it is."""
    return {"seq": run.head.seq, "steps": {name: step.status for name, step in run.head.steps.items()}}
