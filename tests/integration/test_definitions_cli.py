"""What `streamflow definitions check` and `publish` know beside a catalog file: plugins and published definitions, with
and without a broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli import definitions as commands
from streamflow.cli.main import main
from streamflow.definition.content import read_content
from streamflow.kafka.publication import read_log, register_operation
from streamflow.settings import Settings

pytestmark = pytest.mark.timeout(60)

CHILD = """
name: parcel
version: "1"
input: {type: object, required: [sku], properties: {sku: {type: string}}}
steps: [{id: told, print: {text: trigger.sku}}]
"""
PARENT = """
name: a-parent
version: "1"
input: {type: object, properties: {skus: {type: array, items: {type: string}}}}
steps:
  - id: parcels
    each: {items: trigger.skus}
    run: {definition: parcel, version: "1", key: run.key + string(index), with: [{name: sku, expr: item}]}
  - id: score
    needs: [parcels]
    call: {operation: fraud.score, with: [{name: runs, expr: steps.parcels.size()}]}
"""
SCORE = {
    "spec": {
        "name": "fraud.score",
        "lane": "models",
        "input": {"type": "object", "properties": {"runs": {"type": "integer"}}},
    },
    "plugin": {"endpoint": "http://127.0.0.1:1/score", "secret": "score"},
}
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    for name, text in (("a-parent", PARENT), ("parcel", CHILD)):
        (folder / name).mkdir(parents=True)
        (folder / name / "definition.yaml").write_text(text)
        (folder / name / "catalog.yaml").write_text("events: []\n")
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a `definitions` command with --json: its exit code, its answer, and what it wrote to stderr."""

    def run(settings: Settings, *words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(
            [
                "definitions",
                *words,
                "--json",
                "--bootstrap",
                settings.kafka.bootstrap_servers or "",
                "--prefix",
                settings.topics.prefix,
            ]
        )
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out.strip() else None, captured.err

    return run


def problems(answer: Any) -> list[tuple[str, str]]:
    return [(problem["code"], problem["pointer"]) for one in answer for problem in one["problems"]]


@pytest.mark.broker
def test_a_folder_is_published_in_the_order_in_which_definitions_start_each_other(
    topics: Settings, folder: Path, command: Command
) -> None:
    register_operation(topics, name="fraud.score", registration=SCORE)

    code, answer, err = command(topics, "publish", str(folder))

    assert (code, [one["name"] for one in answer]) == (0, ["parcel", "a-parent"]), err
    log = read_log(topics)
    _, catalog = read_content(log.contents[answer[1]["sha"]][0])
    assert [(child.name, child.version, child.sha) for child in catalog.definitions] == [
        ("parcel", "1", answer[0]["sha"])
    ]
    assert [(spec.name, spec.lane) for spec in catalog.operations] == [("fraud.score", "models")]
    code, again, _ = command(topics, "publish", str(folder))
    assert (code, [one["already"] for one in again]) == (0, [True, True])
    assert [one["sha"] for one in again] == [one["sha"] for one in answer]


@pytest.mark.broker
def test_what_is_published_is_known_to_a_check_of_one_definition_alone(
    topics: Settings, folder: Path, command: Command
) -> None:
    code, answer, _ = command(topics, "check", str(folder / "a-parent"))
    assert (code, problems(answer)) == (2, [("SF207", "/steps/0/run/definition"), ("SF204", "/steps/1/call/operation")])

    register_operation(topics, name="fraud.score", registration=SCORE)
    assert command(topics, "publish", str(folder / "parcel"))[0] == 0
    assert command(topics, "check", str(folder / "a-parent"))[0] == 0
    assert command(topics, "retire", "parcel@1")[0] == 0
    code, answer, _ = command(topics, "check", str(folder / "a-parent"))
    assert (code, problems(answer)) == (2, [("SF207", "/steps/0/run/definition")])


def test_without_a_broker_a_check_says_what_it_could_not_look_at(
    tmp_path: Path, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PATIENCE_S", 0.2)
    nowhere = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}, "topics": {"prefix": "t."}})

    code, answer, err = command(nowhere, "check", str(folder))

    assert (code, problems(answer)) == (2, [("SF204", "/steps/1/call/operation")])
    assert "plugins and published definitions are not known here" in err
    code, _, err = command(nowhere, "check", str(folder / "parcel"))
    assert (code, err) == (0, "")


def test_definitions_that_start_each_other_are_refused_with_the_reason(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PATIENCE_S", 0.2)
    nowhere = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}, "topics": {"prefix": "t."}})
    starts = "steps: [{id: up, run: {definition: a-parent, version: '1'}}]"
    (folder / "parcel" / "definition.yaml").write_text(
        CHILD.replace("steps: [{id: told, print: {text: trigger.sku}}]", starts)
    )

    code, answer, _ = command(nowhere, "check", str(folder))

    assert code == 2
    found = {one["file"].split("/")[-2]: [p for p in one["problems"] if p["code"] == "SF207"] for one in answer}
    assert {name: len(each) for name, each in found.items()} == {"a-parent": 1, "parcel": 1}
    assert all("never itself or one that starts it" in each[0]["message"] for each in found.values())


@pytest.mark.broker
def test_the_same_version_with_other_topics_is_found_elsewhere_under_the_same_hash(
    topics: Settings, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "definition.yaml").write_text(
        'name: parcel\nversion: "1"\non: [{id: packed, event: packed}]\nsteps: [{id: told, print: {text: run.key}}]\n'
    )
    answers, shown = [], []
    for topic in ("test-parcels", "prod-parcels", "prod-parcels"):
        (tmp_path / "catalog.yaml").write_text(f"events: [{{name: packed, topics: [{topic}]}}]\n")
        code, answer, err = command(topics, "publish", str(tmp_path))
        assert code == 0, err
        answers.append((answer[0], "is bound to prod-parcels from now on" in err))
        code, answer, err = command(topics, "show", "parcel")
        assert code == 0, err
        shown.append(answer)

    assert len({answer["sha"] for answer, _ in answers}) == 1
    assert [(answer["already"], answer["rebound"], warned) for answer, warned in answers] == [
        (False, [], False),
        (True, ["packed"], True),
        (True, [], False),
    ]
    assert [one["bindings"]["packed"]["topics"] for one in shown] == [
        ["test-parcels"],
        ["prod-parcels"],
        ["prod-parcels"],
    ]
    assert [sorted(event) for event in shown[0]["catalog"]["events"]] == [["name", "schema"]]
