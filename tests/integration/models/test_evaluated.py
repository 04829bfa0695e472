"""A language model as the author of an evaluation, against a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.evaluation.author import Task
from streamflow.evaluation.authors.language_model import Modelled
from streamflow.evaluation.case import cases
from streamflow.evaluation.evaluation import evaluate
from streamflow.evaluation.report import Report
from streamflow.models.access import ModelAccess
from streamflow.models.meter import Account, Charge
from streamflow.models.protocol import Model
from streamflow.settings.models import Budgets
from tests.scripted_model import Answer, Call, ScriptedModel
from tests.scripted_model.client import KEY, settings

pytestmark = pytest.mark.timeout(120)

DONE = Answer(text="Done.")
GLASS, EDIT, UNCLEAR = "claims/glass-at-once", "claims/edit-glass", "claims/small-claims"
TRIGGER = {
    "op": "set_trigger",
    "trigger": {
        "id": "reported",
        "event": "claim.reported",
        "where": "event.damage == 'glass' && event.estimate <= 500",
    },
}


def settle(event: str = "claim.settled") -> dict[str, Any]:
    data = [{"name": "claim", "expr": "trigger.claim"}, {"name": "amount", "expr": "trigger.estimate"}]
    return {"op": "add_step", "step": {"id": "pay", "emit": {"event": event, "data": data}}}


def applied(*operations: dict[str, Any]) -> Answer:
    return Answer(calls=(Call("apply", json.dumps({"operations": operations})),))


def asked(*questions: str) -> Answer:
    return Answer(calls=(Call("ask", json.dumps({"questions": questions})),))


async def _evaluated(
    script: Sequence[Answer], folder: Path, name: str, budgets: dict[str, Any]
) -> tuple[Report, ScriptedModel]:
    found = cases(lambda one: one == name)
    async with ScriptedModel(script) as server:
        own = settings(server, "openai", folder, price={"input": 1000.0, "output": 2000.0})
        changed = own.models.model_copy(update={"budgets": Budgets.model_validate(budgets)})
        models = ModelAccess(own.model_copy(update={"models": changed}))
        meter = models.meter()

        def opened(task: Task, charged: Callable[[Charge], None]) -> Model:
            account = Account(turn=str(task.round), conversation=task.case, person="anna", day="2026-03-01")
            return models.metered("main", meter, account, charged)

        async with models:
            report = await evaluate(Modelled("main", opened, models.limits("main")), found)
    return report, server


def evaluated(
    script: Sequence[Answer], folder: Path, name: str, budgets: dict[str, Any] | None = None
) -> tuple[Report, ScriptedModel]:
    return asyncio.run(_evaluated(script, folder, name, budgets or {}))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


def test_a_model_that_repairs_what_it_did_solves_the_case(tmp_path: Path) -> None:
    wrong = applied(TRIGGER, settle("claim.paid"))
    right = applied({"op": "set_field", "step": "pay", "field": "emit.event", "value": "claim.settled"})
    report, server = evaluated([wrong, right, DONE], tmp_path, GLASS)

    (result,) = report.results
    assert result.solved, result.faults
    assert (result.repairs, result.tokens) == (1, 3 * 18)
    assert result.cost is not None
    assert float(result.cost) == pytest.approx(3 * (11 * 1000 + 7 * 2000) / 1e6)
    assert server.asked[0].tools == ["apply", "ask"]
    told = json.dumps(server.asked[1].body["messages"][-1])
    assert "SF201" in told
    assert "claim.paid" in told
    assert "claim.reported" in json.dumps(server.asked[0].body["messages"])  # the catalog


def test_a_model_that_is_never_right_is_told_three_times_and_no_more(tmp_path: Path) -> None:
    report, server = evaluated([applied(TRIGGER, settle("claim.paid")), *[applied()] * 9], tmp_path, GLASS)

    (result,) = report.results
    assert (len(server.asked), result.repairs) == (4, 3)
    assert not result.solved
    assert result.scores["grounded"] == 0.5


@pytest.mark.parametrize(
    "answer",
    [asked("Up to which amount is a claim small?"), Answer(text="Up to which amount is a claim small?")],
    ids=["by the tool", "in its text"],
)
def test_a_model_may_ask_by_its_tool_or_in_its_text(answer: Answer, tmp_path: Path) -> None:
    report, server = evaluated([answer], tmp_path, UNCLEAR)

    (result,) = report.results
    assert result.solved
    assert result.questions == ["Up to which amount is a claim small?"]
    assert len(server.asked) == 1


def test_an_edit_is_made_of_the_draft_that_the_model_left_behind(tmp_path: Path) -> None:
    condition = "event.damage == 'glass' && event.estimate <= 800"
    trigger = {"id": "reported", "event": "claim.reported", "where": condition}
    raised = applied({"op": "set_trigger", "replaces": "reported", "trigger": trigger})
    report, server = evaluated([raised, DONE, DONE, DONE], tmp_path, EDIT)

    first, second, third = report.results
    assert first.solved
    assert first.scores["untouched"] == 1.0
    assert not second.solved  # the model said that it was done, and did nothing
    assert second.text is None
    assert "estimate <= 800" in json.dumps(server.asked[2].body["messages"])
    assert not third.solved


def test_a_cut_off_answer_ends_a_case_and_not_the_evaluation(tmp_path: Path) -> None:
    broken = Answer(text="I think about it", trouble="cut")
    report, _ = evaluated([DONE, broken, DONE], tmp_path, EDIT)

    assert [one.error and one.error.partition(":")[0] for one in report.results] == [None, "model_broken_off", None]


def test_what_was_paid_before_a_failure_is_counted_and_the_draft_is_not_half_changed(tmp_path: Path) -> None:
    script = [applied(TRIGGER), Answer(status=401, error="the key is gone")]
    report, _ = evaluated(script, tmp_path, GLASS)

    (result,) = report.results
    assert result.error is not None
    assert result.error.startswith("model_key_refused")
    assert (result.text, result.tokens) == (None, 18)
    assert result.cost is not None


def test_a_budget_that_is_used_up_ends_a_case_and_not_the_evaluation(tmp_path: Path) -> None:
    dear = Answer(text="Done.", usage={"input": 20_000, "output": 7, "cached": 0, "written": 0})
    report, server = evaluated([dear] * 9, tmp_path, EDIT, {"conversation": {"money": 25}})

    assert [one.error and one.error.partition(":")[0] for one in report.results] == [None, *["budget_exhausted"] * 2]
    assert len(server.asked) == 1


def test_a_model_that_cannot_be_reached_at_all_is_an_error_and_no_result(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="refuses the key"):
        evaluated([Answer(status=401, error="the key is gone")], tmp_path, EDIT)
