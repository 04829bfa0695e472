"""The life of a session: its jobs, its end in order or by an error, and the next one after a back-off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

import pytest
import structlog
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from streamflow.errors import OperationError
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.runtime import consumer_session
from streamflow.runtime.consumer_session import ConsumerSession, serve_sessions, within
from tests.unit.metrics.test_collector import exposed


class Client:
    """A consumer or producer that does nothing."""

    _coordinator: Any = None

    def __init__(self, told: list[str], name: str) -> None:
        self._told = told
        self._name = name

    async def start(self) -> None:
        self._told.append(f"{self._name} starts")

    async def stop(self) -> None:
        self._told.append(f"{self._name} stops")


class Session(ConsumerSession):
    """Tells what it is asked to do; its job goes on until `end` is set."""

    def __init__(
        self, told: list[str], end: asyncio.Future[None] | None = None, fails_to_give_up: bool = False
    ) -> None:
        self.measured = ProcessMetrics(Process.INGRESS)
        log, nothing = structlog.get_logger(), dict[str, Any]()
        super().__init__(
            {}, "group", None, 10, log, metrics=self.measured, consumer_options=nothing, producer_options=nothing
        )
        self.told = told
        self.end = end or asyncio.get_running_loop().create_future()
        self.fails_to_give_up = fails_to_give_up

    async def begin(self) -> None:
        self.told.append("begin")

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._work(),)

    async def _work(self) -> None:
        try:
            await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.told.append("job cancelled")
            raise

    async def give_up(self) -> None:
        self.told.append("give up")
        if self.fails_to_give_up:
            raise KafkaConnectionError

    async def take_up(self, assigned: Sequence[TopicPartition]) -> None:
        self.told.append(f"take up {len(assigned)}")

    async def finish(self) -> None:
        self.told.append("finish")

    def interrupted(self) -> None:
        self.told.append("interrupted")


class Group:
    told: ClassVar[list[str]] = []

    def __init__(self, *args: Any) -> None:
        self.args = args

    def check(self) -> None:
        """All is well."""

    async def close(self) -> None:
        Group.told.append("leaves")


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    Group.told = found
    monkeypatch.setattr(consumer_session, "Membership", Group)
    monkeypatch.setattr(consumer_session, "AIOKafkaConsumer", lambda **options: Client(found, "consumer"))
    monkeypatch.setattr(consumer_session, "AIOKafkaProducer", lambda **options: Client(found, "producer"))

    async def stop(client: Client) -> None:
        await client.stop()

    monkeypatch.setattr(consumer_session, "stop_consumer", stop)
    monkeypatch.setattr(consumer_session, "stop_producer", stop)
    return found


BEGIN = ["producer starts", "consumer starts", "begin"]
END = ["consumer stops", "producer stops"]


def test_a_session_that_is_stopped_finishes_its_work_before_its_jobs_end_and_leaves_the_group(told: list[str]) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.ensure_future(Session(told).run(stop))
        await asyncio.sleep(0)
        stop.set()
        await running

    asyncio.run(scenario())
    assert told == [*BEGIN, "finish", "interrupted", "job cancelled", "leaves", *END]


def test_a_job_that_fails_ends_the_session_which_neither_finishes_nor_leaves(told: list[str]) -> None:
    async def scenario() -> None:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        end.set_exception(KafkaConnectionError())
        await Session(told, end).run(asyncio.Event())

    with pytest.raises(KafkaConnectionError):
        asyncio.run(scenario())
    assert told == [*BEGIN, "interrupted", *END]


def test_a_failed_revocation_ends_the_session_although_the_client_only_logs_it(told: list[str]) -> None:
    async def scenario() -> None:
        session = Session(told, fails_to_give_up=True)
        running = asyncio.ensure_future(session.run(asyncio.Event()))
        await asyncio.sleep(0)
        await session.on_partitions_assigned([TopicPartition("t", 0)])
        with pytest.raises(KafkaConnectionError):
            await session.on_partitions_revoked([])
        await running

    with pytest.raises(KafkaConnectionError):
        asyncio.run(scenario())
    assert told == [*BEGIN, "take up 1", "give up", "interrupted", "job cancelled", *END]


def test_assignments_are_counted(told: list[str]) -> None:
    async def scenario() -> ProcessMetrics:
        session = Session(told)
        for _ in range(2):
            await session.on_partitions_assigned([])
            await session.on_partitions_revoked([])
        return session.measured

    assert exposed(asyncio.run(scenario()))["streamflow_rebalances_total"] == {(): 2}


def test_a_rebalance_that_is_cancelled_ends_the_session_as_an_error(told: list[str]) -> None:
    async def scenario() -> None:
        session = Session(told)
        running = asyncio.ensure_future(session.run(asyncio.Event()))
        await asyncio.sleep(0)
        session.fail(asyncio.CancelledError())
        await running

    with pytest.raises(OperationError) as caught:
        asyncio.run(scenario())
    assert caught.value.code == "rebalance_cut"


class Failing:
    def __init__(self, outcomes: list[tuple[bool, BaseException | None]], stop: asyncio.Event) -> None:
        self.worked, self._error = outcomes.pop(0)
        self._last = not outcomes
        self._stop = stop

    async def run(self, stop: asyncio.Event) -> None:
        if self._last:
            self._stop.set()
        if self._error is not None:
            raise self._error


def test_sessions_follow_each_other_with_a_back_off_that_work_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def no_wait(seconds: float, work: Any) -> bool:
        work.close()
        return True

    monkeypatch.setattr(consumer_session, "within", no_wait)

    async def scenario() -> None:
        stop = asyncio.Event()
        broken = KafkaConnectionError()
        outcomes: list[tuple[bool, BaseException | None]] = [
            *((False, broken) for _ in range(7)),
            (True, broken),
            (False, None),
        ]
        await serve_sessions(lambda: Failing(outcomes, stop), stop, lambda error, again_s: waits.append(again_s))

    asyncio.run(scenario())
    assert waits == [0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 0.2]


def test_a_defect_is_not_tried_again() -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        outcomes: list[tuple[bool, BaseException | None]] = [(False, ZeroDivisionError()), (False, None)]
        await serve_sessions(lambda: Failing(outcomes, stop), stop, lambda error, again_s: None)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())


def test_waiting_ends_after_its_time() -> None:
    async def scenario() -> tuple[bool, bool]:
        return await within(0.01, asyncio.Event().wait()), await within(10, asyncio.sleep(0))

    assert asyncio.run(scenario()) == (False, True)
