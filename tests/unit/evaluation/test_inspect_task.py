"""The cases as a task of Inspect: the same answers get the same scores as from `streamflow eval`. Skipped where the
extra `inspect` is missing, but for what holds without it."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamflow.authoring.operations import apply_tool
from streamflow.evaluation.authors.rules import Rules
from streamflow.evaluation.case import cases
from streamflow.evaluation.evaluation import evaluate
from streamflow.evaluation.report import Report
from streamflow.models.tools import Tool

pytestmark = pytest.mark.filterwarnings("ignore")  # of Inspect and of what it brings

PACKAGE = Path(__file__).parents[3] / "streamflow"
NEW, EDITED = "helpdesk/answer-in-time", "payments/edit-ask-analyst-limits"


def test_nothing_else_imports_it() -> None:
    naming = [file for file in PACKAGE.rglob("*.py") if "inspect_ai" in file.read_text()]
    assert [file.name for file in naming] == ["inspect_task.py"]
    assert not [file for file in PACKAGE.rglob("*.py") if "import inspect_task" in file.read_text()]
    program = "import sys, streamflow.cli.main, streamflow.cli.eval; print('inspect_ai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture
def inspected(tmp_path: Path) -> Any:
    """Runs a task of cases by Inspect, with the outputs of its own scripted model; the log."""
    inspect_ai = pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")
    from inspect_ai.model import get_model

    from streamflow.evaluation.inspect_task import definitions

    def run(case: str, author: str = "model", outputs: Any = ()) -> Any:
        model = get_model("mockllm/model", custom_outputs=list(outputs), memoize=False)
        (log,) = inspect_ai.eval(
            definitions(case=case, author=author), model=model, log_dir=str(tmp_path), display="none"
        )
        assert log.status == "success", log.error
        return log

    return run


def reported(name: str) -> Report:
    return asyncio.run(evaluate(Rules(), cases(lambda known: known == name)))


def compared(value: dict[str, float], report: Report) -> None:
    """Whether a sample has the means of the scores of all its rounds."""
    for name in report.results[0].scores:
        known = [one.scores[name] for one in report.results if one.scores[name] is not None]
        mean = sum(one for one in known if one is not None) / len(known) if known else math.nan
        assert value[name] == pytest.approx(mean, nan_ok=True), name
    assert value["solved"] == pytest.approx(sum(one.solved for one in report.results) / len(report.results))


@pytest.mark.parametrize("name", [NEW, EDITED])
def test_the_rules_get_the_scores_that_they_have_here(inspected: Any, name: str) -> None:
    log = inspected(name, author="rules")

    (sample,) = log.samples
    (scored,) = sample.scores.values()
    compared(scored.value, reported(name))
    assert {one.name for one in log.results.scores} == set(scored.value)


def test_a_model_edits_by_the_operations_and_is_told_what_it_did_wrong(inspected: Any) -> None:
    from inspect_ai.model import ModelOutput, ModelUsage

    def made(*operations: dict[str, Any]) -> Any:
        return ModelOutput.for_tool_call("mockllm/model", "apply", {"operations": list(operations)})

    wrong = made({"op": "set_field", "step": "asked", "field": "approval.within", "value": "2h"})
    right = made({"op": "set_field", "step": "ask", "field": "approval.within", "value": "2h"})
    done = ModelOutput.from_content("mockllm/model", "Done.")
    asking = ModelOutput.for_tool_call("mockllm/model", "ask", {"questions": ["From which amount on?"]})

    outputs = [wrong, right, done, asking, asking]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=90, output_tokens=10, total_tokens=100)
    log = inspected(EDITED, outputs=outputs)

    (sample,) = log.samples
    results = sample.metadata["streamflow_results"]
    assert [(one["solved"], one["repairs"], one["questions"]) for one in results] == [
        (True, 1, []),
        (False, 0, ["From which amount on?"]),
        (False, 0, ["From which amount on?"]),
    ]
    assert "within: 2h" in results[0]["text"]
    assert [one["tokens"] for one in results] == [300, 100, 100]
    (scored,) = sample.scores.values()
    assert scored.value["solved"] == pytest.approx(1 / 3)
    assert "From which amount on?" in scored.explanation


def test_the_tool_that_inspect_offers_says_what_ours_says(inspected: Any) -> None:
    from streamflow.evaluation.inspect_task import _offered

    ours: dict[str, Any] = apply_tool()
    offered = _offered(Tool(ours["name"], ours["description"], ours["parameters"])).parameters.model_dump(
        exclude_none=True
    )

    def names(schema: Any, shared: Any) -> set[str]:
        if isinstance(schema, list):
            return set().union(*(names(one, shared) for one in schema))
        if not isinstance(schema, dict):
            return set()
        if "$ref" in schema:
            return names(shared[schema["$ref"].rpartition("/")[2]], shared)
        found = set(schema.get("properties", {}))
        for key, part in schema.items():
            if key == "properties":
                found |= names(list(part.values()), shared)
            elif key != "$defs":
                found |= names(part, shared)
        return found

    assert names(offered, {}) == names(ours["parameters"], ours["parameters"]["$defs"])
    assert "title" in names(offered, {})
    kinds = [one["properties"]["op"]["enum"] for one in offered["properties"]["operations"]["items"]["anyOf"]]
    assert ["add_step"] in kinds


@pytest.mark.parametrize("words", [{"author": "nobody"}, {"case": "no-such-case"}])
def test_what_there_is_not_is_refused(inspected: Any, words: dict[str, str]) -> None:
    from streamflow.evaluation.inspect_task import definitions

    with pytest.raises(ValueError, match="There is no"):
        definitions(**words)
