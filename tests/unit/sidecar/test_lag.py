"""Lag, lanes and workers over HTTP."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.kafka.definitions import Snapshot
from streamflow.ops.lag import PartitionLag
from streamflow.settings import Settings
from streamflow.sidecar import kafka_log


def test_lag_is_told_by_group_and_by_partition(client: TestClient) -> None:
    rows = client.get("/lag").json()["rows"]

    assert [(row["role"], row["lane"], row["records"], row["seconds"], row["drain_s"]) for row in rows] == [
        ("engine", None, 2, 1.5, 4.0),
        ("tasks", "default", 0, 0.0, 0.0),
    ]
    assert rows[1]["group"].endswith("tasks.default")
    assert client.get("/lag", params={"partitions": True}).json()["rows"][0]["committed"] == 5


def test_the_log_of_kafka_knows_rates_from_its_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """And callers that ask at once share one measurement."""
    measurements: list[list[PartitionLag]] = []

    def measure(*_: Any) -> list[PartitionLag]:
        number = len(measurements)
        measurements.append([PartitionLag("engine", "commands", 0, 10 * number, 100, 100 - 10 * number, 9.0)])
        time.sleep(0.05)  # a measurement takes time, in which others ask
        return measurements[-1]

    monkeypatch.setattr(kafka_log, "measure_lag", measure)
    monkeypatch.setattr(kafka_log, "read_log", lambda settings: Snapshot())

    async def story() -> None:
        log = kafka_log.KafkaLog(Settings())
        assert (await log.lag()).drains == {("engine", "commands"): None}
        first, *others = await asyncio.gather(*(log.lag() for _ in range(5)))
        assert len(measurements) == 3
        assert others == [others[0]] * 4
        drain_s = others[0].drains["engine", "commands"]
        assert drain_s is not None
        assert 0 < drain_s < inf
        assert first.partitions == measurements[1]

    asyncio.run(story())


def test_lanes_tell_who_works_there(client: TestClient) -> None:
    rows = {row["lane"]: row for row in client.get("/lanes").json()["rows"]}

    assert (rows["default"]["workers"], rows["default"]["operations"]) == (1, ["work.later"])


def test_workers_tell_how_they_are(client: TestClient) -> None:
    rows = client.get("/workers").json()["rows"]

    assert [(row["worker"], row["role"], row["health"], row["detail"]) for row in rows] == [
        ("engine-1", "engine", "ok", ""),
        ("w-1", "tasks", "degraded", "no answer"),
    ]
