"""All kinds of step as authors write them: what checks, plans, diagrams and outlines consult."""

from __future__ import annotations

from typing import Any

from streamflow.definition.model import Step
from streamflow.definition.steps.approval import APPROVAL
from streamflow.definition.steps.call import CALL
from streamflow.definition.steps.child import CHILD
from streamflow.definition.steps.choose import CHOOSE
from streamflow.definition.steps.delay import DELAY
from streamflow.definition.steps.emit import EMIT
from streamflow.definition.steps.fail import FAIL
from streamflow.definition.steps.kind import StepForm
from streamflow.definition.steps.print import PRINT
from streamflow.definition.steps.require import REQUIRE
from streamflow.definition.steps.set import SET
from streamflow.definition.steps.wait import WAIT

FORMS: tuple[StepForm, ...] = (WAIT, CHOOSE, SET, EMIT, DELAY, PRINT, CALL, CHILD, APPROVAL, REQUIRE, FAIL)
"""Every kind of step, in the order in which they are named to authors."""

KINDS = tuple(form.name for form in FORMS)
OUTSIDE = tuple(form.name for form in FORMS if form.outside)

_BY_PLAN: dict[type, StepForm] = {form.plan: form for form in FORMS}


def forms_of(step: Step) -> list[tuple[StepForm, Any]]:
    """The kinds that are written in a step, each with its part. A step without errors has exactly one."""
    return [(form, part) for form in FORMS if (part := getattr(step, form.name)) is not None]


def form_of(step: Step) -> tuple[StepForm, Any] | None:
    """The kind of a step and its part: the first that is written; None if there is none."""
    return next(iter(forms_of(step)), None)


def form_of_work(work: Any) -> StepForm:
    """The kind of a step's work in a plan."""
    return _BY_PLAN[type(work)]
