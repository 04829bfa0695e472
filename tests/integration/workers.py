"""A bench for engine workers: topics with a prefix of their own, real worker processes, commands in, and what comes out
read by a foreign client."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rocksdict import Options, Rdict

from streamflow.definition.content import canonical, event_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine import commands as c
from streamflow.ids import command_place, partition_of, partition_of_run, run_id
from streamflow.kafka import admin
from streamflow.kafka.publication import publish
from streamflow.settings import Engine, Settings
from streamflow.wire.codec import encode_command
from tests.conftest import eventually, make_settings
from tests.integration.forked import Forked
from tests.proof.reader import DeadLetter, IndependentReader
from tests.proof.world import Worker

__all__ = ["Bench", "Transition", "Worker", "bench", "complaints", "make_bench", "store_of"]

T = TypeVar("T")

COMPLAINT = re.compile(
    "Task exception was never|was never awaited|Task was destroyed|ResourceWarning|Unclosed|Traceback .most recent"
)

FAST = Engine(session_timeout_s=6, checkpoint_s=0.1, checkpoint_idle_s=0.2)

CATALOG = """
events:
  - {name: order.placed, topics: [orders], key: {path: id}, schema: {type: object, properties: {id: {type: string}, total: {type: integer}}}}
  - {name: order.paid, topics: [payments], key: {path: id}, schema: {type: object, properties: {id: {type: string}, amount: {type: integer}}}}
  - {name: order.shipped, topics: [TOPIC], key: {path: id}, schema: {type: object, properties: {id: {type: string}}}}
"""  # noqa: E501

# Ends as soon as the payment is there: three steps that say all about order, conditions and values.
PAYMENT = """
name: payment
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: double
    set: [{name: total, expr: trigger.total * 2}]
  - id: paid
    needs: [double]
    wait: {events: [{id: paid, event: order.paid, where: event.amount >= steps.double.total}], forever: true}
  - id: bye
    needs: [paid]
    print: {text: '"paid " + run.key'}
"""


class Transition(NamedTuple):
    """A record of `runs` as a stranger sees it; `fields` are its value, parsed."""

    partition: int
    offset: int
    key: bytes
    headers: list[tuple[str, bytes]]
    value: bytes
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        return dict(self.headers)["ce_type"].decode().removeprefix("streamflow.")


def now_ms() -> int:
    """The time of this machine, in epoch milliseconds; the brokers of tests have the same."""
    return time.time_ns() // 1_000_000


class Bench:
    """A context manager; leaving it ends every worker that it started."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.prefix = settings.topics.prefix
        self.partitions = settings.topics.partitions
        self.folder = folder
        self.servers: dict[str, Any] = {"bootstrap.servers": settings.kafka.bootstrap_servers or "", "log_level": 0}
        self.admin = AdminClient(self.servers)
        self.stranger = IndependentReader(self.servers["bootstrap.servers"], self.prefix)
        self.producer = Producer(self.servers | {"enable.idempotence": True, "linger.ms": 1})
        self.workers: list[Worker] = []
        self._tail = Consumer(
            self.servers
            | {
                "group.id": "a-watcher",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        self._runs: dict[str, list[Transition]] = {}
        self._letters: list[DeadLetter] = []
        self._assigned = False
        self._sent = 0
        self._starts: Counter[str] = Counter()  # of each worker, as its log will tell them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()
        self._tail.close()

    # -- what is in it

    def topic(self, role: str) -> str:
        return f"{self.prefix}{role}"

    def publish(
        self, definition: str = PAYMENT, *, shipped_to: str = "shipments", catalog: str = CATALOG
    ) -> c.DefinitionRef:
        """Publishes a definition; what starts it."""
        parsed, events = parse_definition(definition), parse_catalog(catalog.replace("TOPIC", shipped_to))
        entries = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in events.events
            if spec.name in event_names(parsed)
        }
        published = publish(
            self.settings, name=parsed.name, version=parsed.version, content=canonical(parsed, events), events=entries
        )
        return c.DefinitionRef(published.sha, published.offset)

    def worker(self, name: str = "engine", *, kind: type[Worker] = Forked, **options: Any) -> Worker:
        """Starts an engine worker, with static membership under its name; `options` are settings of the engine."""
        engine = {**self.settings.engine.model_dump(exclude_none=True), "instance_id": name, **options}
        own = {
            f"STREAMFLOW_ENGINE__{option.upper()}": str(value) for option, value in engine.items() if value is not None
        }
        return self.launch(kind("engine", name, self.folder, self.environment() | own))

    def environment(self) -> dict[str, str]:
        """What every worker of this bench has in its environment."""
        return {
            "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": self.servers["bootstrap.servers"],
            "STREAMFLOW_TOPICS__PREFIX": self.prefix,
            "STREAMFLOW_TOPICS__PARTITIONS": str(self.partitions),
            "STREAMFLOW_TASKS__LANES": json.dumps(
                {lane: config.model_dump(mode="json") for lane, config in self.settings.tasks.lanes.items()}
            ),
            "STREAMFLOW_LOG_FORMAT": "json",
            "PYTHONASYNCIODEBUG": "",
            "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
        }

    def launch(self, worker: Worker) -> Worker:
        """Starts a worker that this bench ends."""
        self.workers.append(worker)
        worker.log.touch()
        self._starts[worker.name] += 1
        return worker.start()

    # -- what goes in

    def send(self, *commands: c.Command, flush: bool = True) -> None:
        """Appends commands, each to its partition (watermarks to all), and waits for the broker."""
        for command in commands:
            key = getattr(command, "key", "")
            if isinstance(command, c.AdvanceWatermark):
                places = list(range(self.partitions))
            elif key:
                places = [partition_of(key, self.partitions)]
            else:
                places = [partition_of_run(command.run, self.partitions)]  # type: ignore[union-attr]
            for place in places:
                self.append(place, encode_command(command), key.encode())
        if flush:
            self.flush()

    def append(self, partition: int, value: bytes | None, key: bytes = b"") -> None:
        """Queues any bytes for a partition of `commands`."""
        while True:
            try:
                self.producer.produce(self.topic("commands"), value, key, partition=partition)
                return
            except BufferError:
                self.producer.poll(0.1)

    def flush(self) -> None:
        assert self.producer.flush(60) == 0

    def start(self, start: c.DefinitionRef, key: str, definition: str = "payment", **data: Any) -> str:
        """Appends a start by event; the id of the run, once the broker has it."""
        event = c.Event(name="order.placed", id=f"placed-{key}", time_ms=1, data={"id": key, "total": 5, **data})
        origin = c.Origin(topic_id="source", partition=0, offset=self._next(), committed=0)
        delivery = c.Deliver(
            id=f"start-{key}", definition=definition, key=key, event=event, origin=origin, start=start, trigger="placed"
        )
        return self.run_of(delivery, self.acknowledged(delivery))

    def run_of(self, start: c.Deliver | c.StartRun, offset: int) -> str:
        """The id of the run that a start command at this offset starts."""
        place = command_place(self.commands_id, partition_of(start.key, self.partitions), offset)
        return run_id("main", start.definition, start.key, place)

    @cached_property
    def commands_id(self) -> str:
        """The id of the topic of commands."""
        topic = self.topic("commands")
        return admin.Admin(self.settings).topic_ids([topic])[topic]

    def forget_topics(self) -> None:
        """Topics were created again, under other ids."""
        self.__dict__.pop("commands_id", None)

    def acknowledged(self, command: c.Deliver | c.StartRun) -> int:
        """Appends a command under its key; the offset that the broker gave it."""
        offsets: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            offsets.append(message.offset() or 0)

        partition = partition_of(command.key, self.partitions)
        value, key = encode_command(command), command.key.encode()
        self.producer.produce(self.topic("commands"), value, key, partition=partition, on_delivery=delivered)
        deadline = time.monotonic() + 60
        while not offsets and time.monotonic() < deadline:
            self.producer.poll(0.1)
        return offsets[0]

    def deliver(
        self,
        key: str,
        definition: str = "payment",
        *,
        name: str = "order.paid",
        event_id: str = "",
        time_ms: int = 1,
        keep_ms: int = 0,
        flush: bool = True,
        **data: Any,
    ) -> None:
        """Appends the delivery of an event, of a source record of its own."""
        offset = self._next()
        event = c.Event(
            name=name,
            id=event_id or f"{name}-{key}-{offset}",
            time_ms=time_ms,
            data={"id": key, "amount": 10, **data},
            limit_time_ms=time_ms,
        )
        origin = c.Origin(topic_id="source", partition=0, offset=offset, committed=0)
        delivery = c.Deliver(
            id=f"deliver-{event.id}", definition=definition, key=key, event=event, origin=origin, keep_ms=keep_ms
        )
        self.send(delivery, flush=flush)

    def key_of(self, partition: int, nth: int = 0) -> str:
        """A key that lives in `partition`."""
        found = (f"k{number}" for number in range(100_000) if partition_of(f"k{number}", self.partitions) == partition)
        for _ in range(nth):
            next(found)
        return next(found)

    def _next(self) -> int:
        self._sent += 1
        return self._sent

    # -- what comes out

    def wait(self, condition: Callable[[], T], what: str, timeout_s: float = 45.0) -> T:
        """The first true value of `condition`; a worker that ended by itself, or the deadline, fails the test with its
        log."""

        def met() -> T:
            value = condition()
            if not value:
                for worker in self.workers:
                    worker.check()
            return value

        try:
            return eventually(met, timeout_s, 0.05)
        except pytest.fail.Exception as failure:
            logs = "\n".join(f"-- {worker.name}\n{worker.tail()}" for worker in self.workers)
            pytest.fail(f"{what}: {failure}\n{logs}")

    def transitions(self, run: str | None = None) -> list[Transition]:
        """What has come to `runs` so far, copies included, in the order of each partition."""
        self._look()
        return (
            self._runs.get(run, [])
            if run is not None
            else [transition for told in self._runs.values() for transition in told]
        )

    def history(self, run: str) -> list[str]:
        """The names of a run's transitions, without copies."""
        return list({t.fields["seq"]: t.name for t in self.transitions(run)}.values())

    def wait_history(self, run: str, *names: str, timeout_s: float = 45.0) -> list[str]:
        """Waits until the run's history ends with `names`."""
        self.wait(lambda: self.history(run)[-len(names) :] == list(names), f"{run} to come to {names}", timeout_s)
        return self.history(run)

    def letters(self, reason: str | None = None) -> list[DeadLetter]:
        """What has come to `dead-letters` so far."""
        self._look()
        return [letter for letter in self._letters if reason is None or letter.reason == reason]

    def wait_letter(self, reason: str, **facts: str) -> DeadLetter:
        """The first dead letter of a reason whose headers hold `facts`."""

        def found() -> list[DeadLetter]:
            return [
                m
                for m in self.letters(reason)
                if all(m.headers.get(f"streamflow.dlq.{name}") == fact for name, fact in facts.items())
            ]

        return self.wait(found, f"a dead letter {reason} {facts}")[0]

    def _look(self) -> None:
        if not self._assigned:
            places = [TopicPartition(self.topic("runs"), p, 0) for p in range(self.partitions)] + [
                TopicPartition(self.topic("dead-letters"), 0, 0)
            ]
            self._tail.assign(places)
            self._assigned = True
        while batch := self._tail.consume(1000, 0.01):
            for m in batch:
                if m.error() is not None:
                    continue
                headers, value = _headers(m), _bytes(m.value())
                if m.topic() == self.topic("runs"):
                    fields = json.loads(value)
                    told = Transition(m.partition() or 0, m.offset() or 0, _bytes(m.key()), headers, value, fields)
                    self._runs.setdefault(fields["run"], []).append(told)
                else:
                    self._letters.append(
                        DeadLetter(
                            m.key(), m.value(), {name: content.decode(errors="replace") for name, content in headers}
                        )
                    )

    def committed(self) -> dict[int, int]:
        """The engine's committed offset of each partition: its checkpoints."""
        return self.stranger.committed(f"{self.prefix}engine", self.topic("commands"))

    def ends(self) -> dict[int, int]:
        """The next offset of each partition of `commands`."""
        return {partition: high for partition, (_, high) in self.stranger.ends(self.topic("commands")).items()}

    def wait_saved(self, partitions: Sequence[int] | None = None, timeout_s: float = 45.0) -> None:
        """Waits until everything in `commands` is decided and in a checkpoint, twice over: what was appended by it
        too."""
        chosen = range(self.partitions) if partitions is None else partitions

        def saved() -> bool:
            try:
                ends, committed = self.ends(), self.committed()
            except KafkaException:  # the broker is away: part of the test
                return False
            return all(ends[p] == max(0, committed[p]) for p in chosen)

        self.wait(saved, "everything to be decided and saved", timeout_s)

    def own(self) -> dict[int, dict[str, Any]]:
        """The partitions' own records, from the changelog."""
        return {
            partition: json.loads(records[b"own"])
            for partition, records in self.stranger.state().items()
            if b"own" in records
        }

    def reasons(self) -> Counter[str]:
        """Why commands were not applied, over all partitions."""
        total: Counter[str] = Counter()
        for own in self.own().values():
            total.update(own.get("reasons", {}))
        return total

    def deliveries(self, definition: str) -> Counter[str]:
        """How the deliveries to a definition have ended, over all partitions: `<event>/<outcome>[/<reason>]`."""
        total: Counter[str] = Counter()
        for records in self.stranger.state().values():
            total.update(json.loads(records.get(f"tally/{definition}".encode(), b"{}")))
        return total

    def check_exact(self) -> None:
        """Conservation and exactness: each command has one counted outcome, histories have no gap, and copies are
        identical."""
        held = Counter(message.partition() for message in self.stranger.messages(self.topic("commands")))
        own = self.own()
        for partition in range(self.partitions):
            counts = own[partition]["counts"] if partition in own else Counter[str]()
            assert counts.get("read", 0) == held[partition], (
                f"partition {partition}: {counts} of {held[partition]} commands"
            )
            assert counts.get("read", 0) == sum(
                counts.get(outcome, 0) for outcome in ("applied", "rejected", "duplicate", "dead")
            )
        assert self.stranger.runs().faults == []

    def check_stores(self, *workers: Worker) -> None:
        """The store of each partition in the folders of these (ended) workers equals its changelog, key by key."""
        state = self.stranger.state()
        for worker in workers:
            for folder in sorted(worker.state.glob(f"{self.prefix}[0-9]*")):
                assert store_of(folder) == state[int(folder.name.removeprefix(self.prefix))], (
                    f"{folder.name} differs from its changelog"
                )

    def lines(self, worker: Worker, event: str | None = None, **facts: Any) -> list[dict[str, Any]]:
        """The structured log lines of a worker; those of one event that hold `facts`."""
        found = [
            json.loads(line) for line in worker.log.read_text(errors="replace").splitlines() if line.startswith("{")
        ]
        return [
            line
            for line in found
            if (event is None or line["event"] == event) and all(line.get(name) == fact for name, fact in facts.items())
        ]

    def wait_line(self, worker: Worker, event: str, timeout_s: float = 45.0, **facts: Any) -> dict[str, Any]:
        """The first log line of an event with these facts."""
        return self.wait(
            lambda: self.lines(worker, event, **facts), f"a log line {event} {facts} of {worker.name}", timeout_s
        )[0]

    def wait_open(self, worker: Worker) -> None:
        """Waits until a worker, as it was started last, has opened all partitions."""

        def opened() -> bool:
            return {line["partition"] for line in self.told(worker, "partition_open")} == set(range(self.partitions))

        self.wait(opened, f"{worker.name} to open all partitions")

    def told(self, worker: Worker, event: str) -> list[dict[str, Any]]:
        """The log lines of an event since a worker was started last."""
        lines = self.lines(worker)
        starts = [place for place, line in enumerate(lines) if line["event"] == "worker_started"]
        since = lines[starts[-1] :] if len(starts) == self._starts[worker.name] else []
        return [line for line in since if line["event"] == event]

    def restart(self, worker: Worker) -> None:
        """Starts a worker again that was stopped or killed."""
        self._starts[worker.name] = len(self.lines(worker, "worker_started")) + 1
        worker.start()


def complaints(worker: Worker) -> list[str]:
    """What Python itself complained about in a worker's log: tasks and exceptions that nobody took, things left
    open."""
    return [line for line in worker.log.read_text(errors="replace").splitlines() if COMPLAINT.search(line)]


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _headers(message: Message) -> list[tuple[str, bytes]]:
    headers: Any = message.headers() or []
    return [(name, _bytes(value)) for name, value in headers]


def store_of(folder: Path) -> dict[bytes, bytes]:
    """The records of a closed store, without the host's own."""
    store = Rdict(str(folder), Options(raw_mode=True))
    try:
        records: Any = store.items()
        return {key: value for key, value in records if not key.startswith(b"!")}
    finally:
        store.close()


def make_bench(bootstrap: str, folder: Path, **changes: Any) -> Bench:
    """A bench with its fixed topics created; checkpoints come quickly."""
    settings = make_settings(bootstrap, folder, engine=FAST, **changes)
    admin.apply(settings)
    return Bench(settings, folder)


@pytest.fixture
def bench(bootstrap: str, tmp_path: Path) -> Iterator[Bench]:
    """A bench for one test."""
    with make_bench(bootstrap, tmp_path) as made:
        yield made
