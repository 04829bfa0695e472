"""`streamflow eval`: the table, results as files, replays, and what got worse since another result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.evaluation.author import Answer, Task
from streamflow.evaluation.authors.rules import Rules

SOLVED = "helpdesk/answer-in-time"  # by the rules


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def _evaluated(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main(["eval", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_result_can_be_replayed_and_has_the_same_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _evaluated(capsys, "--rules", "--case", "helpdesk/*e", "--out", "first.json")
    again = _evaluated(capsys, "--replay", "first.json", "--case", "helpdesk/*e", "--baseline", "first.json")

    assert {one["case"] for one in first["results"]} >= {SOLVED, "helpdesk/triage"}
    assert again["results"] == first["results"]
    assert again["author"] == "rules"
    assert again["comparison"]["regressions"] == []
    assert again["comparison"]["compared"] == len(first["results"])
    assert json.loads((folder / "first.json").read_text())["results"] == first["results"]


def _changed(file: Path, **fields: Any) -> None:
    report = json.loads(file.read_text())
    report["results"][0] |= fields
    file.write_text(json.dumps(report))


def test_what_got_worse_is_shown_and_is_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _evaluated(capsys, "--rules", "--case", SOLVED, "--out", "good.json")
    (folder / "bad.json").write_text((folder / "good.json").read_text())
    text = json.loads((folder / "good.json").read_text())["results"][0]["text"]
    _changed(folder / "bad.json", text=text.replace("ticket.escalated", "ticket.exploded"))

    worse = _evaluated(capsys, "--replay", "bad.json", "--case", SOLVED, "--baseline", "good.json", code=2)
    scores = {one["score"] for one in worse["comparison"]["regressions"]}
    assert scores == {"grounded", "node_f1", "graph_f1", "behaviour", "solved"}

    assert main(["eval", "--replay", "bad.json", "--case", SOLVED, "--baseline", "good.json"]) == 2
    shown = capsys.readouterr().out
    assert "5 regressions, 0 improvements in 1 answers" in shown
    assert f"worse   {SOLVED}  behaviour 1.00 -> 0.00" in shown

    _evaluated(capsys, "--replay", "bad.json", "--case", SOLVED, "--out", "scored.json")
    better = _evaluated(capsys, "--rules", "--case", SOLVED, "--baseline", "scored.json")
    assert {one["score"] for one in better["comparison"]["improvements"]} == scores


def test_answers_that_only_one_result_has_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _evaluated(capsys, "--rules", "--case", SOLVED, "--out", "one.json")
    found = _evaluated(capsys, "--rules", "--case", "helpdesk/triage", "--baseline", "one.json")
    assert {name: found["comparison"][name] for name in ("compared", "missing", "new")} == {
        "compared": 0,
        "missing": 1,
        "new": 1,
    }
    recorded = _evaluated(capsys, "--replay", "one.json", "--case", "helpdesk/triage")
    assert recorded["results"][0]["error"].startswith("not_recorded")


def test_each_answer_can_be_shown_with_what_is_wrong_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--case", "claims/covered", "--each"]) == 0
    shown = capsys.readouterr().out
    assert "no      claims/covered  " in shown
    assert "        there is no definition" in shown
    assert "        asked: " in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--rules", "--model", "main"], "author_ambiguous"),
        (["--case", "nothing/at-all"], "case_unknown"),
        (["--baseline", "missing.json"], "file_unreadable"),
        (["--replay", "broken.json"], "evaluation_invalid"),
        (["--model", "main", "--case", SOLVED], "model_missing"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    arguments: list[str], code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.json").write_text('{"author": 7}')
    assert main(["eval", *arguments, "--json"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == code


def test_a_result_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--case", SOLVED, "--out", "no/folder/result.json", "--json"]) == 4
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == "file_unwritable"


def test_an_interrupted_evaluation_leaves_what_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Rules.answer

    async def interrupted(self: Rules, task: Task) -> Answer:
        if task.case == "helpdesk/triage":
            raise KeyboardInterrupt
        return await original(self, task)

    monkeypatch.setattr(Rules, "answer", interrupted)
    assert main(["eval", "--case", "helpdesk/*", "--out", "part.json"]) == 130
    found = json.loads((folder / "part.json").read_text())
    assert [one["case"] for one in found["results"]] == [SOLVED]
