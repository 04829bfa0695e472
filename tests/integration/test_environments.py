"""Two environments on one Kafka, with the same definition and the same events topic: nothing of one bears a name of the
other."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from streamflow.cli.main import main
from streamflow.cli.processes import Workers, environment
from streamflow.kafka import admin
from streamflow.kafka.groups import engine_group, ingress_group
from streamflow.kafka.members import members_of
from streamflow.kafka.worker_registry import group_of
from streamflow.settings import Settings
from tests.conftest import eventually, make_settings
from tests.integration.workers import _headers

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

PROJECT = Path(__file__).parents[2]
NAMES = ("test", "prod")
DEFINITION = """name: invoice
version: "1"
on: [{id: received, event: invoice.received}]
steps:
  - {id: ask, call: {operation: debug.echo, with: [{name: value, expr: trigger.cents}]}}
  - {id: tell, emit: {event: invoice.seen, data: [{name: cents, expr: trigger.cents}]}}
"""
CATALOG = """events:
  - name: invoice.received
    topics: [invoices]
    key: {path: invoice}
    schema: {type: object, required: [cents, invoice], properties: {cents: {type: integer}, invoice: {type: string}}}
  - {name: invoice.seen, topics: [invoices.seen]}
"""


class Installation:
    """One environment: its workers, and what it has written."""

    def __init__(self, settings: Settings, workers: Workers, seen: str) -> None:
        self.settings = settings
        self.seen = seen
        self.workers = workers

    def records(self, topic: str) -> list[tuple[dict[str, str], bytes]]:
        """Headers and values of all records of `topic` in partitions 0 and 1."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers or "",
                "group.id": "reader",
                "enable.partition.eof": True,
            }
        )
        found: list[tuple[dict[str, str], bytes]] = []
        try:
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in (0, 1)])
            ends = 0
            while ends < 2:
                message = consumer.poll(10)
                assert message is not None
                if message.error():
                    ends += 1
                    continue
                headers = {name: (value or b"").decode() for name, value in _headers(message)}
                value = message.value()
                found.append((headers, value if isinstance(value, bytes) else b""))
        finally:
            consumer.close()
        return found

    def runs(self) -> set[str]:
        return {json.loads(value)["run"] for _, value in self.records(f"{self.settings.topics.prefix}runs")}

    def keys(self) -> set[str]:
        tasks = self.records(f"{self.settings.topics.prefix}tasks.default")
        return {json.loads(value)["idempotency_key"] for _, value in tasks}

    def emitted(self) -> list[dict[str, str]]:
        mark = f"-{self.settings.environment}-"
        return [headers for headers, _ in self.records(self.seen) if mark in headers["ce_streamflowrun"]]

    def clients(self) -> set[str]:
        groups = [engine_group(self.settings), ingress_group(self.settings), group_of(self.settings, "default")]
        found = asyncio.run(members_of(self.settings, groups))
        return {one.client_id for members in found.values() for one in members}


def call(settings: Settings, *words: str) -> int:
    os.environ["STREAMFLOW_TOPICS__PARTITIONS"] = str(settings.topics.partitions)
    own = ["--bootstrap", settings.kafka.bootstrap_servers or "", "--prefix", settings.topics.prefix]
    try:
        return main([*words, *own, "--environment", settings.environment])
    finally:
        del os.environ["STREAMFLOW_TOPICS__PARTITIONS"]


@pytest.fixture(scope="module")
def both(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Installation]]:
    """Environments `test` and `prod`, in each of which the same definition is published and at work: their events come
    from one topic."""
    folder = tmp_path_factory.mktemp("environments")
    source = f"shared-{os.urandom(4).hex()}"
    (folder / "definition.yaml").write_text(DEFINITION)
    (folder / "catalog.yaml").write_text(CATALOG)
    (folder / "environments").mkdir()
    with ExitStack() as stack:
        found = {}
        for name in NAMES:
            (folder / "environments" / f"{name}.yaml").write_text(
                f"topics: {{invoices: {source}, invoices.seen: {source}.seen}}"
            )
            settings = make_settings(bootstrap, folder / name, environment=name)
            admin.apply(settings)
            assert call(settings, "definitions", "publish", str(folder), "--create-topics") == 0
            workers = Workers(environment(settings, bootstrap) | {"PYTHONPATH": str(PROJECT)}, lambda name, line: None)
            stack.callback(workers.stop)
            for role in ("engine", "ingress", "tasks"):
                workers.start(role, role)
            found[name] = Installation(settings, workers, f"{source}.seen")
        producer = Producer({"bootstrap.servers": bootstrap})
        for number in range(4):
            value = json.dumps({"cents": number, "invoice": f"I-{number}"})
            headers: list[tuple[str, str | bytes | None]] = [
                ("ce_specversion", b"1.0"),
                ("ce_id", f"e{number}".encode()),
                ("ce_source", b"bank"),
                ("ce_type", b"invoice.received"),
            ]
            producer.produce(source, value, headers=headers)
        producer.flush()
        yield found


def _is_done(one: Installation) -> bool:
    return len(one.runs()) == len(one.emitted()) == len(one.keys()) == 4 and len(one.clients()) >= 3


def test_runs_keys_clients_and_events_of_two_environments_have_no_name_in_common(both: dict[str, Installation]) -> None:
    names: dict[str, dict[str, set[str]]] = {}
    for name, one in both.items():
        eventually(partial(_is_done, one), timeout=90)
        emitted, clients = one.emitted(), one.clients()
        names[name] = {
            "runs": one.runs(),
            "keys": one.keys(),
            "clients": clients,
            "ids": {headers["ce_id"] for headers in emitted},
            "sources": {headers["ce_source"] for headers in emitted},
        }
        assert len(emitted) == 4
        assert names[name]["sources"] == {f"/streamflow/{name}/definitions/invoice"}
        assert all(client.startswith(f"streamflow-{name}-") for client in clients)
    test, prod = (names[name] for name in NAMES)
    assert all(test[kind] and prod[kind] for kind in test)
    assert {kind: test[kind] & prod[kind] for kind in test} == {kind: set() for kind in test}


def test_the_same_content_is_in_both_and_verify_shows_the_other(
    both: dict[str, Installation], capsys: pytest.CaptureFixture[str]
) -> None:
    shas = set()
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        settings = both[name].settings
        capsys.readouterr()
        assert call(settings, "definitions", "show", "invoice", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        shas.add(shown["sha"])
        assert shown["environment"]["name"] == name

        assert call(settings, "topics", "verify", "--json") == 0
        others = json.loads(capsys.readouterr().out)["other_environments"]
        (found,) = [one for one in others if one["prefix"] == both[other].settings.topics.prefix]
        assert (found["name"], found["same_name"]) == (other, False)
        assert found["shared"] == sorted([both[name].seen.removesuffix(".seen"), both[name].seen])

        assert call(settings, "topics", "verify") == 0
        captured = capsys.readouterr()
        assert f"another environment on this Kafka: {other}, topics {found['prefix']}*" in captured.out
        assert captured.err.startswith(f"environment {name}, topics {settings.topics.prefix}* at ")
    assert len(shas) == 1


def test_a_command_that_names_another_environment_is_refused(
    both: dict[str, Installation], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = both["test"].settings.model_copy(update={"environment": "prod"})
    for words in (("definitions", "list"), ("definitions", "retire", "invoice@1"), ("topics", "apply")):
        assert call(wrong, *words, "--json") == 4
        assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == "environment_differs"
