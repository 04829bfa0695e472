"""The work of an experiment, all of it drawn from a seed before it begins, sent by a foreign client, and written down
when the broker has it."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer

from streamflow_check.experiment import Input
from tests.faults.definitions import LIMIT_MS, PAID, PLACED, SIGNED

RUBBISH = b"{rubbish"
_FLUSH_S = 90.0
SOON_S = LIMIT_MS / 1000 / 2


@dataclass(frozen=True)
class Sending:
    """One record to send `at_s` seconds after the beginning, and what is to come of it."""

    at_s: float
    topic: str
    key: str
    value: bytes
    id: str = ""
    starts: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    dead: bool = False
    ignored: bool = False


def drawn(seed: int | str, seconds: float, per_s: float, name: str = "k", more: tuple[str, ...] = ()) -> list[Sending]:
    """The records of one experiment in the order of their times: orders with what belongs to them, out of order, some
    of them twice or three times, and among them rubbish and what concerns nobody."""
    chosen = random.Random(f"work/{seed}/{name}")
    found: list[Sending] = []
    for number in range(round(seconds * per_s)):
        key, at_s = f"{name}{number}", number / per_s
        amount = chosen.randrange(1, 100)
        lines = [f"l{line}" for line in range(chosen.choice((0, 1, 1, 2, 3)))]
        starts = ("order", "basket", "limit", *more, *(("parent",) if amount % 3 == 0 else ()))
        found += _event(chosen, at_s, PLACED, key, {"amount": amount, "lines": lines}, starts=starts)
        found += _event(chosen, at_s + chosen.uniform(-0.2, 0.8), PAID, key, {"amount": amount}, takes=("order",))
        if chosen.random() < 0.6:
            found += _event(chosen, at_s + chosen.uniform(-0.2, 0.2), SIGNED, key, {}, takes=("limit",))
        if chosen.random() < 0.03:
            found.append(Sending(at_s, chosen.choice((PLACED, PAID)), key, RUBBISH, dead=True))
        if chosen.random() < 0.05:
            found.append(
                Sending(
                    at_s,
                    PLACED,
                    key,
                    json.dumps({"type": "other", "id": f"other-{key}", "key": key}).encode(),
                    ignored=True,
                )
            )
    return sorted(found, key=lambda sending: sending.at_s)


def _event(
    chosen: random.Random, at_s: float, topic: str, key: str, data: dict[str, object], **comes: tuple[str, ...]
) -> Iterable[Sending]:
    id_ = f"{topic}-{key}"
    value = json.dumps({"type": topic, "id": id_, "key": key, **data}).encode()
    yield Sending(at_s, topic, key, value, id_, **comes)  # type: ignore[arg-type]
    for _ in range(chosen.choice((0, 0, 0, 0, 0, 1, 2))):
        yield Sending(at_s + chosen.expovariate(1.0), topic, key, value, id_, **comes)  # type: ignore[arg-type]


@dataclass
class Generator:
    """Sends from a thread of its own. `inputs` is what the broker has acknowledged."""

    bootstrap: str
    prefix: str
    sendings: Sequence[Sending]
    inputs: list[Input] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = self._make()
        self._given_up = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._resting = threading.Event()
        self._forgotten: list[Input] = []  # of topics that were made again, or without a known place
        self._placed: dict[str, float] = {}  # by key: when its order was sent
        self._lost: set[str] = set()  # keys of which an event was lost
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _make(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 1,
                "message.timeout.ms": 120_000,
                "socket.timeout.ms": 5000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def start(self) -> None:
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Sends no more; returns at once."""
        self._given_up.set()

    @property
    def wanted(self) -> set[tuple[str, str]]:
        """(definition, event id) of every run that is to be started by what was acknowledged."""
        known = [*self._forgotten, *self.inputs]
        return {(definition, one.id) for one in known for definition in one.starts if _key_of(one) not in self._lost}

    @property
    def judged(self) -> list[Input]:
        """What of the inputs the checker can judge: not what was sent to a topic that is gone, nor what belongs to an
        event that was lost."""
        return [known for known in self.inputs if _key_of(known) not in self._lost]

    def pause(self) -> None:
        """Returns when everything is acknowledged and no more is sent."""
        self._going.clear()
        while not (self._resting.wait(0.05) or self.done):
            pass

    def go_on(self) -> None:
        """With another producer: it knows nothing of what the old one has sent."""
        self._producer = self._make()
        self._resting.clear()
        self._going.set()

    def forget_place(self, topic: str) -> None:
        self._forgotten += [known for known in self.inputs if known.topic == topic]
        self.inputs[:] = [known for known in self.inputs if known.topic != topic]

    def lose(self, topic: str, partition: int, begin: int, end: int) -> None:
        self._lost |= {
            _key_of(known)
            for known in self.inputs
            if (known.topic, known.partition) == (topic, partition) and begin <= known.offset < end
        }
        self.inputs[:] = [
            known
            for known in self.inputs
            if (known.topic, known.partition) != (topic, partition) or not begin <= known.offset < end
        ]

    def _run(self) -> None:
        began = time.monotonic()
        for sending in self.sendings:
            while (left := began + sending.at_s - time.monotonic()) > 0:
                self._producer.poll(min(left, 0.02))
                if self._given_up.is_set():
                    return
            if not self._going.is_set():
                self._flush()
                self._resting.set()
                self._going.wait()
            self._send(sending)
        self._flush()

    def _flush(self) -> None:
        deadline = time.monotonic() + _FLUSH_S
        while self._producer.flush(0.2) and time.monotonic() < deadline and not self._given_up.is_set():
            pass

    def _send(self, sending: Sending) -> None:
        topic = f"{self.prefix}{sending.topic}"
        if sending.topic == PLACED and sending.starts:
            self._placed.setdefault(sending.key, time.monotonic())

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(f"{topic} {sending.id}: {error}")
                return
            now = time.monotonic()
            held_up = sending.topic == SIGNED and now - self._placed.get(sending.key, now) > SOON_S
            # by us or by the broker: its run may have given it up before it was appended
            takes = () if held_up else sending.takes
            partition, offset = message.partition(), message.offset()
            # A record that the broker had already, says an idempotent producer after an outage, is acknowledged without
            # a place.
            into = self._forgotten if partition is None or offset is None else self.inputs
            into.append(
                Input(
                    topic, partition or 0, offset or 0, sending.id, sending.starts, takes, sending.dead, sending.ignored
                )
            )

        self._producer.produce(topic, sending.value, sending.key.encode(), on_delivery=acknowledged)
        self._producer.poll(0)


def _key_of(known: Input) -> str:
    """The business key that an event is of; rubbish has none."""
    return known.id.partition("-")[2] or f"@{known.topic}/{known.partition}/{known.offset}"
