"""A broker that accepts and says nothing: what waits for it ends in time, and as an error of the outside."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from streamflow.cli import topics
from streamflow.errors import OperationError, Rejected
from streamflow.kafka import admin
from streamflow.kafka.topic_findings import Finding
from streamflow.ops import erasure, lag
from streamflow.settings import Settings


def test_offsets_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "_ANSWER_S", 0.01)
    with pytest.raises(OperationError) as caught:
        lag._wait(Future())
    assert caught.value.code == "broker_unreachable"


def test_topics_that_are_not_changed_in_time() -> None:
    with pytest.raises(OperationError) as caught, admin._in_time("the topics to be created"):
        raise TimeoutError
    assert caught.value.code == "broker_unreachable"
    assert "the topics to be created" in str(caught.value)


@pytest.mark.parametrize("state", ["leaderless", "unreadable", "missing"])
def test_retention_is_not_lowered_over_what_cannot_be_seen(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    unseen = lag.PartitionLag("engine", "commands", 1, None, 0, 0, 0.0, state)
    monkeypatch.setattr(topics, "measure_lag", lambda *_: [unseen])
    monkeypatch.setattr(topics, "read_log", lambda _: None)
    shorter = Finding("commands", "lower", "retention.ms", "1000", "9000", True)
    with pytest.raises(Rejected) as caught:
        topics._require_read(Settings(), [shorter])
    assert caught.value.code == "retention_unread"


def test_a_run_that_only_the_engine_knows_is_cancelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning is older than what `runs` keeps."""
    cancelled: list[str] = []
    erased = object()

    def ask(*_: Any) -> Any:
        if not cancelled:
            raise Rejected("runs_open", "1 run is open.", runs=["r-old"])
        return erased

    monkeypatch.setattr(erasure, "read_runs", lambda *_, **__: type("Runs", (), {"by_id": {}}))
    monkeypatch.setattr(erasure, "_ask", ask)
    monkeypatch.setattr(erasure, "_cancel", lambda _, run, key: cancelled.append(run))
    monkeypatch.setattr(erasure, "AGAIN_S", 0.01)

    found = erasure.erase(Settings(), "k", ("d",), reason="r", force=True, timeout_s=20)
    assert found is erased
    assert cancelled == ["r-old"]


def test_a_run_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any) -> Any:
        raise Rejected("runs_open", "1 run is open.", runs=["r-old"])

    monkeypatch.setattr(erasure, "read_runs", lambda *_, **__: type("Runs", (), {"by_id": {}}))
    monkeypatch.setattr(erasure, "_ask", ask)
    monkeypatch.setattr(erasure, "_cancel", lambda *_: None)
    monkeypatch.setattr(erasure, "AGAIN_S", 0.01)
    with pytest.raises(Rejected) as caught:
        erasure.erase(Settings(), "k", ("d",), reason="r", force=True, timeout_s=0.05)
    assert caught.value.facts["runs"] == ["r-old"]
    assert "1 runs of the key are open: r-old" in str(caught.value)
