"""`streamflow draft`: what its page says, and its answers for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.cli.session import EXIT_AUTHOR, EXIT_CALLER
from tests.integration.test_docs_commands import matches, run, steps_of
from tests.unit.authoring.examples import TEXT

PAGE = Path(__file__).parents[3] / "docs" / "authoring.md"
CATALOG = """
events:
  - {name: order.placed, topics: [orders], id: {path: e}, key: {path: id}, schema: {type: object, properties: {id: {type: string}, amount: {type: number}}}}
  - {name: payment.captured, topics: [orders], id: {path: e}, key: {path: id}, schema: {type: object, properties: {amount: {type: number}}}}
  - {name: order.released, topics: [released]}
operations: [{name: card.charge}]
"""  # noqa: E501


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "definition.yaml").write_text(TEXT)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], *line: str, exit_code: int = 0) -> Any:
    """The JSON that a command line answers with."""
    assert main([*line, "--json"]) == exit_code
    written = capsys.readouterr()
    return json.loads(written.err.splitlines()[-1] if exit_code else written.out)


def edit(folder: Path, *operations: Any) -> str:
    file = folder / "edit.json"
    file.write_text(json.dumps(operations))
    return str(file)


def test_the_page_says_what_its_commands_do(tmp_path: Path) -> None:
    for step in steps_of(PAGE):
        wrote = run(step.command, tmp_path)
        assert matches(step.expected, wrote), f"{PAGE.name}:{step.line}\n$ {step.command}\n{wrote}"


def test_an_edit_is_answered_with_its_changes_and_new_problems(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = edit(folder, {"op": "set_field", "step": "charge", "field": "call.operation", "value": "card.chargee"})
    (folder / "definition.yaml").write_text(TEXT.replace("[{name: id, expr: trigger.id}]", "[]"))
    answer = answered(capsys, "draft", "apply", str(folder), file)

    assert [change["kind"] for change in answer["changes"]] == ["step_changed"]
    assert [problem["code"] for problem in answer["new_problems"]] == ["SF204"]
    assert "operation: card.chargee" in answer["text"]
    assert answer["written"] is None
    assert "card.chargee" not in (folder / "definition.yaml").read_text()


def test_it_is_written_only_for_the_text_that_it_was_meant_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = edit(folder, {"op": "set_field", "field": "title", "value": "Another"})
    first = answered(capsys, "draft", "apply", str(folder), file, "--write")
    refused = answered(
        capsys, "draft", "apply", str(folder), file, "--write", "--base", first["base"], exit_code=EXIT_CALLER
    )

    assert (folder / "definition.yaml").read_text() == first["text"]
    assert refused["error"]["code"] == "edit_stale"


@pytest.mark.parametrize(
    ("operations", "code", "exit_code"),
    [
        ([{"op": "set_feld"}], "edit_malformed", EXIT_AUTHOR),
        ([{"op": "rename", "what": "gone", "to": "x"}], "edit_target_unknown", EXIT_CALLER),
        ([{"op": "rename", "what": "paid", "to": "note"}], "edit_id_taken", EXIT_CALLER),
        ([{"op": "remove_step", "step": "charge"}], "edit_orphans", EXIT_CALLER),
        ([{"op": "move_branch", "step": "paid", "to": "note"}], "edit_circular", EXIT_CALLER),
        ([{"op": "set_trigger"}], "edit_ambiguous", EXIT_CALLER),
        ([{"op": "set_field", "field": "version", "value": 1}], "edit_breaks_shape", EXIT_CALLER),
    ],
)
def test_one_that_does_not_fit_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], operations: list[Any], code: str, exit_code: int
) -> None:
    error = answered(capsys, "draft", "apply", str(folder), edit(folder, *operations), "--write", exit_code=exit_code)

    assert error["error"]["code"] == code
    assert (folder / "definition.yaml").read_text() == TEXT


def test_what_is_wrong_in_a_file_of_operations_has_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "edit.yaml"
    file.write_text("- {op: rename, what: paid, to: x}\n- {op: rename, what: paid, too: x}\n")
    error = answered(capsys, "draft", "apply", str(folder), str(file), exit_code=EXIT_AUTHOR)

    assert [(one["pointer"], one["line"]) for one in error["error"]["problems"]] == [("/1/to", 2), ("/1/too", 2)]


def test_gaps_explain_and_diff_answer_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "other.yaml"
    other.write_text(TEXT.replace("id: note", "id: told"))
    gaps = answered(capsys, "draft", "gaps", str(folder))
    explained = answered(capsys, "draft", "explain", str(folder))
    compared = answered(capsys, "draft", "diff", str(folder), str(other))

    assert {gap["kind"] for gap in gaps["gaps"]} == {question["kind"] for question in gaps["questions"]}
    assert {one["origin"] for one in explained} == {"said", "assumed", "missing"}
    assert [(change["kind"], change["step"]) for change in compared["changes"]] == [("step_renamed", "told")]
    assert compared["colours"] == {"told": "changed"}
    assert all(drawn.startswith("flowchart TD") for drawn in compared["diagrams"])


def test_the_tools_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert [tool["name"] for tool in answered(capsys, "draft", "tools")] == ["apply"]
    assert "remove_step" in [tool["name"] for tool in answered(capsys, "draft", "tools", "--each")]
