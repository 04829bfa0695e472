"""A task worker does the operations on stores, against the real ones, as it does any other."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from msgspec.structs import replace

from streamflow.engine.tasks import Task
from tests.integration.lanes import LaneBench, lanes
from tests.integration.workers import complaints
from tests.servers.jetstream import NatsServer
from tests.servers.postgresql import PostgresServer
from tests.servers.s3proxy import ObjectStore

__all__ = ["lanes"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


def outputs(lanes: LaneBench, *tasks: Task) -> list[Any]:
    answers = lanes.wait_answers(*tasks)
    return [answers[task.run][-1].fields.get("output") or answers[task.run][-1].fields for task in tasks]


def test_rows_objects_and_messages_are_where_the_answers_say(
    lanes: LaneBench, postgres: PostgresServer, object_store: ObjectStore, nats_server: NatsServer
) -> None:
    os.environ |= {"DB": postgres.password, "S3": object_store.password, "NATS": nats_server.password}
    connections = {
        "db": {"kind": "postgres", "url": postgres.url, "user": postgres.user, "password": "env:DB"},
        "files": {
            "kind": "s3",
            "url": object_store.url,
            "user": object_store.user,
            "password": "env:S3",
            "options": {"bucket": object_store.bucket},
        },
        "bus": {"kind": "nats", "url": nats_server.url, "user": nats_server.user, "password": "env:NATS"},
    }
    postgres.run("DROP TABLE IF EXISTS results; CREATE TABLE results (id text PRIMARY KEY, total int)")
    worker = lanes.task_worker(connections=json.dumps(connections))
    row = {"connection": "db", "table": "results", "row": {"total": 3}, "idempotency_column": "id"}
    write = lanes.task("a", operation="postgres.upsert", input=row)
    put = lanes.task(
        "b", operation="object.put", input={"connection": "files", "key": "worker/report.json", "json": {"total": 3}}
    )
    tell = lanes.task(
        "c", operation="nats.publish", input={"connection": "bus", "subject": "worker.reports", "json": {"total": 3}}
    )
    emit = lanes.task("d", operation="kafka.emit", input={"topic": "elsewhere-" + lanes.prefix, "json": {"total": 3}})
    wrong = lanes.task("e", operation="postgres.query", input={"connection": "files", "sql": "SELECT 1"})
    lanes.put("default", write, put, tell, emit, wrong)

    written, stored, told, emitted, refused = outputs(lanes, write, put, tell, emit, wrong)
    assert written == {"count": 1}
    assert (object_store.folder / object_store.bucket / stored["key"]).read_bytes() == b'{"total":3}'
    assert (told["stream"], told["duplicate"]) == ("WORKER", False)
    assert emitted["code"] == "topic_missing"
    assert (refused["code"], refused["retryable"]) == ("connection_invalid", False)

    # As after a crash: everything again, under the same idempotency keys.
    done = (write, put, tell)
    again = [
        replace(lanes.task(one.key, operation=one.operation, input=one.input), idempotency_key=one.idempotency_key)
        for one in done
    ]
    lanes.put("default", *again)
    assert outputs(lanes, *again) == [written, stored, {**told, "duplicate": True}]
    assert postgres.run("SELECT id, total FROM results") == f"{write.idempotency_key}|3"
    worker.stop()
    assert complaints(worker) == []
