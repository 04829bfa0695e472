"""Somebody who follows `runs` from outside: which runs were begun and ended, when something moved in each partition,
and a person who answers approvals."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from streamflow.engine.commands import CancelRun, Decide
from streamflow.ids import partition_of_run
from streamflow.kafka.stalls import AssignedConsumer
from streamflow.wire.codec import encode_command
from streamflow_check.experiment import Input

ENDINGS = frozenset({"RunCompleted", "RunFailed", "RunCancelled"})


@dataclass
class Watcher:
    """Follows from a thread of its own until `stop`. `moments` are the broker's times of the transitions of each
    partition."""

    bootstrap: str
    prefix: str
    partitions: int
    seed: int | str
    started: set[tuple[str, str]] = field(default_factory=set)  # (definition, event id)
    open: set[str] = field(default_factory=set)
    stopping: set[str] = field(default_factory=set)  # also those that have ended since
    parked: set[str] = field(default_factory=set)
    moments: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    decided: list[Input] = field(default_factory=list)  # what the person has said, and the broker has
    _ended: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._consumer = AssignedConsumer(self._opened)
        self._consumer.assign([TopicPartition(f"{self.prefix}runs", number, 0) for number in range(self.partitions)])
        self._producer = Producer(
            {**self._common(), "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 1}
        )
        self._chosen = random.Random(f"person/{self.seed}")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "log_level": 0,
            "reconnect.backoff.max.ms": 500,
            "socket.timeout.ms": 5000,
        }

    def _opened(self) -> Consumer:
        return Consumer(
            {
                **self._common(),
                "group.id": "a-watcher",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._consumer.close()
        self._producer.flush(10)

    def stall_s(self, since_ms: float, until_ms: float) -> float:
        """The longest time without a transition in any one partition that touches this span, in seconds."""
        longest = 0
        for times in self.moments.values():
            ordered = sorted(times)
            if ordered[0] > since_ms:
                ordered.insert(0, int(since_ms))
            longest = max(
                (later - earlier for earlier, later in pairwise(ordered) if later > since_ms and earlier < until_ms),
                default=longest,
            )
        return longest / 1000

    def cancel(self, run: str, partitions: int) -> None:
        """Asks for the end of a run."""
        command = CancelRun(f"cancel-{uuid.uuid4().hex}", run, "what it waits for is lost")
        self._producer.produce(
            f"{self.prefix}commands", encode_command(command), partition=partition_of_run(run, partitions)
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._consumer.look(f"{self.prefix}runs")
            for message in self._consumer.consume(500, 0.05):
                if message.error() is None:
                    self._take(message)
            self._producer.poll(0)

    def _take(self, message: Message) -> None:
        headers: Any = message.headers() or []
        kind = next((value for name, value in headers if name == "ce_type"), b"").decode().removeprefix("streamflow.")
        self.moments[message.partition() or 0].append(message.timestamp()[1])
        if kind not in ("RunStarted", "RunStopping", "StepParked", "ApprovalRequested") and kind not in ENDINGS:
            return
        told = json.loads(message.value() or b"{}")
        run = told["run"]
        if kind in ENDINGS:
            self._ended.add(run)
            self.open.discard(run)
        elif kind == "RunStarted":
            self.started.add((told["definition"], told["data"]["event"]["id"]))
            if run not in self._ended:
                self.open.add(run)
        elif kind == "RunStopping":
            self.stopping.add(run)
        elif kind == "StepParked":
            self.parked.add(f"{run} {told.get('step')} {told['data']}")
        elif run not in self._asked:
            self._asked.add(run)
            self._answer(run, told["key"], told["step"])

    def _answer(self, run: str, key: str, step: str) -> None:
        """Seven in ten are answered, most of them at once, some twice."""
        chance = self._chosen.random()
        if chance > 0.7:
            return
        for _ in range(1 if chance > 0.1 else 2):
            command = Decide(
                id=f"decide-{uuid.uuid4().hex}",
                run=run,
                address=step,
                decision="approved" if chance < 0.45 else "rejected",
                by="boss",
            )

            def acknowledged(error: KafkaError | None, _: Message, id_: str = command.id) -> None:
                if error is None:
                    self.decided.append(Input(command=id_))

            self._producer.produce(
                f"{self.prefix}commands", encode_command(command), key.encode(), on_delivery=acknowledged
            )
