"""Hostile records in `definitions`, from before the first start of anything: every process starts, works, and says how
many records it could not read. One unreadable version concerns only itself."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from confluent_kafka.admin import NewTopic

from streamflow.cli.main import main
from tests.conftest import eventually
from tests.hostile_records import DEEP, HEADERS, KEYS, NESTED, VALUES
from tests.integration.forked import Forked
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.test_sidecar import sidecar

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

ECHO = """
name: echo
version: "1"
on: [{id: opened, event: opened}]
steps:
  - id: said
    call: {operation: debug.echo, with: [{name: value, expr: run.key}]}
"""
CATALOG = """
events:
  - {name: opened, topics: [TOPIC], key: {path: id}, schema: {type: object, properties: {id: {type: string}}}}
"""
SCHEMA = b'{"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}'


def fill(bench: LaneBench) -> None:
    """Hostile records of each kind, also versions of which nothing, or no content, can be read."""
    topic = bench.topic("definitions")

    def put(key: bytes, value: bytes | None, headers: Any = ()) -> None:
        kept = [(name, content) for name, content in headers]
        bench.producer.produce(topic, value, key, headers=kept, partition=0)

    kinds = ("definition", "version", "name", "event", "binding", "operation", "serving", "engine/skip", "later")
    for kind in kinds:
        for nth, value in enumerate(VALUES.values()):
            put(f"{kind}/strange-{nth}@1".encode(), value)
    for key in KEYS.values():
        if key:  # the broker refuses a record without one in a compacted topic
            put(key, b"{}")
    for headers in HEADERS.values():
        put(b"version/x@1", b"7", headers)
    contents = [value for value in VALUES.values() if value] + [DEEP, NESTED, b'{"definition": ' + SCHEMA + b"}"]
    for nth, content in enumerate(contents):
        sha = hashlib.sha256(content).hexdigest()
        put(f"definition/{sha}".encode(), content)
        put(f"version/broken-{nth}@1".encode(), json.dumps({"sha": sha}).encode())
        put(f"name/broken-{nth}".encode(), json.dumps({"version": "1", "sha": sha}).encode())
    put(b"version/lost@1", json.dumps({"sha": "0" * 64}).encode())
    put(b"name/lost", json.dumps({"version": "1", "sha": "0" * 64}).encode())
    put(b"serving/\x00/w", json.dumps({"lane": "\x00", "instance": "w"}).encode())
    bench.flush()


def echo_among_hostile_records(bench: LaneBench, place: Path, *, partitions: int) -> tuple[Path, str]:
    """The folder in `place` with a definition and its catalog, still to be published, and the source topic that they
    read. `definitions` has hostile records already."""
    folder, source = place / "echo", f"{bench.prefix}source"
    folder.mkdir()
    bench.admin.create_topics([NewTopic(source, partitions, 1)])[source].result(60)
    (folder / "definition.yaml").write_text(ECHO)
    (folder / "catalog.yaml").write_text(CATALOG.replace("TOPIC", source))
    fill(bench)
    return folder, source


def test_everything_starts_and_works_beside_hostile_records_of_definitions(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_lanes(bootstrap, tmp_path) as bench:
        folder, source = echo_among_hostile_records(bench, tmp_path, partitions=1)
        monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", str(bench.partitions))

        def call(*words: str) -> tuple[int, Any, str]:
            capsys.readouterr()
            told = ["--json", "--bootstrap", bootstrap, "--prefix", bench.prefix]
            code = main([*words, *told])
            said = capsys.readouterr()
            assert "Traceback" not in said.err, said.err
            return code, json.loads(said.out) if said.out.strip() else None, said.err

        code, _, said = call("definitions", "publish", str(folder))
        assert code == 0, said
        code, listed, _ = call("definitions", "list")
        assert code == 0
        assert "echo" in json.dumps(listed)
        assert call("definitions", "show", "echo")[0] == 0
        for broken in ("broken-3", "lost"):
            code, _, said = call("definitions", "show", broken)
            assert code != 0
            assert "version_unreadable" in said

        engine = bench.worker()
        tasks = bench.task_worker()
        ingress = bench.launch(Forked("ingress", "ingress", tmp_path, bench.environment()))
        bench.wait_open(engine)
        bench.wait_assigned(tasks)
        with sidecar(tmp_path, bench.environment() | {"STREAMFLOW_SIDECAR__PORT": "0"}) as (process, url):
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=30) as client:
                assert client.get("/health").status_code == 200
                assert client.get("/operations").status_code == 200
                assert client.get("/approvals").status_code == 200
                refused = client.post("/runs", json={"definition": "broken-3", "key": "K-0", "input": {}})
                assert 400 <= refused.status_code < 600
                assert refused.headers["content-type"] == "application/problem+json"
                assert client.get("/health").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0

        code, _, said = call("events", "send", "opened", "--data", '{"id": "K-1"}')
        assert code == 0, said
        run = eventually(lambda: [one for one in bench.transitions() if one.name == "RunCompleted"], timeout=60)[0]
        assert run.fields["key"] == "K-1"
        code, lag, _ = call("lag")
        assert code == 0
        assert source in json.dumps(lag)
        assert call("operations", "list")[0] == 0
        assert call("dead-letters", "list")[1]["total"] == 0
        for worker in (engine, tasks, ingress):
            assert bench.lines(worker, "record_unreadable"), worker.name
            assert "Traceback" not in worker.log.read_text(), worker.name
