"""`streamflow workers`: who is there, what they serve, and which of them drain."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any

import pytest

from streamflow.kafka.groups import engine_group, ingress_group
from streamflow.kafka.members import members_of
from streamflow.kafka.publication import read_log
from streamflow.kafka.worker_registry import registered_workers
from streamflow.ops.fleet import worker_rows
from tests.conftest import eventually
from tests.integration.lanes import LaneBench, lanes

__all__ = ["lanes"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


def rows(bench: LaneBench) -> dict[str, dict[str, Any]]:
    """By worker."""
    groups = {"engine": engine_group(bench.settings), "ingress": ingress_group(bench.settings)}
    members = asyncio.run(members_of(bench.settings, list(groups.values())))
    found = registered_workers(bench.settings, read_log(bench.settings))
    return {row["worker"]: row for row in worker_rows(found, {role: members[name] for role, name in groups.items()})}


def test_workers_tell_who_they_are_until_they_have_ended(lanes: LaneBench) -> None:
    engine = lanes.worker("engine-1")
    tasks = lanes.task_worker("tasks-1", drain_s=60)
    lanes.wait_open(engine)
    lanes.wait_assigned(tasks, "default")
    lanes.wait(lambda: "tasks-1" in rows(lanes), "the task worker to announce itself")

    found = rows(lanes)
    assert (found["engine-1"]["role"], found["engine-1"]["partitions"]) == ("engine", lanes.partitions)
    assert found["engine-1"]["revisions"]
    assert "debug.echo" in found["tasks-1"]["operations"]
    for row in found.values():
        assert (row["host"], row["present"]) == (socket.gethostname(), True)
        assert row["health"] in ("ok", "degraded"), row  # an operation of the bench has no server
        assert row["pid"] not in (None, os.getpid())
        assert row["since_ms"] > 0

    quick = lanes.task()
    lanes.put("default", lanes.task(input={"value": 1, "delay_ms": 15_000}), quick)
    lanes.wait_answers(quick)  # so the one before it runs
    os.kill(found["tasks-1"]["pid"], signal.SIGTERM)
    eventually(lambda: rows(lanes)["tasks-1"]["health"] == "draining", timeout=60, every=0.2)
    eventually(lambda: "tasks-1" not in rows(lanes), timeout=60, every=0.5)
    engine.stop()
    eventually(lambda: rows(lanes) == {}, timeout=60, every=0.5)
