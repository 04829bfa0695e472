"""What a folder remembers of its `streamflow dev`, and how commands there say which environment they speak to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.dev_discovery import announced, remembered, remembered_for_dev
from streamflow.cli.session import Session
from streamflow.settings import Kafka, Settings, Topics

ADDRESS, OTHER = "127.0.0.1:9", "127.0.0.1:10"


def session_in(folder: Path, *, as_json: bool = False, **given: Any) -> Session:
    session = Session(json=as_json)
    session.__dict__["given"] = Settings(broker_dir=folder, **given)
    return session


def spoken(settings: Settings) -> tuple[str | None, str, str]:
    return settings.kafka.bootstrap_servers, settings.topics.prefix, settings.environment


def dev_settings(folder: Path, bootstrap: str | None = None) -> Settings:
    return Settings(
        broker_dir=folder,
        topics=Topics(prefix="mine."),
        environment="test",
        kafka=Kafka(bootstrap_servers=bootstrap),
    )


@pytest.mark.parametrize(
    ("bootstrap", "given", "wanted"),
    [
        (ADDRESS, {}, (ADDRESS, "mine.", "test")),
        (ADDRESS, {"topics": Topics(partitions=3)}, (ADDRESS, "mine.", "test")),
        (ADDRESS, {"topics": Topics(prefix="other.")}, (ADDRESS, "other.", "main")),
        (ADDRESS, {"topics": Topics(prefix="streamflow.")}, (ADDRESS, "streamflow.", "main")),
        (ADDRESS, {"environment": "prod"}, (ADDRESS, "mine.", "prod")),
        (ADDRESS, {"kafka": Kafka(bootstrap_servers=ADDRESS)}, (ADDRESS, "mine.", "test")),
        (ADDRESS, {"kafka": Kafka(bootstrap_servers=OTHER)}, (OTHER, "streamflow.", "main")),
        (None, {}, (None, "mine.", "test")),
        (None, {"kafka": Kafka(bootstrap_servers=OTHER)}, (OTHER, "streamflow.", "main")),
    ],
)
def test_later_commands_in_a_folder_speak_to_what_its_dev_spoke_to(
    tmp_path: Path, bootstrap: str | None, given: dict[str, Any], wanted: tuple[str | None, str, str]
) -> None:
    with announced(dev_settings(tmp_path, bootstrap), ADDRESS):
        running = session_in(tmp_path, **given).known
        assert spoken(running)[1:] == wanted[1:]

    assert spoken(session_in(tmp_path, **given).known) == wanted


def test_the_next_dev_goes_on_with_prefix_and_environment_of_the_last_one_on_the_same_kafka(tmp_path: Path) -> None:
    with announced(dev_settings(tmp_path), ADDRESS):
        pass
    assert spoken(remembered_for_dev(Settings(broker_dir=tmp_path))) == (None, "mine.", "test")

    there = Settings(broker_dir=tmp_path, kafka=Kafka(bootstrap_servers=OTHER))
    assert spoken(remembered_for_dev(there)) == (OTHER, "streamflow.", "main")
    with announced(dev_settings(tmp_path, OTHER), OTHER):
        pass
    assert spoken(remembered_for_dev(there)) == (OTHER, "mine.", "test")
    assert spoken(remembered_for_dev(Settings(broker_dir=tmp_path))) == (None, "streamflow.", "main")


@pytest.mark.parametrize("left", ["", "{", "[]", '{"prefix": 7}', '{"bootstrap_servers": "h:1", "pid": 1}'])
def test_a_file_that_cannot_be_read_is_no_memory(tmp_path: Path, left: str) -> None:
    (tmp_path / "dev.json").write_text(left)
    assert remembered(Settings(broker_dir=tmp_path)) is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, ""),
        ({"environment": "prod"}, "environment prod, topics streamflow.* at 127.0.0.1:9"),
        ({"topics": Topics(prefix="x.")}, "topics x.* at 127.0.0.1:9"),
        ({"topics": Topics(prefix="x."), "environment": "main"}, "environment main, topics x.* at 127.0.0.1:9"),
    ],
)
def test_a_command_that_speaks_to_kafka_says_to_which_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], line: str
) -> None:
    session = session_in(tmp_path, kafka=Kafka(bootstrap_servers=ADDRESS), **given)
    for _ in range(2):
        assert session.settings.kafka.bootstrap_servers == ADDRESS
    assert capsys.readouterr().err.strip() == line


def test_at_a_terminal_the_usual_environment_is_said_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with announced(Settings(broker_dir=tmp_path), ADDRESS):
        assert session_in(tmp_path).settings
    assert "environment main, topics streamflow.* at 127.0.0.1:9" in capsys.readouterr().err


def test_a_command_that_speaks_to_no_kafka_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = session_in(tmp_path, environment="prod", kafka=Kafka(bootstrap_servers=ADDRESS), as_json=True)
    assert session.known.environment == "prod"
    session.show({"ok": True}, "")
    captured = capsys.readouterr()
    assert (json.loads(captured.out), captured.err) == ({"ok": True}, "")


@pytest.mark.parametrize(("answer", "out", "err"), [({"ok": True}, True, False), ([1], False, True)])
def test_json_answers_name_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Any, out: bool, err: bool
) -> None:
    session = session_in(tmp_path, environment="prod", kafka=Kafka(bootstrap_servers=ADDRESS), as_json=True)
    assert session.settings
    session.show(answer, "")
    captured = capsys.readouterr()
    place = {"name": "prod", "prefix": "streamflow.", "bootstrap_servers": ADDRESS}
    for there, text in ((out, captured.out), (err, captured.err)):
        said = json.loads(text) if text else {}
        assert (isinstance(said, dict) and said.get("environment") == place) == there
