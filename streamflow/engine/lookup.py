"""Open runs, as a draft sees them."""

from __future__ import annotations

from streamflow.definition.plan import Plan
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.outcome import Contents
from streamflow.engine.record_keys import content_key, run_key
from streamflow.engine.state import RunState


def maybe_open(builder: DecisionBuilder, contents: Contents, run: str) -> RunBuilder | None:
    """The open run of this id, or None."""
    return open_run(builder, contents, run) if builder.get(run_key(run)) is not None else None


def open_run(builder: DecisionBuilder, contents: Contents, run: str) -> RunBuilder:
    """The open run of this id, which must be open."""
    head, plan = head_and_plan(builder, contents, run)
    return RunBuilder(builder, plan, head)


def head_and_plan(builder: DecisionBuilder, contents: Contents, run: str) -> tuple[RunState, Plan]:
    """The head and the plan of a run, which must be open."""
    head: RunState = builder.get(run_key(run))
    plan = builder.plans.get(head.sha)
    if plan is None:
        plan = builder.plans[head.sha] = contents.plan(head.sha, lambda: builder.get(content_key(head.sha)))
    return head, plan
