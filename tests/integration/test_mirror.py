"""Streamflow's own records in Avro through real mirror workers: another system reads each of them once, whenever
workers are killed, and a registry that is away or refuses a schema holds the mirror up and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from streamflow.cli.main import main
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.transitions import Transition, ValuesSet
from streamflow.ids import partition_of
from streamflow.kafka import admin
from streamflow.settings import Mirror, Registry, Settings
from streamflow.settings.mirror import MirroredTopic
from streamflow.wire.codec import encode_command
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement, encode_settlement
from streamflow.wire.transitions import encode_transition
from tests.builders import a_delivery, an_event
from tests.conftest import eventually
from tests.integration.ingress_bench import Worker
from tests.servers.apicurio import BY_TOPIC, SchemaRegistry
from tests.servers.memory_registry import MemoryRegistry, memory_registry

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

TOPICS: list[MirroredTopic] = ["runs", "commands", "dead-letters"]
RUNS, TRANSITIONS = 120, 24


class World:
    """An installation whose topics are mirrored, with mirror workers."""

    def __init__(self, settings: Settings, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        own = {"registry": Registry(url=url), "mirror": Mirror(topics=TOPICS)}
        self.settings = settings.model_copy(update=own)
        admin.apply(self.settings)
        monkeypatch.setenv("STREAMFLOW_REGISTRY__URL", url)
        for name, value in {"TOPICS": json.dumps(TOPICS), "BATCH_RECORDS": "40", "INTERVAL_S": "0.05"}.items():
            monkeypatch.setenv(f"STREAMFLOW_MIRROR__{name}", value)
        monkeypatch.setenv("STREAMFLOW_MIRROR__SESSION_TIMEOUT_S", "6")
        self._monkeypatch, self._folder = monkeypatch, folder
        self.servers: dict[str, Any] = {"bootstrap.servers": settings.kafka.bootstrap_servers or "", "log_level": 0}
        self.producer = Producer(self.servers | {"partitioner": "murmur2_random"})
        self._asking = Consumer(self.servers | {"group.id": "test", "enable.auto.commit": False})
        self.confluent = SchemaRegistryClient({"url": url, "timeout": 20})
        self.workers: list[Worker] = []

    def worker(self, instance: str) -> Worker:
        self._monkeypatch.setenv("STREAMFLOW_MIRROR__INSTANCE_ID", instance)
        self.workers.append(Worker(self.settings, self._folder, "mirror"))
        return self.workers[-1]

    def topic(self, role: str) -> str:
        return self.settings.topics.prefix + role

    def send(self, role: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.producer.produce(self.topic(role), value, key, headers=list(headers))
        self.producer.poll(0)

    def transitions(self, first: int, behind: int) -> None:
        """Of every run those with these numbers."""
        for seq in range(first, behind):
            for number in range(RUNS):
                transition = Transition(
                    run=f"{number:08x}-main-{number}",
                    definition="orders",
                    version="1",
                    key=f"o-{number}",
                    seq=seq,
                    at_ms=seq,
                    cause=f"c-{seq}",
                    data=ValuesSet(values={"n": number, "text": "x" * 200}),
                )
                self.send("runs", *encode_transition(transition, None))
        self.producer.flush(60)

    def read(self, topic: str) -> list[Message]:
        """All committed records, each partition in its order."""
        config = {"group.id": "test", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer(self.servers | config | {"isolation.level": "read_committed"})
        try:
            numbers = sorted(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
            found: list[Message] = []
            ended: set[int | None] = set()
            while len(ended) < len(numbers):
                for message in consumer.consume(1000, 1.0):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    else:
                        assert error.code() == KafkaError._PARTITION_EOF
                        ended.add(message.partition())
            return sorted(found, key=lambda one: (one.partition() or 0, one.offset() or 0))
        finally:
            consumer.close()

    def mirrored(self, role: str) -> list[tuple[Message, dict[str, Any]]]:
        """What a consumer with Confluent's client reads."""
        topic = self.topic(f"{role}.avro")
        read, context = AvroDeserializer(self.confluent, conf=BY_TOPIC), SerializationContext(topic, MessageField.VALUE)
        found = []
        for message in self.read(topic):
            data = read(message.value() or b"", context)
            assert isinstance(data, dict)
            found.append((message, data))
        return found

    def count(self, role: str) -> int:
        return len(self.read(self.topic(f"{role}.avro")))

    def end(self, role: str) -> int:
        """The sum of the ends of the partitions."""
        topic = self.topic(role)
        numbers = range(self.settings.topics.partitions)
        return sum(self._asking.get_watermark_offsets(TopicPartition(topic, one), timeout=60)[1] for one in numbers)

    def has_grown(self, role: str, end: int) -> bool:
        return self.end(role) > end

    def close(self) -> None:
        self.confluent.close()
        self._asking.close()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()


@pytest.fixture
def world(settings: Settings, apicurio: SchemaRegistry, tmp_path: Path, monkeypatch: Any) -> Iterator[World]:
    made = World(settings, tmp_path, apicurio.url, monkeypatch)
    yield made
    made.close()


def test_another_system_reads_each_record_once_whenever_workers_are_killed(world: World) -> None:
    total, left = RUNS * TRANSITIONS, []
    for first in range(1, TRANSITIONS, 8):
        world.transitions(first, first + 8)
        end = world.end("runs.avro")
        worker = world.worker("one")
        eventually(partial(world.has_grown, "runs.avro", end), timeout=60, every=0.01)
        worker.kill()
        left.append(RUNS * (first + 7) - world.count("runs"))
    assert any(left)  # else nobody was killed at work
    workers = [world.worker("one"), world.worker("two")]
    eventually(lambda: all(worker.says("mirror_started") for worker in workers), timeout=60)
    workers[0].kill()
    eventually(lambda: world.count("runs") >= total, timeout=90, every=0.2)

    source = [(one.partition(), one.key(), json.loads(one.value() or b"")) for one in world.read(world.topic("runs"))]
    found = [(one.partition(), one.key(), data) for one, data in world.mirrored("runs")]
    places = [[(number, key, data["run"], data["seq"]) for number, key, data in side] for side in (source, found)]
    assert places[0] == places[1]  # nothing twice, nothing missing, everything in its order
    assert json.loads(found[0][2]["data"]["values"]) == source[0][2]["data"]["values"]


def test_each_kind_of_record_keeps_what_it_says(world: World) -> None:
    world.transitions(1, 2)
    event = a_delivery(an_event(data={"total": 5}), start=DefinitionRef("ab", 5))
    world.send("commands", b"o-1", encode_command(event))
    world.send("commands", b"o-1", b"no command")
    lost = Record("orders", 0, 7, 5, b"k", b"\xff", (("a", b"1"),))
    letter = dead_letter(lost, "not_json", "No JSON.", "ingress", topic_id="T", event="placed")
    world.send("dead-letters", *letter)
    letter_id = dict(letter.headers)["streamflow.dlq.id"].decode()
    world.send("dead-letters", *encode_settlement(Settlement(letter=letter_id, state="dropped", why="old")))
    world.producer.flush(60)
    worker = world.worker("one")
    eventually(lambda: world.count("dead-letters") == 2 and world.count("runs") == RUNS, timeout=60, every=0.1)

    ((message, command),) = eventually(lambda: world.mirrored("commands"), timeout=60)
    assert message.key() == b"o-1"
    assert message.partition() == partition_of("o-1", world.settings.topics.partitions)
    assert command["command"]["id"] == event.id
    assert worker.says("record_unreadable")
    (_, read), (_, settled) = world.mirrored("dead-letters")
    assert (read["reason"], read["key"], read["value"], read["headers"]) == (
        "not_json",
        b"k",
        b"\xff",
        [{"name": "a", "value": b"1"}],
    )
    assert (settled["settles"], settled["reason"], settled["message"]) == (read["id"], "dropped", "old")
    headers: dict[str, bytes] = dict(world.mirrored("runs")[0][0].headers() or [])  # type: ignore[arg-type]
    schema_id = int(headers["ce_dataschema"].rsplit(b"/", 1)[1])
    assert json.loads(world.confluent.get_schema(schema_id).schema_str or "")["name"] == "Transition"
    assert headers["content-type"] == b"application/avro"
    assert headers["ce_type"] == b"streamflow.ValuesSet"
    assert worker.stop() == 0


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        yield running


def test_the_mirror_waits_for_a_registry_that_is_away_or_refuses_its_schema(
    registry: MemoryRegistry,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(settings, tmp_path, registry.url, monkeypatch)
    try:
        subject = f"{world.topic('runs.avro')}-value"
        other = {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "int"}]}
        world.confluent.register_schema(subject, Schema(json.dumps(other), "AVRO"))
        world.transitions(1, 2)
        registry.stop()
        worker = world.worker("one")
        eventually(lambda: worker.says("code=registry_unavailable"), timeout=60)
        registry.start()
        eventually(lambda: worker.says("code=schema_incompatible"), timeout=60)
        assert world.count("runs") == 0
        world.confluent.set_compatibility(subject, "NONE")

        eventually(lambda: world.count("runs") == RUNS, timeout=60, every=0.1)
        servers, prefix = settings.kafka.bootstrap_servers or "", settings.topics.prefix
        capsys.readouterr()
        words = ["workers", "--role", "mirror", "--json", "--bootstrap", servers, "--prefix", prefix]
        assert main(words) == 0
        (row,) = json.loads(capsys.readouterr().out)["workers"]
        assert (row["worker"], row["pid"]) == ("one", worker.process.pid)
        assert row["partitions"] == 2 * settings.topics.partitions + 1  # of dead-letters there is one
    finally:
        world.close()
