"""Plugins and the presence of task workers, on a real broker: registered, followed, listed, withdrawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer

from streamflow.cli.main import main
from streamflow.errors import Rejected
from streamflow.kafka.connection import aiokafka_config, confluent_producer_config
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.publication import read_log, register_operation, unregister_operation
from streamflow.kafka.topics import COMMANDS, DEFINITIONS, topic_name
from streamflow.kafka.worker_registry import announce, announced, client_role, group_of, registered_workers, withdraw
from streamflow.operations.registry import Registry
from streamflow.settings import Settings
from tests.conftest import eventually
from tests.contract.servers import http_server

pytestmark = pytest.mark.broker

SCORE: dict[str, Any] = {
    "spec": {"name": "fraud.score", "input": {"type": "object"}},
    "plugin": {"endpoint": "http://127.0.0.1:1/", "secret": "fraud"},
}
OPERATIONS = [
    {"name": "print.line", "ok": True, "detail": ""},
    {"name": "http.request", "ok": False, "detail": "no network"},
]


@pytest.fixture
def cli(topics: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line on this test's topics; its answer as JSON, and its exit code."""
    monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", str(topics.topics.partitions))

    def run(*arguments: str) -> tuple[int, Any, str]:
        code = main(
            [*arguments, "--json", "--bootstrap", str(topics.kafka.bootstrap_servers), "--prefix", topics.topics.prefix]
        )
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return run


@contextmanager
def member(settings: Settings, lane: str, instance: str) -> Iterator[None]:
    """A task worker's consumer, in the group of its lane."""
    ready, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def join() -> None:
        config = aiokafka_config(settings, client_role(lane, instance))
        consumer = AIOKafkaConsumer(topic_name(settings, COMMANDS), **config, group_id=group_of(settings, lane))
        await consumer.start()  # joins the group, and returns as a member of it
        try:
            ready.set()
            await over.wait()
        finally:
            await consumer.stop()

    task = loop.create_task(join())
    try:
        loop.run_until_complete(asyncio.wait_for(ready.wait(), 20))
        yield
    finally:
        over.set()
        loop.run_until_complete(task)
        loop.close()


def test_a_registered_plugin_comes_to_workers_changes_and_goes(topics: Settings) -> None:
    async def check() -> None:
        log, registry = DefinitionsLog(topics), Registry(topics)
        log.subscribe(lambda: registry.follow(log.operations))
        await log.start()
        try:
            for registration in (SCORE, SCORE | {"spec": {"name": "fraud.score", "timeout": "3s"}}):
                recorded = await asyncio.to_thread(
                    register_operation, topics, name="fraud.score", registration=registration, replace=True
                )
                assert recorded.offset is not None
                await log.wait_position(recorded.offset + 1, 10)
                operation = registry.find("fraud.score")
                assert operation is not None
                assert operation.spec.timeout == registration["spec"].get("timeout", "1m")
            assert (
                await asyncio.to_thread(register_operation, topics, name="fraud.score", registration=registration)
            ).offset is None
            recorded = await asyncio.to_thread(unregister_operation, topics, name="fraud.score")
            assert recorded.offset is not None
            await log.wait_position(recorded.offset + 1, 10)
            assert registry.find("fraud.score") is None
        finally:
            await log.stop()
            await registry.close()

    asyncio.run(check())


def test_what_is_not_registered_cannot_be_taken_away(topics: Settings) -> None:
    with pytest.raises(Rejected) as raised:
        unregister_operation(topics, name="fraud.score")

    assert raised.value.code == "operation_unknown"


def test_a_worker_is_there_while_it_is_in_its_group_and_gone_when_it_was_killed(topics: Settings) -> None:
    made = announce(topics, lane="default", instance="w1", operations=OPERATIONS)
    with member(topics, "default", "w1"):
        (found,) = registered_workers(topics, read_log(topics))
        assert (found.serving, found.present) == (made, True)
    eventually(lambda: [one.present for one in registered_workers(topics, read_log(topics))] == [False])


def test_a_worker_that_withdraws_is_not_told_of_any_more(topics: Settings) -> None:
    announce(topics, lane="default", instance="w1", operations=OPERATIONS)
    announce(topics, lane="llm", instance="w1", operations=[])

    withdraw(topics, lane="default", instance="w1")
    withdraw(topics, lane="default", instance="never announced")

    assert [(one.lane, one.instance) for one in announced(read_log(topics))] == [("llm", "w1")]


def test_a_worker_may_announce_itself_again_since_the_same_time(topics: Settings) -> None:
    first = announce(topics, lane="default", instance="w1", operations=[])

    again = announce(topics, lane="default", instance="w1", operations=OPERATIONS, since_ms=first.since_ms)

    assert announced(read_log(topics)) == [again]
    assert again.since_ms == first.since_ms


def test_those_long_gone_are_forgotten_when_another_comes(topics: Settings) -> None:
    with member(topics, "default", "alive"):
        for instance in ("killed", "alive"):
            announce(topics, lane="default", instance=instance, operations=[], since_ms=1)
        announce(topics, lane="other", instance="of another lane", operations=[], since_ms=1)

        announce(topics, lane="default", instance="new", operations=[])

    assert {one.instance for one in announced(read_log(topics))} == {"alive", "new", "of another lane"}


def test_an_announcement_that_cannot_be_read_is_left_out(topics: Settings) -> None:
    announce(topics, lane="default", instance="w1", operations=[])
    producer = Producer(confluent_producer_config(topics, "test"))
    producer.produce(topic_name(topics, DEFINITIONS), key="serving/default/w2", value=b'{"lane": 3}', partition=0)
    producer.flush(10)

    assert [one.instance for one in announced(read_log(topics))] == ["w1"]


def test_the_command_line_registers_lists_shows_and_unregisters(
    topics: Settings, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_KEY", "secret words")
    file = tmp_path / "plugin.json"
    file.write_text(json.dumps(SCORE | {"samples": [{"input": {}}]}))
    announce(topics, lane="default", instance="w1", operations=OPERATIONS)

    code, answer, _ = cli("operations", "register", str(file))
    assert (code, answer["name"], answer["already"]) == (0, "fraud.score", False)
    assert cli("operations", "register", str(file))[1]["already"] is True

    code, listed, _ = cli("operations", "list")
    by_name = {one["name"]: one for one in listed}
    assert code == 0
    assert by_name["fraud.score"]["source"] == "plugin"
    assert by_name["fraud.score"]["health"] == {"ok": True, "detail": "no health address", "asked": True}
    assert by_name["fraud.score"]["served_by"] == []
    assert by_name["print.line"]["source"] == "built in"
    (served,) = by_name["http.request"]["served_by"]
    assert (served["instance"], served["present"], served["ok"], served["detail"]) == ("w1", False, False, "no network")
    assert "secret words" not in json.dumps(listed)

    code, shown, _ = cli("operations", "show", "fraud.score")
    assert (code, shown["plugin"]) == (0, SCORE["plugin"])
    assert cli("operations", "show", "no.such")[0] == 3

    assert cli("operations", "unregister", "fraud.score")[0] == 0
    code, _, err = cli("operations", "unregister", "fraud.score")
    assert (code, json.loads(err)["error"]["code"]) == (3, "operation_unknown")


def test_health_is_asked_when_operations_are_listed(topics: Settings, cli: Any) -> None:
    statuses = iter([200, 503])

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=next(statuses))

    async def check() -> list[bool]:
        async with http_server(handle) as host:
            plugin = {"endpoint": f"http://{host}/", "health": f"http://{host}/health", "secret": "fraud"}
            await asyncio.to_thread(
                register_operation,
                topics,
                name="fraud.score",
                registration={"spec": {"name": "fraud.score"}, "plugin": plugin},
            )
            found = []
            for _ in range(2):
                _, listed, _ = await asyncio.to_thread(cli, "operations", "list")
                found.append(next(one["health"]["ok"] for one in listed if one["name"] == "fraud.score"))
            return found

    assert asyncio.run(check()) == [True, False]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"spec": {"name": "print.line"}}, "operation_taken"),
        ({"spec": {"name": "No Name"}}, "definition_invalid"),
        ({"spec": {"name": "fraud.score", "input": {"type": "nonsense"}}}, "definition_invalid"),
        ({"plugin": {"endpoint": "http://169.254.169.254/", "secret": "a"}}, "definition_invalid"),
        ({"plugin": {"endpoint": "http://fraud.example/", "secret": "the secret itself"}}, "definition_invalid"),
        ({"plugin": {"endpoint": "http://fraud.example/"}}, "definition_invalid"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(
    topics: Settings, cli: Any, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    file = tmp_path / "plugin.json"
    file.write_text(json.dumps(SCORE | change))

    exit_code, _, err = cli("operations", "register", str(file))

    assert exit_code in (2, 3)
    assert json.loads(err.splitlines()[-1])["error"]["code"] == code
    assert "the secret itself" not in err
    assert read_log(topics).operations == {}


def test_a_registration_that_is_too_large_is_refused(topics: Settings) -> None:
    large = SCORE | {"spec": {"name": "fraud.score", "description": "x" * topics.limits.definition_bytes}}

    with pytest.raises(Rejected) as raised:
        register_operation(topics, name="fraud.score", registration=large)

    assert raised.value.code == "registration_too_large"
    assert read_log(topics).operations == {}
