"""The command line itself: global options anywhere, errors as exit codes, and a quick start."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import typer

from streamflow.cli import main as cli
from streamflow.cli.main import main
from streamflow.errors import DefinitionError, EngineFault, OperationError, Problem, Rejected
from streamflow.kafka.definitions import Snapshot


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMFLOW_CONFIG", raising=False)
    monkeypatch.delenv("STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS", raising=False)


def failing_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    module = types.ModuleType("failing")
    module.__dict__["app"] = app
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setattr(cli, "NOUNS", (cli.Noun("fail", "failing", "Fails."),))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DefinitionError([Problem("step_unknown", "/steps/0", "there is no such step.")]), 2),
        (Rejected("run_not_found", "expected a run but there is none. Look again."), 3),
        (OperationError("broker_unreachable", "expected a broker but there is none. Start one."), 4),
        (EngineFault("gap", "expected no gap but found one. Report it."), 70),
        (ZeroDivisionError("of ours"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(error, monkeypatch)

    assert main(["fail"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    if hasattr(error, "code"):
        assert said.err.startswith(f"{error.code}: ")


def test_with_json_an_error_is_an_object_with_all_its_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(DefinitionError([Problem("a", "/x", "one."), Problem("b", "/y", "two.", "do that.")]), monkeypatch)
    main(["fail", "--json"])

    said = json.loads(capsys.readouterr().err)["error"]
    assert said["code"] == "definition_invalid"
    assert [(problem["code"], problem["pointer"]) for problem in said["problems"]] == [("a", "/x"), ("b", "/y")]


def test_global_options_may_stand_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "show", "--prefix=mine.", "--json", "--bootstrap", "kafka:9092"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["topics"]["prefix"] == "mine."
    assert shown["kafka"]["bootstrap_servers"] == "kafka:9092"


def test_a_settings_file_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "show", "--config", "no-such-file.yaml"]) == 3
    assert capsys.readouterr().err.startswith("config_missing: ")


def test_settings_that_do_not_fit_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", "many")

    assert main(["settings", "show"]) == 3
    assert "settings_invalid: " in (said := capsys.readouterr().err)
    assert "topics.partitions" in said


@pytest.mark.parametrize("line", [["no-such-noun"], ["topics", "no-such-verb"], ["topics", "plan", "--no-such-option"]])
def test_a_line_that_cannot_be_read_is_the_callers_error(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 3
    assert capsys.readouterr().err.startswith("usage: ")
    assert main([*line, "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_a_command_that_needs_a_broker_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "plan"]) == 4
    assert capsys.readouterr().err.startswith("broker_unset: ")


@pytest.mark.parametrize("noun", cli.NOUNS, ids=lambda noun: noun.name)
def test_every_noun_has_help(noun: cli.Noun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([noun.name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: streamflow" in shown
    assert "-completion" not in shown


@pytest.mark.parametrize("noun", cli.NOUNS, ids=lambda noun: noun.name)
def test_the_help_names_every_subcommand_of_a_noun(noun: cli.Noun) -> None:
    command: Any = typer.main.get_command(importlib.import_module(noun.module).app)
    there = getattr(command, "commands", {})
    if there:
        assert sorted(noun.help.rpartition(": ")[2].removesuffix(".").split(", ")) == sorted(there)


def test_help_loads_neither_kafka_nor_any_noun() -> None:
    program = "import sys; from streamflow.cli.main import main; main(['--help']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    modules = set(loaded.stdout.splitlines()[-1].split())
    assert "streamflow.cli.main" in modules
    assert not modules & {
        "aiokafka",
        "confluent_kafka",
        "faust",
        "pydantic",
        "rich",
        *(noun.module for noun in cli.NOUNS),
    }


def test_what_is_logged_on_the_way_is_no_part_of_the_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: object) -> Snapshot:
        log = Snapshot()
        log.read(b"version/strange", b"7", 0)
        return log

    monkeypatch.setattr("streamflow.kafka.publication.read_log", read)
    assert main(["commands", "skipped", "--json", "--bootstrap", "127.0.0.1:1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["skipped"] == []
    assert "record_unreadable" in said.err
