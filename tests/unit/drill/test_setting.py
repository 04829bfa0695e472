"""The settings of a drill's workers: the user's own, but for what would meet the user's own workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamflow.drill.setting import PARTITIONS, environment, settings_for
from streamflow.settings import Kafka, Lane, Settings, Tasks, Topics


def given() -> Settings:
    return Settings(
        kafka=Kafka(bootstrap_servers="kafka-1:9092"),
        topics=Topics(prefix="production.", partitions=24, replication_factor=3, min_insync_replicas=2),
        tasks=Tasks(lanes={"default": Lane(in_flight=7), "llm": Lane()}, allow_hosts=["partner:443"]),
    )


def test_nothing_of_the_users_prefix_is_touched_and_topics_are_as_safe_as_theirs(tmp_path: Path) -> None:
    made = settings_for(given(), "drill-1.", tmp_path, 6.0)

    assert (made.topics.prefix, made.topics.partitions) == ("drill-1.", PARTITIONS)
    assert (made.topics.replication_factor, made.topics.min_insync_replicas) == (3, 2)
    assert made.state_dir.is_relative_to(tmp_path)


def test_every_lane_of_the_user_is_there_for_the_workers_read_them_from_the_same_file(tmp_path: Path) -> None:
    made = settings_for(given(), "drill-1.", tmp_path, 6.0)

    assert made.tasks.lanes.keys() == {"default", "slow", "llm"}
    assert made.tasks.lanes["default"] == Lane(in_flight=7, session_timeout_s=6.0)


def test_workers_have_names_of_their_own_and_may_reach_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_ENGINE__INSTANCE_ID", "production-0")
    made = settings_for(given(), "drill-1.", tmp_path, 6.0)

    static = environment(made, 6.0, "127.0.0.1:4711", "engine", "engine-1")
    dynamic = environment(made, 6.0, "127.0.0.1:4711", "engine", None)

    assert static["STREAMFLOW_ENGINE__INSTANCE_ID"] == "engine-1"
    assert "STREAMFLOW_ENGINE__INSTANCE_ID" not in dynamic
    assert json.loads(static["STREAMFLOW_TASKS__ALLOW_HOSTS"]) == ["partner:443", "127.0.0.1:4711"]
    assert static["STREAMFLOW_TOPICS__PREFIX"] == "drill-1."
    assert static["STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS"] == "kafka-1:9092"
