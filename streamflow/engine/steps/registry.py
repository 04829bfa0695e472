"""All kinds of step, and all facts about steps: what advancing, evolving, timers and everything that shows a run
consult."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.engine.steps import items
from streamflow.engine.steps.approval import APPROVAL
from streamflow.engine.steps.call import CALL
from streamflow.engine.steps.child import CHILD
from streamflow.engine.steps.choose import CHOOSE
from streamflow.engine.steps.delay import DELAY
from streamflow.engine.steps.emit import EMIT
from streamflow.engine.steps.fail import FAIL
from streamflow.engine.steps.kind import FactRule, FiredTimer, StepKind
from streamflow.engine.steps.print import PRINT
from streamflow.engine.steps.require import REQUIRE
from streamflow.engine.steps.set import SET
from streamflow.engine.steps.wait import WAIT

if TYPE_CHECKING:
    from streamflow.definition.plan import StepPlan
    from streamflow.engine.builder import RunBuilder

KINDS: tuple[StepKind, ...] = (WAIT, CHOOSE, SET, EMIT, DELAY, PRINT, CALL, CHILD, APPROVAL, REQUIRE, FAIL)

STEP_FACTS: dict[type, FactRule] = items.LIST_FACTS | {
    fact: rule for kind in KINDS for fact, rule in kind.facts.items()
}
"""What every fact about a step does."""

_BY_PLAN: dict[type, StepKind] = {kind.plan: kind for kind in KINDS}


def begin_step(run: RunBuilder, step: StepPlan) -> None:
    """Begin a step whose needs are met and whose condition holds. Raises ParkStep."""
    if step.each is not None:
        items.begin_list(run, step, step.each)
    else:
        _BY_PLAN[type(step.work)].begin(run, step, step.work)


def expire_step(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    """Do what a step (or an item of it) does when its timer is due. Raises Refused."""
    if timer.item is None and run.head.steps[step.id].items is not None:
        items.expire(run, step)
        return
    expire = _BY_PLAN[type(step.work)].expire
    assert expire is not None  # no other kind arms a timer
    expire(run, step, timer)
    if timer.item is not None and run.head.steps[step.id].status == "listing":
        items.continue_list(run, step)
