"""`definitions import` and `definitions simulate`: files in, files and reports out, and exit codes that programs may
rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main

WHOLE = {
    "name": "order",
    "version": "1",
    "steps": [
        {"id": "fetch", "plugin": "axios", "inputs": {"uri": "https://shop/{{input.order}}"}, "retries": 2},
        {
            "id": "tell",
            "plugin": "print.line",
            "dependsOn": ["fetch"],
            "inputs": {"text": "{{fetch.status}} came"},
            "retries": 0,
        },
    ],
}
SECRET = {"id": "pay", "plugin": "pay", "inputs": {"key": "{{env.KEY}}"}}
SIMPLE = """
name: simple
version: "1"
input: {type: object}
steps: [{id: one, print: {text: "'one'"}}]
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMFLOW_CONFIG", raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(WHOLE))
    (tmp_path / "plugins.yaml").write_text("axios: {operation: http.request, inputs: {uri: url}}\n")
    return file


def answered(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, Any]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out or "null")


def test_what_is_imported_whole_is_written_and_can_be_checked(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.parent / "order"
    code, said = answered(
        capsys, "definitions", "import", source, "--out", out, "--plugins", source.parent / "plugins.yaml"
    )
    assert (code, said["whole"], said["counts"]["refused"]) == (0, True, 0)
    assert said["written"] == [str(out / "definition.yaml"), str(out / "catalog.yaml")]
    assert "operation: http.request" in (out / "definition.yaml").read_text()
    assert answered(capsys, "definitions", "check", out)[0] == 0


def test_a_report_names_every_part_with_place_and_reason(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = answered(capsys, "definitions", "import", source)
    assert {"outcome", "pointer", "reason", "became", "fix"} == set(said["findings"][0])
    assert any(
        one["pointer"] == "/steps/0/plugin" and one["outcome"] == "approximated" and "--plugins" in one["fix"]
        for one in said["findings"]
    )
    assert main(["definitions", "import", str(source)]) == 0
    text = capsys.readouterr().out
    assert "name: order" in text
    assert "approximated: check these" in text


def test_what_is_not_whole_is_only_written_when_that_is_asked_for(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_text(json.dumps({**WHOLE, "steps": [*WHOLE["steps"], SECRET]}))
    out = source.parent / "order"
    code, said = answered(capsys, "definitions", "import", source, "--out", out)
    assert (code, said["written"], out.exists()) == (2, [], False)
    code, said = answered(capsys, "definitions", "import", source, "--out", out, "--partial")
    assert (code, len(said["written"])) == (2, 2)
    assert [one["pointer"] for one in said["findings"] if one["outcome"] == "refused"] == ["/steps/2/inputs/key"]


def test_files_that_are_there_are_not_overwritten(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source.parent / "catalog.yaml").write_text("events: []\n")
    assert answered(capsys, "definitions", "import", source, "--out", source.parent)[0] == 3
    assert not (source.parent / "definition.yaml").exists()
    assert answered(capsys, "definitions", "import", source, "--out", source.parent, "--force")[0] == 0


@pytest.mark.parametrize(("text", "code"), [("{", 2), ('{"steps": []}', 2), ("\xff", 3), (None, 3)])
def test_what_is_no_workflow_is_told_as_whose_error_it_is(text: str | None, code: int, tmp_path: Path) -> None:
    file = tmp_path / "workflow.json"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    assert main(["definitions", "import", str(file)]) == code


@pytest.mark.parametrize("text", ["axios: 5", "- axios", "axios: {operation: http.request, input: {}}", "{"])
def test_a_mapping_of_plugins_that_is_none_is_told(text: str, source: Path) -> None:
    (source.parent / "plugins.yaml").write_text(text)
    assert main(["definitions", "import", str(source), "--plugins", str(source.parent / "plugins.yaml")]) == 3


def a_folder(tmp_path: Path, expect: str) -> Path:
    (tmp_path / "definition.yaml").write_text(SIMPLE)
    (tmp_path / "catalog.yaml").write_text("events: []\n")
    (tmp_path / "scenarios.yaml").write_text(
        f"scenarios: [{{name: It prints, do: [{{start: {{key: k}}}}], expect: {expect}}}]\n"
    )
    return tmp_path


def test_scenarios_are_played_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_folder(tmp_path, "{path: [one]}")
    code, (said,) = answered(capsys, "definitions", "simulate", folder)
    assert (code, said["ok"], said["untaken"]) == (0, True, [])
    played = {"name": "It prints", "ok": True, "paths": [["one"]], "differences": [], "faults": [], "notes": []}
    assert said["scenarios"] == [played]
    assert main(["definitions", "simulate", str(folder), "--history"]) == 0
    text = capsys.readouterr().out
    assert "simple@1: 1 scenario, as expected" in text
    assert "completed: one" in text


def test_a_scenario_that_goes_otherwise_fails_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["definitions", "simulate", str(a_folder(tmp_path, "{path: [two]}"))]) == 2
    text = capsys.readouterr().out
    assert "1 did not go as expected" in text
    assert "FAILED  It prints" in text
    assert "path: expected two" in text


def test_only_some_scenarios_are_played_and_a_name_that_none_has_is_told(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "{}")
    assert main(["definitions", "simulate", str(folder), "--only", "PRINTS"]) == 0
    assert main(["definitions", "simulate", str(folder), "--only", "other"]) == 3


def test_scenarios_that_are_not_there_or_cannot_be_read_are_told(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "{}")
    (folder / "scenarios.yaml").write_text("scenarios: 5\n")
    assert main(["definitions", "simulate", str(folder)]) == 2
    (folder / "scenarios.yaml").unlink()
    assert main(["definitions", "simulate", str(folder)]) == 3
    (folder / "definition.yaml").write_text(SIMPLE.replace("'one'", "nothing"))
    assert main(["definitions", "simulate", str(folder)]) == 2


@pytest.mark.parametrize(
    ("scenario", "place", "said"),
    [
        ("{name: a, do: [{wait: 1d}], expect: {pathh: []}}", "4:40", "SF101 at /scenarios/1/expect/pathh"),
        ("{name: a, do: [{wait: 1d}], expect: [{status: done}]}", "4:41", "SF105 at /scenarios/1/expect/0/status"),
        ("{name: a, do: [{wait: 1 day}], expect: {}}", "4:19", "SF104 at /scenarios/1/do/0/wait"),
        (
            "{name: a, do: [{wait: 1d, start: {key: k}}], expect: {}}",
            "4:18",
            "SF109 at /scenarios/1/do/0: expected one",
        ),
        (
            "{name: a, clock: tomorrow, do: [{wait: 1d}], expect: {}}",
            "4:13",
            "SF109 at /scenarios/1/clock: expected a point",
        ),
        ("{name: a, expect: {}}", "4:3", "SF102 at /scenarios/1/do"),
    ],
)
def test_a_fault_of_scenarios_is_told_with_file_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario: str, place: str, said: str
) -> None:
    folder = a_folder(tmp_path, "{}")
    file = folder / "scenarios.yaml"
    file.write_text(f"scenarios:\n- {{name: fine, do: [{{wait: 1d}}], expect: []}}\n\n- {scenario}\n")
    assert main(["definitions", "simulate", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"scenarios_invalid: The file {file} cannot be used, because of 1 problem. Correct it.")
    assert f"{file}:{place}: error {said}" in err
    assert "definition that can run" not in err
    assert main(["definitions", "simulate", str(folder), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().err)["error"]["problems"]
    assert f"{problem['line']}:{problem['column']}" == place


def test_what_makes_a_scenario_impossible_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_folder(tmp_path, "{}")
    file = folder / "scenarios.yaml"
    do = "\n  - start: {key: k}\n  - decide: {step: one, decision: approved, by: anna}"
    file.write_text(f"scenarios:\n- name: no\n  expect: {{}}\n  do:{do}\n")
    assert main(["definitions", "simulate", str(folder)]) == 2
    assert f"{file}:6:5: no approval of one was open when anna decided" in capsys.readouterr().out


def test_decisions_of_child_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, steps in {
        "leaf": "[{id: ask, approval: {text: \"'ok?'\", who: [anna], within: 1d}}]",
        "top": "[{id: each, each: {items: trigger.keys}, run: {definition: leaf, version: '1', key: item}}]",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "catalog.yaml").write_text("events: []\n")
        declared = "{type: object, properties: {keys: {type: array, items: {type: string}}}, required: [keys]}"
        schema = declared if name == "top" else "{type: object}"
        (tmp_path / name / "definition.yaml").write_text(
            f"name: {name}\nversion: '1'\ninput: {schema}\nsteps: {steps}\n"
        )
    decide = "{definition: leaf, step: ask, by: anna, decision: %s, key: %s}"
    (tmp_path / "top" / "scenarios.yaml").write_text(
        "scenarios:\n- name: two\n  do:\n  - start: {key: k, input: {keys: [a, b]}}\n"
        f"  - decide: {decide % ('approved', 'a')}\n  - decide: {decide % ('rejected', 'b')}\n"
        "  expect:\n  - path: [each]\n  - {definition: leaf, key: a, path: [ask.approved]}\n"
        "  - {definition: leaf, key: b, path: [ask.rejected]}\n"
    )
    code, (said,) = answered(capsys, "definitions", "simulate", tmp_path / "top")
    assert (code, said["scenarios"][0]["faults"], said["scenarios"][0]["differences"]) == (0, [], [])


def test_child_runs_are_of_the_definitions_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf = (
        'name: leaf\nversion: "1"\ninput: {type: object}\noutput: a\nsteps: [{id: a, call: {operation: debug.echo, '
        'with: [{name: value, expr: "5"}]}}]\n'
    )
    for name, child in (("middle", "leaf"), ("top", "middle")):
        text = (
            f'name: {name}\nversion: "1"\ninput: {{type: object}}\noutput: b\nsteps: [{{id: b, run: {{definition: '
            f'{child}, version: "1"}}}}]\n'
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "definition.yaml").write_text(text)
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "definition.yaml").write_text(leaf)
    for name in ("leaf", "middle", "top"):
        (tmp_path / name / "catalog.yaml").write_text("events: []\n")
    expect = "[{path: [b], output: {output: {output: {value: 5}}}}, {definition: leaf, path: [a]}]"
    scenario = (
        f"{{name: all, operations: {{debug.echo: [{{output: {{value: 5}}}}]}}, do: [{{start: {{key: k}}}}], "
        f"expect: {expect}}}"
    )
    (tmp_path / "top" / "scenarios.yaml").write_text(f"scenarios: [{scenario}]\n")
    code, (said,) = answered(capsys, "definitions", "simulate", tmp_path / "top")
    assert (code, said["scenarios"][0]["differences"]) == (0, [])
