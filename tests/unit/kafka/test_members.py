"""What client ids tell of workers."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.engine.commands import KNOWN_REVISIONS
from streamflow.kafka.connection import client_name
from streamflow.kafka.members import Member, member_of, member_role, release
from streamflow.kafka.revisions import client_id
from streamflow.kafka.worker_registry import RegisteredWorker, WorkerRegistration
from streamflow.ops.fleet import unannounced, worker_rows
from streamflow.settings import Engine, Mirror, Settings


def test_a_worker_tells_who_it_is() -> None:
    settings = Settings(engine=Engine(instance_id="engine-0"))
    found = member_of(client_id(settings), "10.0.0.7", 3)
    assert (found.instance, found.host, found.pid) == ("engine-0", socket.gethostname(), os.getpid())
    assert (found.version, found.revisions) == (release(), tuple(sorted(KNOWN_REVISIONS)))
    assert (found.address, found.partitions) == ("10.0.0.7", 3)
    assert found.since_ms is not None


@pytest.mark.parametrize("client", ["streamflow-main-engine", "rdkafka", "", "streamflow-main-engine;3;pid=x;since="])
def test_a_client_that_tells_less_is_a_member_too(client: str) -> None:
    found = member_of(client, "10.0.0.7")
    assert (found.client_id, found.host, found.pid, found.since_ms) == (client, "", None, None)


@given(st.text())
def test_no_instance_id_is_taken_for_another_fact(instance: str) -> None:
    found = member_of(client_name(Settings(), member_role("ingress", instance)))
    assert (found.pid, found.revisions) == (os.getpid(), ())


def test_workers_of_every_role_are_looked_for() -> None:
    assert unannounced(Settings(mirror=Mirror(topics=["runs"]))) == {
        "engine": "streamflow.engine",
        "ingress": "streamflow.ingress",
        "history": "streamflow.history",
        "mirror": "streamflow.mirror",
    }
    assert "mirror" not in unannounced(Settings())  # a right to its group is granted where something is mirrored


def test_rows_tell_of_every_worker() -> None:
    told = WorkerRegistration("default", "w-1", "c-1", "host-1", 7, 1000, [], "1.2", True)
    well = WorkerRegistration("default", "w-2", "c-2", "host-1", 8, 1000, [], "1.2")
    members = {
        "engine": [Member(client_id="c", host="h", pid=1, partitions=6, version="1.2", revisions=("3",))],
        "history": [Member(client_id="older", address="10.0.0.7", partitions=12)],
    }
    rows = worker_rows(
        [RegisteredWorker(told, True), RegisteredWorker(well, True), RegisteredWorker(told, False)], members
    )
    assert [(row["role"], row["worker"], row["host"], row["version"], row["partitions"]) for row in rows] == [
        ("engine", "h-1", "h", "1.2", 6),
        ("history", "older", "10.0.0.7", "", 12),
        ("tasks", "w-1", "host-1", "1.2", None),
        ("tasks", "w-2", "host-1", "1.2", None),
        ("tasks", "w-1", "host-1", "1.2", None),
    ]
    assert [row["health"] for row in rows] == ["ok", "ok", "draining", "ok", "silent"]
