"""A command that reads an installation is refused when another environment is named, and a run or a topic of another
one is named as such."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.errors import Rejected
from streamflow.ids import run_id
from streamflow.kafka import log_reading, reserved_topics
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.topics import COMMANDS, DEFINITIONS, RUNS, STATE
from streamflow.ops import history
from streamflow.settings import Settings, Topics

OWN, OTHER = (run_id(name, "parcel", "P-1", "place") for name in ("test", "prod"))
READERS = (
    "runs list",
    f"runs show {OWN}",
    "runs show --key P-1",
    "runs watch --wait 0",
    "runs approvals",
    f"runs approve {OWN} review --by alice",
    f"runs cancel {OWN}",
    f"runs retry {OWN} --step s",
    f"runs skip {OWN} --step s",
    f"runs fail {OWN}",
    f"runs restart {OWN} --why x",
    "runs erase --key P-1 --plan",
    "runs start parcel --key P-1",
    "dead-letters list",
    "dead-letters show 1",
    "dead-letters replay 1",
    "dead-letters drop 1 --why x",
    "events unclaimed",
    "events counts",
    "events tail parcels",
    "events send parcel.packed",
    "definitions list",
    "definitions show parcel",
    "lag",
    "operations list",
    "commands skipped",
)


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definitions log of an installation whose environment is `test`. Nothing else can be read."""
    monkeypatch.delenv("STREAMFLOW_ENVIRONMENT", raising=False)

    def read(_settings: Settings, topics: Iterable[str], _timeout_s: float = 0) -> dict[str, Snapshot]:
        found = Snapshot()
        found.read(b"engine/environment", json.dumps({"environment": "test"}).encode(), 0)
        return dict.fromkeys(topics, found)

    monkeypatch.setattr(log_reading, "read_logs", read)


@pytest.mark.parametrize("line", READERS)
def test_a_command_that_names_another_environment_reads_nothing(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bootstrap", "127.0.0.1:1", "--environment", "prod", *line.split()]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "environment prod, topics streamflow.* at 127.0.0.1:1",
        "environment_differs: The settings name the environment prod, but these topics belong to test. Set "
        "`environment: test`, or another topics.prefix.",
    ]


@pytest.mark.parametrize(
    "act",
    [
        lambda settings, run: history.read_history(settings, run),
        lambda settings, run: _raised(history.explain_refusal(settings, run, Rejected("run_unknown", "engine"))),
    ],
    ids=["read", "asked"],
)
def test_a_run_of_another_environment_is_named_as_such(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "find_history", lambda *_: [])
    for run, said in (
        (OTHER, f"The run {OTHER} is of the environment prod, and the topics streamflow.* are of test."),
        (OWN, None),
        ("00000001-a", None),
    ):
        with pytest.raises(Rejected) as caught:
            act(Settings(), run)
        assert caught.value.code == "run_unknown"
        assert (caught.value.facts.get("environment") == "prod") is (said is not None)
        assert said is None or caught.value.message.startswith(said)


def _raised(error: Rejected) -> None:
    raise error


def test_a_topic_says_which_installation_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = frozenset({"training-runs", "orders", *(f"prod.{role}" for role in (DEFINITIONS, COMMANDS, RUNS, STATE))})
    monkeypatch.setattr("streamflow.kafka.publication.cluster_topics", lambda _: cluster)
    settings = Settings(topics=Topics(prefix="test."))
    found = {
        topic: reserved_topics.owner(settings, topic)
        for topic in ("test.runs", "prod.runs", "prod.tasks.default", "training-runs", "orders")
    }
    assert found == {
        "test.runs": "test.",
        "prod.runs": "prod.",
        "prod.tasks.default": "prod.",
        "training-runs": None,
        "orders": None,
    }
