"""The command line against a real broker, one process a command as people run it where signals matter, in this process
elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamflow.cli.main import main
from streamflow.cli.processes import Workers, environment
from streamflow.kafka import admin
from streamflow.settings import Settings, Topics
from tests.conftest import eventually, make_settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

PROJECT = Path(__file__).parents[2]

DEFINITION = """streamflow: "1"
name: parcel
version: "1"
on: [{id: packed, event: parcel.packed}]
steps:
  - id: share
    set: [{name: grams, expr: trigger.grams / trigger.items}]
  - id: sent
    needs: [share]
    wait: {forever: true, events: [{id: sent, event: parcel.sent}]}
"""
CATALOG = """events:
  - name: parcel.packed
    topics: [PREFIXparcels]
    match: {path: type, equals: packed}
    key: {path: parcel}
    schema: {type: object, required: [parcel, items, grams], properties: {parcel: {type: string}, items: {type: integer}, grams: {type: integer}}}
  - name: parcel.sent
    topics: [PREFIXparcels]
    match: {path: type, equals: sent}
    key: {path: parcel}
"""  # noqa: E501

Streamflow = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Workers, list[str]]]:
    """Topics with a prefix of their own, one engine and one ingress as processes, and a published definition."""
    folder = tmp_path_factory.mktemp("cli")
    settings = make_settings(bootstrap, folder)
    admin.apply(settings)
    heard: list[str] = []
    workers = Workers(
        environment(settings, bootstrap) | {"PYTHONPATH": str(PROJECT)},
        lambda name, line: heard.append(f"{name} {line}"),
    )
    write(folder, settings)
    assert call(settings, "definitions", "publish", str(folder), "--create-topics") == 0
    for role in ("engine", "ingress"):
        workers.start(role, role)
    try:
        eventually(lambda: sum("partition_open " in line for line in heard) >= settings.topics.partitions, timeout=60)
        yield settings, workers, heard
    finally:
        workers.stop()


@pytest.fixture
def streamflow(
    running: tuple[Settings, Workers, list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Streamflow:
    """Runs a command with --json: its exit code, its answer, and what it wrote to stderr."""
    write(tmp_path, running[0])

    def run(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = call(running[0], *words, "--json")
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out.strip() else None, captured.err

    return run


def write(folder: Path, settings: Settings) -> None:
    (folder / "definition.yaml").write_text(DEFINITION)
    (folder / "catalog.yaml").write_text(CATALOG.replace("PREFIX", settings.topics.prefix))


def call(settings: Settings, *words: str) -> int:
    os.environ["STREAMFLOW_TOPICS__PARTITIONS"] = str(settings.topics.partitions)
    try:
        return main([*words, "--bootstrap", settings.kafka.bootstrap_servers or "", "--prefix", settings.topics.prefix])
    finally:
        del os.environ["STREAMFLOW_TOPICS__PARTITIONS"]


def error_code(err: str) -> str:
    return str(json.loads(err.splitlines()[-1])["error"]["code"])


def status_of(streamflow: Streamflow, key: str) -> Any:
    return next((run for run in streamflow("runs", "list", "--key", key)[1]["runs"]), None)


def test_an_event_starts_a_run_and_another_ends_it(streamflow: Streamflow) -> None:
    streamflow("events", "send", "parcel.packed", "--key", "K-1", "--data", '{"items": 2, "grams": 500}')
    eventually(lambda: (run := status_of(streamflow, "K-1")) and run["at"] == {"sent": "waiting"})
    code, answer, err = streamflow("events", "send", "parcel.sent", "--key", "K-1")

    assert (code, answer["sent"]) == (0, 1), err
    run = eventually(lambda: (found := status_of(streamflow, "K-1"))["status"] == "completed" and found)
    history = streamflow("runs", "show", run["run"])[1]
    assert [one["seq"] for one in history] == list(range(1, len(history) + 1))
    assert history[-1]["data"]["ended"] == ["sent.sent"]
    assert streamflow("runs", "show", "--key", "K-1")[1] == history


def test_publishing_the_same_twice_is_fine_and_another_content_is_a_conflict(
    streamflow: Streamflow, tmp_path: Path
) -> None:
    code, answer, _ = streamflow("definitions", "publish", str(tmp_path))
    assert (code, answer[0]["already"]) == (0, True)

    (tmp_path / "definition.yaml").write_text(DEFINITION.replace("trigger.grams / trigger.items", "trigger.grams"))
    code, _, err = streamflow("definitions", "publish", str(tmp_path))
    assert (code, error_code(err)) == (3, "version_taken")


def test_a_definition_with_mistakes_is_not_published(streamflow: Streamflow, tmp_path: Path) -> None:
    (tmp_path / "definition.yaml").write_text(
        DEFINITION.replace("trigger.items", "trigger.pieces").replace('"1"\non', '"2"\non').replace("[share]", "[shar]")
    )

    code, answer, _ = streamflow("definitions", "publish", str(tmp_path))

    assert code == 2
    errors = [problem for problem in answer[0]["problems"] if problem["severity"] == "error"]
    assert [problem["line"] for problem in errors] == [7, 9]
    assert streamflow("definitions", "show", "parcel@2")[0] == 3


def test_publishing_tells_of_topics_that_do_not_exist(streamflow: Streamflow, tmp_path: Path) -> None:
    (tmp_path / "definition.yaml").write_text(
        DEFINITION.replace("name: parcel", "name: other").replace("event: parcel.", "event: other.")
    )
    (tmp_path / "catalog.yaml").write_text(
        CATALOG.replace("PREFIX", "nowhere.").replace("name: parcel.", "name: other.")
    )

    code, answer, err = streamflow("definitions", "publish", str(tmp_path))

    assert (code, answer[0]["missing_topics"]) == (0, ["nowhere.parcels"])
    assert "the topic nowhere.parcels does not exist" in err
    assert streamflow("definitions", "retire", "other@1")[1]["current"] is None


def test_a_version_is_shown_drawn_and_compared(streamflow: Streamflow, tmp_path: Path) -> None:
    shown = streamflow("definitions", "show", "parcel")[1]
    assert shown["definition"]["steps"][0]["id"] == "share"
    assert {event["name"] for event in shown["catalog"]["events"]} == {"parcel.packed", "parcel.sent"}
    assert "flowchart TD" in streamflow("definitions", "diagram", "parcel")[1]["diagram"]
    assert streamflow("definitions", "diff", "parcel@1", str(tmp_path))[1]["same"]
    (tmp_path / "definition.yaml").write_text(DEFINITION.replace("id: sent\n", "id: gone\n"))
    assert not streamflow("definitions", "diff", "parcel@1", str(tmp_path))[1]["same"]


def test_a_start_by_hand_answers_with_the_run_and_happens_once_for_an_id(streamflow: Streamflow) -> None:
    words = (
        "runs",
        "start",
        "parcel",
        "--key",
        "K-2",
        "--id",
        "mine",
        "--data",
        '{"parcel": "K-2", "items": 1, "grams": 1}',
    )

    code, first, err = streamflow(*words)
    assert (code, first["already"]) == (0, False), err
    again = streamflow(*words)[1]
    assert (again["run"], again["already"], again["version"]) == (first["run"], True, "1")
    assert streamflow("runs", "list", "--key", "K-2")[1]["total"] == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("start", "parcel@9", "--key", "k"), "version_unknown"),
        (("start", "parcel", "--key", "k", "--data", '{"items": 1}'), "schema_mismatch"),
        (("start", "parcel", "--key", "k", "--data", "{"), "data_not_json"),
        (("cancel", "00000000-main-0000000000000000abcd"), "run_unknown"),
        (("cancel", "no-run"), "no_run_id"),
        (("show", "00000000-main-0000000000000000abcd"), "run_unknown"),
        (("list", "--status", "happy"), "status_unknown"),
        (("list", "--definition", "parcle"), "unknown_definition"),
        (("show",), "run_or_key"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_request_that_does_not_fit_is_answered_with_its_reason(
    streamflow: Streamflow, words: tuple[str, ...], code: str
) -> None:
    exit_code, _, err = streamflow("runs", *words)

    assert (exit_code, error_code(err)) == (3, code)


def test_a_parked_run_is_helped_on_by_a_person(streamflow: Streamflow) -> None:
    runs = {
        key: streamflow(
            "runs", "start", "parcel", "--key", key, "--data", f'{{"parcel": "{key}", "items": 0, "grams": 1}}'
        )[1]["run"]
        for key in ("P-1", "P-2")
    }
    assert status_of(streamflow, "P-1")["at"] == {"share": "parked: division_by_zero"}

    again = streamflow("runs", "retry", runs["P-1"], "--step", "share")[1]
    assert [one["type"] for one in again["transitions"]] == ["StepRetried", "StepParked"]
    assert error_code(streamflow("runs", "skip", runs["P-1"], "--step", "sent")[2]) == "not_parked"
    assert error_code(streamflow("runs", "skip", runs["P-1"], "--step", "shares")[2]) == "step_unknown"
    assert streamflow("runs", "skip", runs["P-1"], "--step", "share")[0] == 0
    assert streamflow("runs", "fail", runs["P-2"], "--why", "an empty parcel")[0] == 0
    assert (status_of(streamflow, "P-2")["status"], status_of(streamflow, "P-2")["ended"]) == (
        "failed",
        "an empty parcel",
    )
    assert error_code(streamflow("runs", "cancel", runs["P-2"])[2]) == "run_ended"


def test_what_cannot_be_read_is_shown_with_its_bytes_and_its_reason(
    streamflow: Streamflow, running: tuple[Settings, Workers, list[str]]
) -> None:
    place = streamflow(
        "events", "send", "--topic", f"{running[0].topics.prefix}parcels", "--key", "D-1", "--data", "no JSON \xff"
    )[1]

    def letter() -> Any:
        letters = streamflow("dead-letters", "list", "--reason", "not_json")[1]["dead_letters"]
        return next(
            (
                one
                for one in letters
                if (one["partition"], one["offset"]) == (str(place["partition"]), str(place["offset"]))
            ),
            None,
        )

    found = eventually(letter)
    shown = streamflow("dead-letters", "show", str(found["letter"]))[1]
    assert shown["record"] == {"key": "D-1", "value": "no JSON \xff", "headers": {}}
    assert error_code(streamflow("dead-letters", "show", "99999")[2]) == "letter_unknown"


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (
            ("parcel.packed", "--key", "W-1", "--data", '{"items": "two", "grams": 1}'),
            "this will become a dead letter (schema_mismatch)",
        ),
        (
            ("parcel.packed", "--key", "W-1", "--data", '{"type": "other"}'),
            "this will not be recognised as parcel.packed",
        ),
        (("parcel.sent",), "this has no key"),
    ],
)
def test_sending_warns_of_what_will_not_be_understood(
    streamflow: Streamflow, words: tuple[str, ...], warning: str
) -> None:
    code, _, err = streamflow("events", "send", *words)

    assert code == 0
    assert warning in err


def test_repeated_events_are_counted_and_no_dead_letters(
    streamflow: Streamflow, running: tuple[Settings, Workers, list[str]]
) -> None:
    before = streamflow("dead-letters", "list")[1]["total"]
    producer = Producer({"bootstrap.servers": running[0].kafka.bootstrap_servers or ""})
    for _ in range(3):
        producer.produce(
            f"{running[0].topics.prefix}parcels",
            b'{"type": "packed", "parcel": "R-1", "items": 1, "grams": 1}',
            b"R-1",
            headers={"ce_specversion": "1.0", "ce_id": "same", "ce_type": "packed", "ce_source": "/test"},
        )
    producer.flush(30)

    def counted() -> dict[str, int]:
        found = streamflow("events", "counts", "--definition", "parcel")[1]["deliveries"]
        return {"/".join((one["event"], one["outcome"], one["reason"])): one["count"] for one in found}

    eventually(lambda: counted().get("parcel.packed/duplicate/seen", 0) >= 2)
    assert streamflow("dead-letters", "list")[1]["total"] == before


def test_a_file_of_events_is_sent_each_as_often_as_asked(
    streamflow: Streamflow, running: tuple[Settings, Workers, list[str]], tmp_path: Path
) -> None:
    lines = "".join(f'{{"type": "packed", "parcel": "F-{n}", "items": 1, "grams": {n}}}\n' for n in range(5))
    (tmp_path / "events.jsonl").write_text(lines)

    code, answer, _ = streamflow(
        "events",
        "send",
        "--topic",
        f"{running[0].topics.prefix}parcels",
        "--file",
        str(tmp_path / "events.jsonl"),
        "--repeat-each",
        "2",
    )

    assert (code, answer["sent"]) == (0, 10)
    eventually(lambda: streamflow("runs", "list", "--key", "F-4")[1]["total"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("parcel.packt",), "event_unknown"),
        ((), "event_or_topic"),
        (("parcel.sent", "--data", "{"), "data_not_json"),
        (("parcel.sent", "--data", "@nowhere.json"), "file_unreadable"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused(streamflow: Streamflow, words: tuple[str, ...], code: str) -> None:
    assert error_code(streamflow("events", "send", *words)[2]) == code


def test_a_topic_that_is_not_there_is_named(streamflow: Streamflow) -> None:
    code, _, err = streamflow("events", "send", "--topic", "no-such-topic", "--data", "{}")

    assert (code, error_code(err)) == (4, "topic_missing")


def test_lag_is_told_by_worker_and_topic(streamflow: Streamflow) -> None:
    _, lags, _ = streamflow("lag")

    assert {lag["role"] for lag in lags} == {"engine", "ingress", "tasks"}
    assert all(lag["records"] >= 0 and lag["seconds"] >= 0 for lag in lags)


def test_an_unanswered_request_says_that_it_stays(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(bootstrap, tmp_path)
    admin.apply(settings)
    write(tmp_path, settings)
    call(settings, "definitions", "publish", str(tmp_path))
    data = '{"parcel": "k", "items": 1, "grams": 1}'

    assert call(settings, "runs", "start", "parcel", "--key", "k", "--data", data, "--timeout", "0.5") == 4
    assert "is an engine worker running?" in capsys.readouterr().err


def worker(settings: Settings, role: str, log: Path) -> subprocess.Popen[bytes]:
    env = environment(settings, settings.kafka.bootstrap_servers or "") | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "streamflow.cli.main", "worker", role]
    with log.open("wb") as written:
        return subprocess.Popen(command, env=env, stderr=written, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("role", ["engine", "ingress"])
def test_a_worker_without_topics_ends_and_says_what_to_do(settings: Settings, role: str, tmp_path: Path) -> None:
    assert worker(settings, role, tmp_path / "log").wait(60) == 4

    said = (tmp_path / "log").read_text()
    assert "topics_missing" in said
    assert "streamflow topics apply" in said


@pytest.mark.parametrize(("role", "ready"), [("engine", "partition_open "), ("ingress", "versions_taken")])
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_ends_in_order(
    topics: Settings, role: str, ready: str, asked: signal.Signals, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = worker(topics, role, log)
    try:
        eventually(lambda: process.poll() is not None or ready in log.read_text(), timeout=60)
        process.send_signal(asked)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "worker_stopped" in log.read_text()


def test_a_worker_that_dies_is_started_again_and_goes_on(
    running: tuple[Settings, Workers, list[str]], streamflow: Streamflow
) -> None:
    _, workers, heard = running
    engine = workers.workers["engine"]
    streamflow("events", "send", "parcel.packed", "--key", "X-1", "--data", '{"items": 2, "grams": 500}')
    eventually(lambda: status_of(streamflow, "X-1"))
    before = engine.process.pid

    engine.process.kill()
    eventually(lambda: workers.tend() or engine.starts == 2, timeout=30)  # type: ignore[func-returns-value]

    assert engine.process.pid != before
    assert any("ended by SIGKILL; it starts again in" in line for line in heard)
    streamflow("events", "send", "parcel.sent", "--key", "X-1")
    eventually(lambda: status_of(streamflow, "X-1")["status"] == "completed", timeout=60)


def test_more_partitions_in_the_settings_than_in_the_topic_is_an_error(
    topics: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    more = topics.model_copy(update={"topics": Topics(prefix=topics.topics.prefix, partitions=50)})

    assert call(more, "runs", "show", "00000031-main-0000000000000000abcd") == 4
    assert "streamflow topics plan" in capsys.readouterr().err


def test_a_run_that_its_definition_keeps_from_going_on_is_started_again(
    running: tuple[Settings, Workers, list[str]], streamflow: Streamflow, tmp_path: Path
) -> None:
    folder = tmp_path / "crate"
    folder.mkdir()
    write(folder, running[0])
    named = DEFINITION.replace("name: parcel", "name: crate").partition("  - id: sent")[0]
    (folder / "definition.yaml").write_text(named)
    assert streamflow("definitions", "publish", str(folder))[0] == 0
    send = ("events", "send", "parcel.packed", "--key", "C-1", "--data", '{"items": 0, "grams": 5}')
    assert streamflow(*send)[0] == 0

    def crates() -> dict[str, str]:
        found = streamflow("runs", "list", "--key", "C-1")[1]["runs"]
        return {run["run"]: run["status"] for run in found if run["definition"] == "crate"}

    eventually(lambda: list(crates().values()) == ["parked"])
    (old,) = crates()
    code, _, err = streamflow("runs", "restart", old, "--why", "divides by the items")
    assert (code, error_code(err)) == (3, "version_same")
    assert crates() == {old: "parked"}

    corrected = named.replace('version: "1"', 'version: "2"').replace("trigger.grams / trigger.items", "trigger.grams")
    (folder / "definition.yaml").write_text(corrected)
    assert streamflow("definitions", "publish", str(folder))[0] == 0
    code, answer, err = streamflow("runs", "restart", old, "--why", "divides by the items")
    assert (code, answer["version"], answer["already"]) == (0, "2", False), err
    eventually(lambda: crates() == {old: "cancelled", answer["restarted"]: "completed"})
    ended = streamflow("runs", "show", old)[1][-1]
    assert ended["data"]["reason"] == "started again with crate@2: divides by the items"

    code, again, err = streamflow("runs", "restart", old, "--why", "once more")
    assert (code, again["restarted"], again["already"]) == (0, answer["restarted"], True), err
    assert error_code(streamflow("runs", "restart", answer["restarted"], "--why", "no")[2]) == "run_completed"
