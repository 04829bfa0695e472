"""A lane between its connections: a task is finished when the broker has its answer, and a commit that failed is made
again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from aiokafka.errors import CommitFailedError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from streamflow.engine.commands import CompleteAttempt, FailAttempt
from streamflow.engine.tasks import Task
from streamflow.runtime.lane import Lane
from streamflow.runtime.lane_session import LaneSession
from streamflow.settings import Kafka, Settings
from streamflow.wire.codec import decode_command, encode_command
from streamflow.wire.tasks import encode_task
from tests.hostile_records import HEADERS, KEYS, VALUES

SETTINGS = Settings(kafka=Kafka(bootstrap_servers="localhost:1"))


class Record(NamedTuple):
    offset: int
    value: bytes
    timestamp: int = 10**15
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "tasks"
    partition: int = 0
    key: bytes | None = None


class TaskExecutor:
    async def perform(self, task: Task) -> tuple[CompleteAttempt, bytes]:
        answer = CompleteAttempt(id=f"{task.id}/completed", run=task.run, address=task.step, attempt=1, output=None)
        return answer, encode_command(answer)


class Acked(NamedTuple):
    timestamp: int


class Producer:
    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Acked]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(100_000, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Acked]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


class Group:
    """A membership whose commits may fail."""

    def __init__(self, *failures: bool) -> None:
        self.failures = list(failures)
        self.commits: list[dict[TopicPartition, tuple[int, str]]] = []

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.commits.append(dict(positions))
        if self.failures and self.failures.pop(0):
            raise CommitFailedError


def a_lane() -> Lane:
    executor: Any = TaskExecutor()
    lane = Lane(SETTINGS, "default", executor)
    lane.open({}, {0: 5}, "lane-id")
    return lane


def a_record(offset: int) -> Record:
    task = Task(
        id=f"r{offset}/s/1",
        idempotency_key=f"r{offset}/s",
        run=f"r{offset}",
        definition="order",
        version="1",
        key="k",
        step="s",
        attempt=1,
        operation="op",
        input={},
        timeout_ms=60_000,
        queue_ms=10**16,
    )
    return Record(offset, encode_task(task))


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_task_is_finished_when_the_broker_has_its_answer_and_not_before() -> None:
    async def scenario() -> None:
        lane, sending = a_lane(), Producer()
        producer: Any = sending
        lane.take(0, [a_record(5)])
        await turn()
        assert lane.attempts.running == 0
        assert lane.logs[0].lowest == 5  # it has ended, and its answer is queued
        serving = asyncio.ensure_future(lane.answers.serve(producer))
        await turn()
        assert lane.logs[0].lowest == 5  # it is sent
        sending.sent[0].set_result(Acked(1))
        await turn()
        assert lane.logs[0].lowest == 6
        assert lane.logs[0].counts == {"completed": 1}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await lane.close()

    asyncio.run(scenario())


def test_records_that_are_no_tasks_are_dead_letters_and_the_lane_goes_on() -> None:
    strange = [
        Record(5 + number, value, headers=headers, key=key)  # type: ignore[arg-type]
        for number, (value, key, headers) in enumerate(
            [
                *((value, b"k", ()) for value in VALUES.values()),
                *((b"no task", key, ()) for key in KEYS.values()),
                *((b"no task", b"k", headers) for headers in HEADERS.values()),
            ]
        )
    ]

    async def scenario() -> None:
        lane, sending = a_lane(), Producer()
        producer: Any = sending
        lane.take(0, [*strange, a_record(5 + len(strange))])
        serving = asyncio.ensure_future(lane.answers.serve(producer))
        while lane.logs[0].lowest < 6 + len(strange):
            await turn()
            for sent in sending.sent:
                if not sent.done():
                    sent.set_result(Acked(1))
        assert lane.logs[0].counts == {"unreadable": len(strange), "completed": 1}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await lane.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("broken", ["operation", "timeout_ms", "definition"])
def test_an_unreadable_task_that_names_its_attempt_is_answered_as_failed(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        lane, sending = a_lane(), Producer()
        producer: Any = sending
        answers: list[tuple[str, bytes]] = []
        add = lane.answers.add

        def noted(partition: int, key: str, value: bytes, done: Any) -> None:
            answers.append((key, value))
            add(partition, key, value, done)

        monkeypatch.setattr(lane.answers, "add", noted)
        task = msgspec.json.decode(a_record(5).value) | {broken: ["s3cret"]}
        lane.take(0, [Record(5, msgspec.json.encode(task))])
        serving = asyncio.ensure_future(lane.answers.serve(producer))
        await turn()
        assert answers == []  # first the dead letter
        sending.sent[0].set_result(Acked(1))
        await turn()
        assert lane.logs[0].lowest == 5  # the answer is sent, and not acknowledged
        sending.sent[1].set_result(Acked(1))
        await turn()
        assert lane.logs[0].lowest == 6
        ((key, value),) = answers
        failed = decode_command(value)
        assert isinstance(failed, FailAttempt)
        assert (key, failed.run, failed.address, failed.attempt) == ("k", "r5", "s", 1)
        assert (failed.id, failed.code, failed.retryable) == ("r5/s/1/failed", "bad_task", True)
        assert f"$.{broken}" in failed.message
        assert "s3cret" not in failed.message
        assert lane.logs[0].counts == {"unreadable": 1}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await lane.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [-(1 << 62), 1 << 62])
def test_numbers_that_no_engine_writes_stop_no_lane(number: int) -> None:
    async def scenario() -> None:
        lane, sending = a_lane(), Producer()
        producer: Any = sending
        names = ("attempt", "timeout_ms", "queue_ms", "deadline_ms", "item")
        tasks = [msgspec.json.decode(a_record(5 + at).value) | {name: number} for at, name in enumerate(names)]
        lane.take(0, [Record(5 + at, msgspec.json.encode(task)) for at, task in enumerate(tasks)])
        lane.take(0, [a_record(10)])
        serving = asyncio.ensure_future(lane.answers.serve(producer))
        while lane.logs[0].lowest < 11:
            await turn()
            for sent in sending.sent:
                if not sent.done():
                    sent.set_result(Acked(1))
        assert not serving.done()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await lane.close()

    asyncio.run(scenario())


def test_a_commit_that_failed_is_made_again_also_without_anything_new() -> None:
    async def scenario() -> list[dict[TopicPartition, tuple[int, str]]]:
        lane = a_lane()
        session = LaneSession(lane)
        group = Group(False, True)
        session.membership = cast(Any, group)
        await session._commit()  # where reading began
        lane.logs[0].read(5, None)
        lane.logs[0].counts["completed"] += 1
        lane.logs[0].changed = True
        with pytest.raises(CommitFailedError):
            await session._commit()
        await session._commit()
        await session._commit()
        await lane.close()
        await session.consumer.stop()
        await session.producer.stop()
        return group.commits

    began, failed, again = asyncio.run(scenario())
    assert failed == again != began
