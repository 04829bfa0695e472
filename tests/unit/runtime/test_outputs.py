"""Outputs: what happens when handing them to the producer is interrupted, as a rebalance does, and where tasks go."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.engine.commands import CancelRun, FailAttempt
from streamflow.engine.effects import PublishEvent, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import CancelTask, Task
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.runtime.outputs import Emitter, Names, Outputs
from streamflow.settings import Lane, Settings, Tasks, Topics
from streamflow.wire.codec import decode_command
from streamflow.wire.tasks import decode_task

NAMES = Names("commands", "runs", "dead-letters")


class SlowProducer:
    """Takes one batch, then none until `free` is set, as aiokafka's does while a partition has a batch on its way."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []  # partition and records of each batch
        self.busy = asyncio.Event()
        self.free = asyncio.Event()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(400, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        if self.taken:
            self.busy.set()
            await self.free.wait()
        self.taken.append((partition, batch.record_count()))
        return asyncio.get_running_loop().create_future()


def test_a_cancelled_send_keeps_what_the_producer_did_not_take() -> None:
    async def scenario() -> None:
        producer: Any = SlowProducer()
        settings = Settings(topics=Topics(partitions=4))
        outputs = Outputs(producer, producer, settings, NAMES, 0, "the-id")
        keys = [f"k{number}" for number in range(40)]
        for key in keys:
            outputs.append(CancelRun(f"c-{key}", "00000000-0"), key)
        sending = asyncio.create_task(outputs.send())
        await producer.busy.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        producer.free.set()
        await outputs.send()
        sent = {
            partition: sum(count for target, count in producer.taken if target == partition) for partition in range(4)
        }
        assert sent == {partition: sum(partition_of(key, 4) == partition for key in keys) for partition in range(4)}

    asyncio.run(scenario())


def a_task(number: int) -> Task:
    return Task(f"r{number}/s/1", f"r{number}/s", f"r{number}", "order", "1", "k", "s", 1, "pay", {}, 1000, 1000)


def test_tasks_go_to_their_lanes_and_say_where_they_were_decided() -> None:
    async def scenario() -> None:
        lanes = Tasks(lanes={"default": Lane(), "slow": Lane()})
        settings = Settings(topics=Topics(prefix="p.", partitions=4), tasks=lanes)
        outputs = Outputs(AnyProducer(), AnyProducer(), settings, NAMES, 3, "the-id")  # type: ignore[arg-type]
        effects = (
            SendTask("slow", a_task(1)),
            SendTask("default", a_task(2)),
            SendTask("unknown", a_task(3)),
            SendTask("slow", CancelTask("r1/s/1", "k")),
        )
        decision = Decision("applied", "", [], list(effects), {})
        outputs.add(decision, ARecord(17), None)
        queued = {(place.topic, place.partition): records for place, records in outputs._queued.items()}
        assert {place: [headers for _, _, headers in records] for place, records in queued.items()} == {
            ("p.tasks.slow", 3): [[("source", b"the-id/17/0")], [("source", b"the-id/17/3")]],
            ("p.tasks.default", 3): [[("source", b"the-id/17/1")]],
            ("commands", 3): [[]],
        }
        assert [decode_task(value or b"") for _, value, _ in queued["p.tasks.slow", 3]] == [
            a_task(1),
            CancelTask("r1/s/1", "k"),
        ]
        ((_, refusal, _),) = queued["commands", 3]
        failed = decode_command(refusal or b"")
        assert isinstance(failed, FailAttempt)
        assert (failed.run, failed.code, failed.retryable) == ("r3", "lane_unknown", True)

    asyncio.run(scenario())


class AnyProducer:
    """Is asked for nothing."""


class ARecord(NamedTuple):
    offset: int


class Letters:
    """A producer that keeps what it is given and acknowledges it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []

    async def send(self, topic: str, _value: bytes, *, key: bytes | None, headers: list[tuple[str, bytes]]) -> Any:
        self.sent.append((topic, {name: value.decode() for name, value in headers}))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def stop(self) -> None:
        pass


def test_an_event_that_goes_nowhere_becomes_a_dead_letter_that_says_why() -> None:
    def target(event: str) -> str:
        raise Rejected("event_unbound", f"The event {event} is bound to no topic here.")

    async def scenario() -> None:
        letters: Any = Letters()
        users: Any = Letters()
        emitter = Emitter(letters, users, NAMES, target)
        await emitter.emit(PublishEvent("k1", "r/2", "told", 5, {"a": 1}, "order", "r", None))
        await emitter.close()
        assert users.sent == []
        ((topic, headers),) = letters.sent
        assert topic == "dead-letters"
        facts = {name: headers[f"streamflow.dlq.{name}"] for name in ("reason", "message", "run", "event", "topic")}
        assert facts == {
            "reason": "undeliverable",
            "message": "The event told is bound to no topic here.",
            "run": "r",
            "event": "told",
            "topic": "",
        }

    asyncio.run(scenario())
