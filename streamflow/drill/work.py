"""The events of a drill: drawn from its seed, with duplicates and disorder, sent at a rate, and written down when the
broker has them."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.drill.definitions import PAID, PARENT, PLACED, SIGNED, STARTED
from streamflow.kafka.connection import confluent_producer_config
from streamflow.settings import Settings
from streamflow_check.experiment import Input

EVENTS_PER_ORDER = 3.4  # placed, paid, mostly signed, and those that come again
LATEST_S = 6.0  # how long after its order the last event of an order may come
_RUBBISH = b"{rubbish"
_FLUSH_S = 60.0


@dataclass(frozen=True, order=True)
class Sending:
    """One record, to be sent `at_s` seconds after the beginning, and what is to come of it."""

    at_s: float
    topic: str
    key: str
    value: bytes
    id: str = ""
    starts: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    dead: bool = False
    ignored: bool = False


def drawn(seed: int, orders_per_s: float) -> Iterator[list[Sending]]:
    """Without end: the records of one order after the other. Some come out of order, some twice or three times; among
    them are rubbish and what concerns nobody."""
    chosen = random.Random(f"work/{seed}")
    for number in itertools.count():
        key, at_s = f"order-{number}", number / orders_per_s
        amount = chosen.randrange(1, 100)
        parcels = [f"parcel-{place}" for place in range(chosen.choice((0, 1, 1, 2, 3)))]
        starts = (*STARTED, PARENT) if amount % 3 == 0 else STARTED
        found = list(_event(chosen, at_s, PLACED, key, {"amount": amount, "parcels": parcels}, starts=starts))
        found += _event(chosen, at_s + chosen.uniform(-0.2, 0.8), PAID, key, {"amount": amount}, takes=("drill-order",))
        if chosen.random() < 0.6:
            found += _event(chosen, at_s + chosen.uniform(-0.2, 0.2), SIGNED, key, {}, takes=("drill-limit",))
        if chosen.random() < 0.02:
            found.append(Sending(at_s, chosen.choice((PLACED, PAID)), key, _RUBBISH, dead=True))
        if chosen.random() < 0.05:
            found.append(
                Sending(
                    at_s,
                    PLACED,
                    key,
                    json.dumps({"type": "other", "id": f"other-{key}", "order": key}).encode(),
                    ignored=True,
                )
            )
        yield found


def _event(
    chosen: random.Random,
    at_s: float,
    topic: str,
    key: str,
    data: dict[str, object],
    starts: tuple[str, ...] = (),
    takes: tuple[str, ...] = (),
) -> Iterator[Sending]:
    id_ = f"{topic}-{key}"
    value = json.dumps({"type": topic, "id": id_, "order": key, **data}).encode()
    yield Sending(at_s, topic, key, value, id_, starts, takes)
    for _ in range(chosen.choice((0, 0, 0, 0, 0, 1, 2))):
        yield Sending(at_s + min(LATEST_S - 1, chosen.expovariate(1.0)), topic, key, value, id_, starts, takes)


@dataclass
class Sender:
    """Sends in its own thread until `finish`, which still sends all events of the orders that were begun.

    `inputs` is what the broker has acknowledged, `failed` what it has not; `error` what ended the thread."""

    settings: Settings
    seed: int
    rate: float  # events a second
    inputs: list[Input] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    # (definition, event id) of the runs that acknowledged events start
    wanted: set[tuple[str, str]] = field(default_factory=set)
    error: Exception | None = None

    def __post_init__(self) -> None:
        config = confluent_producer_config(self.settings, "drill", on_error=_heard)
        self._producer = Producer(
            config | {"linger.ms": 1, "message.timeout.ms": 120_000, "reconnect.backoff.max.ms": 500}
        )
        self._finished, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="sender")

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Begins no more orders. Returns at once."""
        self._finished.set()

    def give_up(self) -> None:
        """Sends nothing more."""
        self._finished.set()
        self._given_up.set()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._send_all()
        except (KafkaException, BufferError) as error:
            self.error = error

    def _send_all(self) -> None:
        began, per_s = time.monotonic(), self.rate / EVENTS_PER_ORDER
        waiting: list[Sending] = []
        for number, order in enumerate(drawn(self.seed, per_s)):
            if self._finished.is_set():
                break
            for sending in order:
                heapq.heappush(waiting, sending)
            # what the next order may bring comes at most that much ahead of it
            self._due(waiting, began, (number + 1) / per_s - 1)
        self._due(waiting, began, float("inf"))
        deadline = time.monotonic() + _FLUSH_S
        while self._producer.flush(0.2) and time.monotonic() < deadline and not self._given_up.is_set():
            pass

    def _due(self, waiting: list[Sending], began: float, until_s: float) -> None:
        while waiting and waiting[0].at_s <= until_s and not self._given_up.is_set():
            left = began + waiting[0].at_s - time.monotonic()
            if left > 0:
                self._producer.poll(min(left, 0.02))
            else:
                self._send(heapq.heappop(waiting))

    def _send(self, sending: Sending) -> None:
        topic = f"{self.settings.topics.prefix}{sending.topic}"

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(f"{topic} {sending.id}: {error.str()}")
                return
            partition, offset = message.partition() or 0, message.offset() or 0
            self.inputs.append(
                Input(
                    topic, partition, offset, sending.id, sending.starts, sending.takes, sending.dead, sending.ignored
                )
            )
            self.wanted.update((definition, sending.id) for definition in sending.starts)

        self._producer.produce(topic, sending.value, sending.key.encode(), on_delivery=acknowledged)
        self._producer.poll(0)


def _heard(error: KafkaError) -> None:
    """A broker that goes away is what is being drilled; what is not delivered is reported by the deliveries."""
