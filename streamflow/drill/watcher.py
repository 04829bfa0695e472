"""An observer of `runs`: which runs were begun and ended, when something moved in each partition,
and a person who answers approvals."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from streamflow.engine.commands import Decide
from streamflow.engine.transitions import (
    ApprovalRequested,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StepParked,
    Transition,
)
from streamflow.kafka.connection import confluent_config, confluent_producer_config
from streamflow.kafka.stalls import AssignedConsumer
from streamflow.kafka.topics import COMMANDS, RUNS, topic_name
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.transitions import decode_transition
from streamflow_check.experiment import Input

_ENDINGS = (RunCompleted, RunFailed, RunCancelled)


@dataclass
class Watcher:
    """Follows in its own thread until `stop`.

    `moments` are when new transitions of each partition were seen (monotonic seconds), `decided` what the person has
    said and the broker has."""

    settings: Settings
    seed: int
    started: set[tuple[str, str]] = field(default_factory=set)  # (definition, event id)
    open: set[str] = field(default_factory=set)
    ended: int = 0
    parked: set[str] = field(default_factory=set)
    moments: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    decided: list[Input] = field(default_factory=list)
    _seqs: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        quiet = {"reconnect.backoff.max.ms": 500}
        self._producer = Producer(
            confluent_producer_config(self.settings, "drill", on_error=_heard) | quiet | {"linger.ms": 1}
        )
        config = confluent_config(self.settings, "drill", on_error=_heard) | quiet
        # The group is never joined.
        config |= {
            "group.id": f"{self.settings.topics.prefix}drill",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
        self._consumer = AssignedConsumer(lambda: Consumer(config))
        runs = topic_name(self.settings, RUNS)
        self._consumer.assign([TopicPartition(runs, number, 0) for number in range(self.settings.topics.partitions)])
        self._chosen = random.Random(f"person/{self.seed}")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watcher")
        self._thread.start()

    def stop(self) -> None:
        """Harmless when stopped."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._thread.join()
            self._consumer.close()
            self._producer.flush(5)

    def standstill_s(self, since: float, until: float) -> float:
        """The longest time, in seconds, without a transition in any one partition, of those that ended in this span
        (monotonic seconds)."""
        return longest_gap_s((list(times) for times in list(self.moments.values())), since, until)

    def quiet_s(self) -> float:
        """Seconds since something moved in the partition where that is longest ago; 0 when nothing is open."""
        if not self.open:
            return 0.0
        return time.monotonic() - min(
            (times[-1] for times in list(self.moments.values()) if times), default=time.monotonic()
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._consumer.look(topic_name(self.settings, RUNS))
            for message in self._consumer.consume(1000, 0.05):
                if message.error() is None:
                    self._take(message)
            self._producer.poll(0)

    def _take(self, message: Message) -> None:
        headers: Any = message.headers() or ()
        try:
            transition = decode_transition(message.value() or b"", headers)
        except DecodeError:
            return  # the checker reports it
        if transition.seq <= self._seqs.get(transition.run, 0):
            return
        self._seqs[transition.run] = transition.seq
        self.moments[message.partition() or 0].append(time.monotonic())
        data = transition.data
        if isinstance(data, RunStarted):
            self.open.add(transition.run)
            self.started.add((transition.definition, data.event.id))
        elif isinstance(data, _ENDINGS):
            self.open.discard(transition.run)
            self.ended += 1
        elif isinstance(data, StepParked):
            self.parked.add(f"{transition.run} at {transition.step}")
        elif isinstance(data, ApprovalRequested):
            self._answer(transition)

    def _answer(self, asked: Transition) -> None:
        """Seven in ten are answered, one in ten twice."""
        chance = self._chosen.random()
        if chance > 0.7:
            return
        for _ in range(2 if chance < 0.1 else 1):
            command = Decide(
                id=f"decide/{uuid.uuid4()}",
                run=asked.run,
                address=asked.step or "",
                decision="approved" if chance < 0.45 else "rejected",
                by="drill",
            )

            def acknowledged(error: KafkaError | None, _: Message, id_: str = command.id) -> None:
                if error is None:
                    self.decided.append(Input(command=id_))

            self._producer.produce(
                topic_name(self.settings, COMMANDS),
                encode_command(command),
                asked.key.encode(),
                on_delivery=acknowledged,
            )


def longest_gap_s(lists: Iterable[Sequence[float]], since: float, until: float) -> float:
    """The longest time between two neighbours in any of the ordered lists, of which the later one lies in this span."""
    return max(
        (later - earlier for times in lists for earlier, later in pairwise(times) if since < later <= until),
        default=0.0,
    )


def _heard(error: KafkaError) -> None:
    """A broker that goes away is what is being drilled; the client comes back by itself."""
