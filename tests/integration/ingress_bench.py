"""An ingress process and what a test needs around it: topics, publications, and everything that came out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.model import Definition
from streamflow.engine.commands import Command, Deliver
from streamflow.kafka import publication
from streamflow.settings import Settings
from streamflow.wire.codec import decode_command
from tests.conftest import eventually
from tests.integration.forked import Child, fork

PROJECT = Path(__file__).parents[2]

# another wall clock, from before any import; the monotonic one, by which timeouts are measured, is as it is
AHEAD = """
import os, time
_ahead_s, _time, _time_ns = float(os.environ.pop("STREAMFLOW_AHEAD_S")), time.time, time.time_ns
time.time = lambda: _time() + _ahead_s
time.time_ns = lambda: _time_ns() + int(_ahead_s * 1e9)
from tests.integration.ingress_bench import serve
serve("ROLE")
"""


def serve(role: str) -> None:
    """What the process of a worker does."""
    run = import_module(f"agents.{role}").run

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await run(Settings(), stop)

    asyncio.run(main())


class Worker:
    """An ingress process, or another `role` of `agents`. `ahead_s` is how far its wall clock is ahead of this
    machine's; such a process is not forked, because what is imported may hold the real clock."""

    def __init__(self, settings: Settings, folder: Path, role: str = "ingress", ahead_s: float = 0) -> None:
        self.log = folder / f"{role}-{uuid.uuid4().hex[:6]}.log"
        own = {
            "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
            "TOPICS__PREFIX": settings.topics.prefix,
            "TOPICS__PARTITIONS": str(settings.topics.partitions),
            "LIMITS__EVENT_BYTES": str(settings.limits.event_bytes),
            "INGRESS__COMMIT_S": str(settings.ingress.commit_s),
            "INGRESS__WATERMARK_S": str(settings.ingress.watermark_s),
            "INGRESS__MAX_ENGINE_LAG": str(settings.ingress.max_engine_lag),
            "STATE_DIR": str(folder / f"{role}-state"),
        }
        if settings.ingress.instance_id:
            own["INGRESS__INSTANCE_ID"] = settings.ingress.instance_id
        environ = os.environ | {f"STREAMFLOW_{name}": value for name, value in own.items()}
        self.log.touch()
        self.process: Child | subprocess.Popen[bytes]
        if not ahead_s:
            self.process = fork(serve, environ, self.log, role)
            return
        environ |= {"STREAMFLOW_AHEAD_S": str(ahead_s), "PYTHONPATH": str(PROJECT)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", AHEAD.replace("ROLE", role)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)

    def says(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return text in self.log.read_text()


class Bench:
    """One test's topics, publications and readings."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.servers: dict[str, Any] = {"bootstrap.servers": settings.kafka.bootstrap_servers or "", "log_level": 0}
        self.admin = AdminClient(self.servers)
        self.producer = Producer(self.servers | {"linger.ms": 5})
        self.workers: list[Worker] = []

    def worker(self, settings: Settings | None = None, role: str = "ingress", ahead_s: float = 0) -> Worker:
        self.workers.append(Worker(settings or self.settings, self.folder, role, ahead_s))
        return self.workers[-1]

    def topic(self, partitions: int = 2, **config: str) -> str:
        """A new topic; `config` has `_` for the dots in Kafka's names."""
        name = f"src-{uuid.uuid4().hex[:8]}"
        self.create(name, partitions, **config)
        return name

    def create(self, name: str, partitions: int = 2, **config: str) -> None:
        topic = NewTopic(name, partitions, config={key.replace("_", "."): value for key, value in config.items()})

        def created() -> bool:
            for future in self.admin.create_topics([topic]).values():
                future.result()
            return True

        def attempt() -> bool:
            with contextlib.suppress(Exception):  # a deletion of the same name may not be through yet
                return created()
            return False

        eventually(attempt)
        eventually(lambda: name in self.admin.list_topics(timeout=60).topics)

    def delete(self, name: str) -> None:
        for future in self.admin.delete_topics([name]).values():
            future.result()
        eventually(lambda: name not in self.admin.list_topics(timeout=60).topics)

    def send(self, topic: str, *values: Any, key: str = "k", headers: dict[str, str] | None = None) -> None:
        for value in values:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            pairs: list[tuple[str, str | bytes | None]] = [(name, text) for name, text in (headers or {}).items()]
            while True:
                try:
                    self.producer.produce(topic, data, key.encode(), headers=pairs)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        assert self.producer.flush(30) == 0

    def publish(
        self,
        name: str,
        version: str,
        *,
        on: str,
        waits: tuple[str, ...] = (),
        within: str | None = None,
        **events: dict[str, Any],
    ) -> str:
        catalog = Catalog.model_validate({"events": [{"name": event, **fields} for event, fields in events.items()]})
        limit: dict[str, Any] = {"within": within} if within else {"forever": True}
        steps: list[dict[str, Any]] = [
            {"id": f"w{n}", "wait": {"events": [{"id": "ok", "event": event}], **limit}}
            for n, event in enumerate(waits)
        ]
        whole = {
            "name": name,
            "version": version,
            "on": [{"id": "t", "event": on}],
            "steps": steps or [{"id": "p", "print": {"text": "'x'"}}],
        }
        content = canonical(Definition.model_validate(whole), catalog)
        entries = {event: {"name": event, **fields} for event, fields in events.items()}
        publication.publish(self.settings, name=name, version=version, content=content, events=entries)
        return sha256_of(content)

    def records(self, role: str) -> list[Message]:
        """Everything in one of our topics."""
        return read_all(self.servers, self.settings.topics.prefix + role)

    def commands(self) -> list[Command]:
        return [decode_command(record.value() or b"") for record in self.records("commands")]

    def counts(self, topic: str) -> dict[str, int]:
        """The sum of what is committed for all partitions: offsets and counts."""
        total: Counter[str] = Counter()
        for tp, found in asyncio.run(committed(self.settings)).items():
            if tp.topic == topic and found.offset >= 0:
                counts = json.loads(found.metadata)
                total.update(
                    {name: counts[name] for name in ("read", "matched", "ignored", "dead")} | {"offset": found.offset}
                )
        return {name: total[name] for name in ("offset", "read", "matched", "ignored", "dead")}

    def read(self, topic: str, count: int) -> dict[str, int]:
        return (
            eventually(lambda: found if (found := self.counts(topic))["read"] >= count else None, timeout=60, every=0.2)
            or {}
        )


async def committed(settings: Settings) -> dict[Any, Any]:
    """What the ingress group has committed (confluent-kafka 2.16 gives metadata with bytes of other memory behind
    it)."""
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await client.start()
    try:
        return dict(await client.list_consumer_group_offsets(f"{settings.topics.prefix}ingress"))
    finally:
        await client.close()


def read_all(servers: dict[str, Any], topic: str) -> list[Message]:
    consumer = Consumer(servers | {"group.id": "test", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=60) for p in partitions}
        consumer.assign([TopicPartition(topic, p, low) for p, (low, high) in ends.items()])
        found: list[Message] = []
        left = sum(high - low for low, high in ends.values())
        while len(found) < left:
            found += [record for record in consumer.consume(1000, 1.0) if record.error() is None]
        return found
    finally:
        consumer.close()


def by_path(topic: str, name: str, **fields: Any) -> dict[str, Any]:
    return {
        "topics": [topic],
        "start": "earliest",
        "match": {"path": "kind", "equals": name},
        "key": {"path": "order"},
        **fields,
    }


def starts(commands: list[Command]) -> list[Deliver]:
    return [command for command in deliveries(commands) if command.start is not None]


def deliveries(commands: list[Command]) -> list[Deliver]:
    return [command for command in commands if isinstance(command, Deliver)]


def kind_of(command: Deliver) -> str:
    return "deliver" if command.start is None else "start"


def applied(commands: list[Message]) -> list[tuple[str, str, str]]:
    """The deliveries of `commands` that are no duplicates, by the mark of their source and by the identity of their
    event: (kind, definition, event id), in order of each partition."""
    marks: dict[tuple[str, int, int], int] = {}
    seen: set[tuple[str, str, str, str, str]] = set()
    out = []
    for record in sorted(commands, key=lambda message: (message.partition() or 0, message.offset() or 0)):
        command = decode_command(record.value() or b"")
        if not isinstance(command, Deliver):
            continue
        origin, event = command.origin, command.event
        assert origin.committed <= origin.offset
        place = (origin.topic_id, origin.partition, record.partition() or 0)
        mark = marks[place] = max(marks.get(place, 0), origin.committed)
        identity = (command.definition, command.key, event.name, event.source, event.id)
        if origin.offset < mark or identity in seen:
            continue
        seen.add(identity)
        out.append((kind_of(command), command.definition, event.id))
    return out
