"""Every operation that is built in or installed can be named, checked and compiled in a definition."""

from __future__ import annotations

import pytest

from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.check import check
from streamflow.definition.compile import plan_of
from streamflow.definition.content import canonical
from streamflow.definition.duration import parse_ms
from streamflow.definition.model import Definition
from streamflow.definition.plan import CallPlan
from streamflow.operations.registry import known_operations

KNOWN = known_operations()


def test_there_are_operations_to_look_at() -> None:
    assert {"print.line"} <= {spec.name for spec in KNOWN}


@pytest.mark.parametrize("spec", KNOWN, ids=lambda spec: spec.name)
def test_a_call_of_it_lacks_only_what_it_must_be_given_and_has_its_defaults(spec: OperationSpec) -> None:
    step = {"id": "done", "call": {"operation": spec.name}}
    after = {"id": "after", "needs": ["done"], "set": [{"name": "all", "expr": "steps.done"}]}
    definition = Definition.model_validate({"name": "x", "version": "1", "input": {}, "steps": [step, after]})
    catalog = Catalog(operations=[spec])

    problems = check(definition, catalog)
    work = plan_of(canonical(definition, catalog)).steps["done"].work

    assert {problem.code for problem in problems} <= {"SF243"}
    assert len(problems) == len(spec.input.get("required", ()))
    assert isinstance(work, CallPlan)
    assert (work.lane, work.timeout_ms, work.queue_ms) == (spec.lane, parse_ms(spec.timeout), parse_ms(spec.queue))
    assert set(work.retry.codes) >= {error.id for error in spec.errors if not error.retryable}
