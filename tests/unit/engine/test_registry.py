"""Every kind of step that a definition may have is known everywhere, completely, and so is every fact."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from streamflow.definition import steps as forms_package
from streamflow.definition.model import Step
from streamflow.definition.plan import Work
from streamflow.definition.steps.kind import StepForm
from streamflow.definition.steps.registry import FORMS
from streamflow.engine import steps as kinds_package
from streamflow.engine.evolve import FACT_RULES
from streamflow.engine.state import Status
from streamflow.engine.steps import items
from streamflow.engine.steps.kind import STATUS_WORDS, StepKind
from streamflow.engine.steps.registry import KINDS, STEP_FACTS
from streamflow.engine.transitions import FACTS
from streamflow_check import run_history

STRUCTURE = {"id", "title", "needs", "join", "if_", "each", "undo"}
"""The fields of a step that are no kind of work."""


def test_both_registries_have_every_kind_that_a_step_may_be() -> None:
    written = set(Step.model_fields) - STRUCTURE

    assert {form.name for form in FORMS} == {kind.name for kind in KINDS} == written
    assert {form.plan for form in FORMS} == {kind.plan for kind in KINDS} == set(get_args(Work))
    assert len(FORMS) == len(KINDS) == len(written)


def test_the_two_registries_mean_the_same_by_a_name() -> None:
    assert {form.name: form.plan for form in FORMS} == {kind.name: kind.plan for kind in KINDS}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_has_all_its_members(form: StepForm) -> None:
    for member in fields(form):
        hint = str(get_type_hints(StepForm)[member.name])
        assert callable(getattr(form, member.name)) or "Callable" not in hint, member.name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_that_arms_a_timer_says_what_it_does_then(kind: StepKind) -> None:
    assert callable(kind.begin)
    assert (kind.expire is not None) == bool(kind.statuses)  # whatever a step waits for may have a limit


def test_every_status_belongs_to_a_kind_and_has_words() -> None:
    owned = {status for kind in KINDS for status in kind.statuses}

    assert owned | set(items.STATUSES) | {"parked", "done", "skipped"} == set(get_args(Status)) == set(STATUS_WORDS)


def test_every_fact_has_one_rule() -> None:
    assert set(FACT_RULES) == set(FACTS.values())
    for kind in KINDS:
        for fact, rule in kind.facts.items():
            assert STEP_FACTS[fact] is rule, f"{fact.__name__} of {kind.name}"


def test_every_fact_about_a_step_changes_its_state_or_its_run() -> None:
    assert [fact.__name__ for fact, rule in STEP_FACTS.items() if rule.step is None and rule.run is None] == []


def test_the_checker_knows_every_fact() -> None:
    assert FACTS.keys() == run_history.FACTS


@pytest.mark.parametrize("package", [forms_package, kinds_package], ids=["definition", "engine"])
def test_a_kind_is_a_file_of_each_package(package: Any) -> None:
    files = {path.stem for path in Path(package.__path__[0]).glob("*.py")}
    names = {
        "child" if form.name == "run" else form.name for form in FORMS
    }  # `run` is what the others call a whole run

    assert names <= files
