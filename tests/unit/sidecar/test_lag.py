"""Lag, lanes and workers over HTTP."""

from __future__ import annotations

from fastapi.testclient import TestClient


def test_lag_is_told_by_group_and_by_partition(client: TestClient) -> None:
    rows = client.get("/lag").json()["rows"]

    assert [(row["role"], row["lane"], row["records"], row["seconds"]) for row in rows] == [
        ("engine", None, 2, 1.5),
        ("tasks", "default", 0, 0.0),
    ]
    assert rows[1]["group"].endswith("tasks.default")
    assert client.get("/lag", params={"partitions": True}).json()["rows"][0]["committed"] == 5


def test_lanes_tell_who_works_there(client: TestClient) -> None:
    rows = {row["lane"]: row for row in client.get("/lanes").json()["rows"]}

    assert (rows["default"]["workers"], rows["default"]["operations"]) == (1, ["work.later"])


def test_workers_tell_how_they_are(client: TestClient) -> None:
    rows = client.get("/workers").json()["rows"]

    assert [(row["worker"], row["role"], row["health"], row["detail"]) for row in rows] == [
        ("engine-1", "engine", "ok", ""),
        ("w-1", "tasks", "degraded", "no answer"),
    ]
