"""What the sidecar relies on in a log, in memory and in Kafka: the fake that its routes are tested on does what the
real one does."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from streamflow.engine.commands import CancelRun, CompleteAttempt, RetryStep, SuspendAttempt
from streamflow.errors import Rejected
from streamflow.kafka.publication import publish
from streamflow.operations.plugin import Registration
from streamflow.ops.requests import Answer
from streamflow.ops.starts import request, started_before
from streamflow.settings import Settings, Topics
from streamflow.sidecar.log import KafkaLog, Log, heard
from tests.integration.workers import make_bench
from tests.sidecar_log import MemoryLog, contents

T = TypeVar("T")

Made = tuple[Settings, Callable[[], Log]]
NO_RUN = "00000000-main-0000000000000000abcd"


@pytest.fixture(scope="module", params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Settings, and what makes a log in an event loop. The real one has an engine behind it."""
    if request.param == "memory":
        settings = Settings(topics=Topics(partitions=2))
        one = MemoryLog(settings)
        yield settings, lambda: one
        return
    with make_bench(request.getfixturevalue("bootstrap"), tmp_path_factory.mktemp("sidecar-log")) as bench:
        for name, version, content in contents():
            publish(bench.settings, name=name, version=version, content=content, events={})
        bench.wait_open(bench.worker())
        yield bench.settings, lambda: KafkaLog(bench.settings)


@pytest.fixture
def run(made: Made) -> Callable[[Callable[[Log], Coroutine[Any, Any, T]]], T]:
    """Runs one story on the log."""

    def told(story: Callable[[Log], Coroutine[Any, Any, T]]) -> T:
        async def whole() -> T:
            log = made[1]()
            try:
                return await story(log)
            finally:
                await log.close()

        return asyncio.run(whole())

    return told


Run = Callable[[Callable[[Log], Coroutine[Any, Any, Any]]], Any]


async def begun(
    log: Log, definition: str = "refund", key: str | None = None, id: str | None = None
) -> tuple[str, str, Answer]:
    """A run that has begun: its id, the id of its command, and the answer."""
    found = request(await log.definitions(), definition, key=key or f"K-{uuid.uuid4()}", data={"amount": 5}, id=id)
    started = await log.start(found)
    answer = await heard(started.answer, 20)
    assert answer is not None
    return started.run, found.command.id, answer


def test_a_start_is_answered_by_what_it_did(run: Run) -> None:
    async def story(log: Log) -> None:
        started, command, answer = await begun(log)

        assert [one.type for one in answer.transitions] == ["RunStarted", "ApprovalRequested"]
        assert {one.cause for one in answer.transitions} == {command}
        assert await log.history(started) == list(answer.transitions)

    run(story)


def test_an_answer_is_there_for_whoever_comes_later(run: Run) -> None:
    async def story(log: Log) -> None:
        _, command, answer = await begun(log)

        assert await heard(await log.expect(command), 5) == answer

    run(story)


def test_a_refusal_is_raised_with_the_engines_own_code(run: Run) -> None:
    async def story(log: Log) -> None:
        for command, code in (
            (CancelRun(f"c/{uuid.uuid4()}", NO_RUN), "run_unknown"),
            (RetryStep(f"c/{uuid.uuid4()}", (await begun(log))[0], "ask"), "not_parked"),
        ):
            answer = await log.ask(command)
            with pytest.raises(Rejected) as caught:
                await heard(answer, 20)
            assert caught.value.code == code

    run(story)


def test_a_second_result_of_an_attempt_is_answered_by_nothing(run: Run) -> None:
    async def story(log: Log) -> None:
        started, _, _ = await begun(log, "survey")
        suspended = SuspendAttempt(id=f"s/{uuid.uuid4()}", run=started, address="question", attempt=1, for_ms=60_000)
        await log.ask(suspended)
        answers = [
            await log.ask(
                CompleteAttempt(
                    id=f"c/{uuid.uuid4()}", run=started, address="question", attempt=1, output={"answer": number}
                )
            )
            for number in (1, 2)
        ]
        first = await heard(answers[0], 20)

        assert first is not None
        assert [one.type for one in first.transitions] == ["AttemptSucceeded", "RunCompleted"]
        assert await heard(answers[1], 0.2) is None
        assert (await log.history(started))[-1].data.output == {"answer": 1}

    run(story)


def test_the_same_start_twice_is_one_run(run: Run) -> None:
    async def story(log: Log) -> None:
        first, _, _ = await begun(log, key="twice", id=f"mine-{time.time_ns()}")
        found = request(
            await log.definitions(),
            "refund",
            key="twice",
            data={"amount": 5},
            id=(await log.history(first))[0].cause.removeprefix("request/"),
        )
        again = await log.start(found)

        try:  # who asked before is given the first answer again
            answer = await heard(again.answer, 20)
            assert answer is not None
            served = answer.transitions[0].run
        except Rejected as error:
            served = started_before(error)
        assert served == first
        cancelled = await heard(await log.ask(CancelRun(f"c/{uuid.uuid4()}", first)), 20)
        assert cancelled is not None
        assert [one.seq for one in await log.history(first)] == [1, 2, 3]

    run(story)


def test_approvals_open_and_close(run: Run) -> None:
    async def story(log: Log) -> None:
        before = {one.run for one in await log.approvals()}
        started, _, _ = await begun(log)
        (opened,) = [one for one in await log.approvals() if one.run not in before]

        assert (opened.run, opened.step, opened.who, opened.text) == (
            started,
            "ask",
            ("alice", "managers"),
            "Pay 5 back?",
        )
        await heard(await log.ask(CancelRun(f"c/{uuid.uuid4()}", started)), 20)
        assert started not in {one.run for one in await log.approvals()}

    run(story)


def test_what_is_no_run_id_is_refused_before_anything_is_asked(run: Run) -> None:
    async def story(log: Log) -> None:
        for asked in (log.history("nonsense"), log.ask(CancelRun("c", "nonsense"))):
            with pytest.raises(Rejected) as caught:
                await asked
            assert caught.value.code == "no_run_id"
        assert await log.history(NO_RUN) == []

    run(story)


def test_plugins_are_registered_once_and_removed_once(run: Run) -> None:
    plugin = Registration.model_validate(
        {"spec": {"name": "fraud.score"}, "plugin": {"endpoint": "http://127.0.0.1:9/score", "secret": "shipping"}}
    )
    another = Registration.model_validate(
        {"spec": {"name": "fraud.score"}, "plugin": {"endpoint": "http://127.0.0.1:9/other", "secret": "shipping"}}
    )

    async def story(log: Log) -> None:
        assert await log.register(plugin, replace=False) is not None
        assert await log.register(plugin, replace=False) is None
        with pytest.raises(Rejected) as caught:
            await log.register(another, replace=False)
        assert caught.value.code == "operation_registered"
        assert await log.register(another, replace=True) is not None
        assert "fraud.score" in (await log.definitions(fresh=True)).operations
        assert [one["source"] for one in await log.operations() if one["name"] == "fraud.score"] == ["plugin"]
        await log.remove("fraud.score")
        with pytest.raises(Rejected) as caught:
            await log.remove("fraud.score")
        assert caught.value.code == "operation_unknown"

    run(story)
