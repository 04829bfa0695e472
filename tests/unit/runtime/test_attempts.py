"""The attempts of a lane: bounded, limited, cancelled, left to others, and each answered once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamflow.core.offset_tracker import OffsetTracker
from streamflow.engine.commands import CompleteAttempt
from streamflow.engine.tasks import CancelTask, Task
from streamflow.runtime import attempts as module
from streamflow.runtime.attempts import Attempts, Held
from streamflow.wire.codec import encode_command
from streamflow.wire.lane_position import LanePosition

NOW_MS = 1_000_000


def a_task(name: str, **changes: Any) -> Task:
    values: dict[str, Any] = {"timeout_ms": 60_000, "queue_ms": 60_000} | changes
    return Task(
        id=f"{name}/s/1",
        idempotency_key=f"{name}/s",
        run=name,
        definition="order",
        version="1",
        key="k",
        step="s",
        attempt=1,
        operation="op",
        input={},
        **values,
    )


class Stage:
    """Attempts whose work ends when it is told to."""

    def __init__(self, in_flight: int = 2) -> None:
        self.log = OffsetTracker(LanePosition(0, "lane", "me"))
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.answers: list[tuple[Held, dict[str, Any]]] = []
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.stubborn = False
        self.second = asyncio.Event()  # a second one has started
        self.now_ms = NOW_MS
        self.attempts = Attempts("default", in_flight, self.perform, self.answer, lambda: None, lambda: self.now_ms, 1)

    async def perform(self, task: Task) -> tuple[CompleteAttempt, bytes]:
        self.started.append(task.run)
        if len(self.started) == 2:
            self.second.set()
        end = self.ends[task.run] = asyncio.get_running_loop().create_future()
        try:
            await end
        except asyncio.CancelledError:
            self.cancelled.append(task.run)
            if not self.stubborn:
                raise
            self.ends[task.run] = asyncio.get_running_loop().create_future()
            await self.ends[task.run]
        done = CompleteAttempt(id=f"{task.id}/completed", run=task.run, address=task.step, attempt=1, output=None)
        return done, encode_command(done)

    def answer(self, held: Held, value: bytes) -> None:
        self.answers.append((held, json.loads(value)))

    def take(self, *tasks: Task, age_ms: int = 0) -> None:
        for task in tasks:
            offset = self.log.next
            self.log.read(offset, None)
            self.attempts.take(task, self.log, 0, offset, self.now_ms - age_ms, 10)

    def reads(self) -> int:
        """The offset of a new record."""
        offset = self.log.next
        self.log.read(offset, None)
        return offset

    def cancel(self, task: Task) -> None:
        offset = self.log.next
        self.log.read(offset, None)
        self.attempts.cancel(CancelTask(task.id, task.key), self.log, offset)

    def acknowledge(self) -> None:
        for held, _ in self.answers:
            self.attempts.finish(held)

    async def end(self, *runs: str) -> None:
        for run in runs:
            self.ends[run].set_result(None)
            await turn()


async def turn() -> None:
    """Lets everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def staged(play: Callable[[Stage], Awaitable[None]], in_flight: int = 2) -> Stage:
    async def scenario() -> Stage:
        stage = Stage(in_flight)
        await play(stage)
        return stage

    return asyncio.run(scenario())


def test_as_many_run_as_may_and_the_next_starts_when_one_ends() -> None:
    async def play(stage: Stage) -> None:
        stage.take(*(a_task(f"r{number}") for number in range(3)))
        await turn()
        assert stage.started == ["r0", "r1"]
        assert stage.attempts.room() == 0
        await stage.end("r1")
        assert stage.started == ["r0", "r1", "r2"]
        assert stage.log.lowest == 0
        stage.acknowledge()
        assert stage.log.position().finished == ((1, 2),)
        assert stage.attempts.room() == 1
        await stage.end("r0", "r2")
        stage.acknowledge()
        assert stage.log.position() == LanePosition(3, "lane", "me", None, (), {"completed": 3})

    staged(play)


def test_a_place_is_held_until_the_broker_has_the_answer() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("r0"), a_task("r1"))
        await turn()
        await stage.end("r0", "r1")
        assert (stage.attempts.running, stage.attempts.room(), stage.log.lowest) == (0, 0, 0)
        roomy = asyncio.ensure_future(stage.attempts.wait_room())
        await turn()
        assert not roomy.done()
        stage.acknowledge()
        await asyncio.wait_for(roomy, 1)

    staged(play, in_flight=1)


def test_an_attempt_that_takes_too_long_is_answered_and_cancelled() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("r0", timeout_ms=5))
        await asyncio.wait_for(stage.attempts.wait_idle(), 5)
        ((_, answer),) = stage.answers
        assert (answer["kind"], answer["code"], answer["retryable"]) == ("FailAttempt", "attempt_timeout", True)
        assert stage.cancelled == ["r0"]
        stage.acknowledge()
        assert stage.log.counts == {"failed": 1}

    staged(play)


def test_an_operation_that_does_not_let_itself_be_cancelled_keeps_its_place_for_some_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.01)

    async def play(stage: Stage) -> None:
        stage.stubborn = True
        stage.take(a_task("r0", timeout_ms=5), a_task("r1"))
        await asyncio.wait_for(stage.second.wait(), 5)
        assert stage.cancelled == ["r0"]
        await stage.end("r0", "r1")  # what the first one says so late is of no interest
        assert [answer["kind"] for _, answer in stage.answers] == ["FailAttempt", "CompleteAttempt"]

    staged(play, in_flight=1)


def test_what_has_waited_too_long_is_answered_and_never_started() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("old", queue_ms=1000), age_ms=1001)
        stage.take(a_task("late", deadline_ms=NOW_MS), a_task("good", queue_ms=1000, deadline_ms=NOW_MS + 1))
        await turn()
        assert stage.started == ["good"]
        assert [(answer["code"], answer["retryable"]) for _, answer in stage.answers] == [
            ("queue_expired", False),
            ("deadline_passed", False),
        ]
        stage.acknowledge()
        assert stage.log.counts == {"expired": 2}
        await stage.end("good")

    staged(play)


def test_limits_are_looked_at_when_a_place_is_free() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("first"), a_task("second", queue_ms=1000))
        await turn()
        stage.now_ms += 1001
        await stage.end("first")
        assert stage.started == ["first"]
        assert stage.answers[-1][1]["code"] == "queue_expired"

    staged(play, in_flight=1)


def test_a_task_that_is_cancelled_before_its_start_never_starts() -> None:
    async def play(stage: Stage) -> None:
        first, second = a_task("first"), a_task("second")
        stage.take(first, second)
        stage.cancel(second)
        await turn()
        await stage.end("first")
        stage.acknowledge()
        assert stage.started == ["first"]
        assert stage.log.position() == LanePosition(
            3, "lane", "me", None, (), {"completed": 1, "cancelled": 1, "cancels": 1}
        )

    staged(play, in_flight=1)


def test_a_running_attempt_that_is_cancelled_ends_without_an_answer() -> None:
    async def play(stage: Stage) -> None:
        task = a_task("r0")
        stage.take(task)
        await turn()
        stage.cancel(task)
        assert stage.log.open == 2  # the request is finished with its task: a crash in between would begin both again
        await asyncio.wait_for(stage.attempts.wait_idle(), 1)
        assert (stage.cancelled, stage.answers) == (["r0"], [])
        assert stage.log.counts == {"cancelled": 1, "cancels": 1}

    staged(play)


def test_cancelling_what_is_unknown_or_has_answered_changes_nothing() -> None:
    async def play(stage: Stage) -> None:
        task = a_task("r0")
        stage.cancel(a_task("nobody"))
        stage.take(task)
        await turn()
        await stage.end("r0")
        stage.cancel(task)
        assert stage.log.open == 2
        stage.acknowledge()
        assert stage.log.counts == {"completed": 1, "cancels": 2}

    staged(play)


def test_a_partition_that_went_to_another_worker_is_left_to_it() -> None:
    async def play(stage: Stage) -> None:
        other = OffsetTracker(LanePosition(0, "lane", "me"))
        stage.take(a_task("running"), a_task("answered"), a_task("waiting"))
        other.read(0, None)
        await turn()
        await stage.end("answered")
        assert stage.started == ["running", "answered", "waiting"]
        stage.attempts.take(a_task("mine"), other, 1, 0, stage.now_ms, 10)
        stage.attempts.drop(stage.log)
        await turn()
        assert stage.cancelled == ["running", "waiting"]
        assert stage.started[-1] == "mine"
        stage.acknowledge()  # the answer of what had ended goes out all the same
        assert stage.log.counts == {}
        assert stage.attempts.held == 1
        await stage.end("mine")

    staged(play)


def test_nothing_starts_while_starting_is_held_back() -> None:
    async def play(stage: Stage) -> None:
        stage.attempts.hold()
        stage.take(a_task("r0"))
        await turn()
        assert stage.started == []
        stage.attempts.go()
        await turn()
        await stage.end("r0")
        assert stage.started == ["r0"]

    staged(play)


def test_what_is_abandoned_is_cancelled_and_not_finished() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("r0"), a_task("r1"), a_task("r2"))
        await turn()
        await asyncio.wait_for(stage.attempts.abandon(), 5)
        assert (sorted(stage.cancelled), stage.answers, stage.log.open) == (["r0", "r1"], [], 3)
        assert stage.started == ["r0", "r1"]

    staged(play)


def test_a_task_that_somebody_sends_twice_runs_once() -> None:
    async def play(stage: Stage) -> None:
        stage.take(a_task("r0"), a_task("r0"))
        await turn()
        await stage.end("r0")
        stage.acknowledge()
        assert stage.log.counts == {"completed": 1, "copies": 1}

    staged(play)


def test_the_bytes_of_held_tasks_are_given_back_however_many_there_were() -> None:
    async def play(stage: Stage) -> None:
        tasks = (a_task(f"r{number}") for number in range(100))
        for task in tasks:
            offset = stage.log.next
            stage.log.read(offset, None)
            stage.attempts.take(task, stage.log, 0, offset, stage.now_ms, module.HELD_BYTES // 2)
            stage.attempts.take(a_task(f"{task.run}-b"), stage.log, 0, stage.reads(), stage.now_ms, module.HELD_BYTES)
            assert stage.attempts.room() == 0
            await turn()
            await stage.end(task.run, f"{task.run}-b")
            stage.acknowledge()
            assert stage.attempts.room() > 0
        await asyncio.wait_for(stage.attempts.wait_room(), 1)

    staged(play)


def test_the_bytes_of_a_partition_that_is_given_away_are_given_back() -> None:
    async def play(stage: Stage) -> None:
        stage.attempts.take(a_task("r0"), stage.log, 0, stage.reads(), stage.now_ms, module.HELD_BYTES)
        stage.attempts.drop(stage.log)
        assert stage.attempts.room() > 0
        await turn()

    staged(play)
