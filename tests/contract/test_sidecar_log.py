"""What the sidecar relies on in a log, in memory and in Kafka: the fake that its routes are tested on does what the
real one does."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.commands import CancelRun, CompleteAttempt, RetryStep, SuspendAttempt
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.kafka.publication import publish
from streamflow.operations.plugin import Registration
from streamflow.ops.command_request import Answer
from streamflow.ops.jobs import Job, Target, added
from streamflow.ops.starts import request, started_before
from streamflow.settings import History, Settings, Topics
from streamflow.sidecar.job_runner import JobRunner
from streamflow.sidecar.kafka_log import KafkaLog
from streamflow.sidecar.log import Log, heard
from tests.integration.test_history import history_worker, wait_projected
from tests.integration.workers import make_bench
from tests.sidecar_log import CATALOG, REFUND, MemoryLog, contents

T = TypeVar("T")

Made = tuple[Settings, Callable[[], Log]]
NO_RUN = "00000000-main-0000000000000000abcd"


@pytest.fixture(
    scope="module", params=["memory", *(pytest.param(name, marks=pytest.mark.broker) for name in ("kafka", "history"))]
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Settings, and what makes a log in an event loop. The real ones have an engine behind them, and one a history
    store."""
    if request.param == "memory":
        settings = Settings(topics=Topics(partitions=2))
        one = MemoryLog(settings)
        yield settings, lambda: one
        return
    folder = tmp_path_factory.mktemp("sidecar-log")
    own = History(path=folder / "history.db")
    with make_bench(request.getfixturevalue("bootstrap"), folder, history=own) as bench:
        for name, version, content in contents():
            publish(bench.settings, name=name, version=version, content=content, events={})
        bench.wait_open(bench.worker())
        if request.param == "kafka":
            yield bench.settings, lambda: KafkaLog(bench.settings)
            return
        history_worker(bench)
        wait_projected(bench)
        yield bench.settings, lambda: KafkaLog(bench.settings, HistoryReader(bench.settings))


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


def test_a_version_is_published_once_and_retired_once(run: Run) -> None:
    async def story(log: Log) -> None:
        name = f"d{uuid.uuid4().hex[:8]}"
        definition = parse_definition(REFUND.replace("name: refund", f"name: {name}"))
        catalog = parse_catalog(CATALOG)

        done = await log.publish(definition, catalog)
        assert (done.already, (await log.publish(definition, catalog)).already) == (False, True)
        assert (name, "1") in (await log.definitions(fresh=True)).versions
        other = definition.model_copy(update={"title": "another one"})
        with pytest.raises(Rejected) as taken:
            await log.publish(other, catalog)
        assert taken.value.code == "version_taken"
        retired = await log.retire(name, "1")
        assert (retired.current, retired.already, (await log.retire(name, "1")).already) == (None, False, True)
        with pytest.raises(Rejected) as unknown:
            await log.retire(name, "9")
        assert unknown.value.code == "version_unknown"

    run(story)


def test_whoever_listens_hears_what_happens_until_it_stops(made: Made, run: Run) -> None:
    async def story(log: Log) -> None:
        loop, wanted, heard_of = asyncio.get_running_loop(), asyncio.Event(), list[str]()

        def take(one: Transition | OperationError) -> None:
            assert isinstance(one, Transition)
            heard_of.append(one.run)
            loop.call_soon_threadsafe(wanted.set)

        stop = await log.listen(take)
        started, _, _ = await begun(log)
        if isinstance(log, MemoryLog):
            log.tell(started)
        await asyncio.wait_for(wanted.wait(), 20)
        assert set(heard_of) == {started}
        stop()
        heard_of.clear()
        await begun(log)
        assert heard_of == []

    run(story)


def test_lag_and_workers_are_told(run: Run) -> None:
    async def story(log: Log) -> None:
        measured = await log.lag()
        lags = measured.partitions
        assert "engine" in {one.role for one in lags}
        assert all(one.seconds == 0 for one in lags if one.records == 0)
        assert set(measured.drains) == {(one.role, one.topic) for one in lags}
        _, members = await log.workers()
        assert members["engine"]

    run(story)


def test_a_run_starts_again_by_another_version_once(run: Run) -> None:
    async def story(log: Log) -> None:
        started, _, _ = await begun(log)
        version = uuid.uuid4().hex[:8]
        corrected = parse_definition(REFUND.replace('version: "1"', f'version: "{version}"'))
        await log.publish(corrected, parse_catalog(CATALOG))
        first = await log.restart(started, why="corrected", version=version)
        second = await log.restart(started, why="corrected", version=version)
        assert (first.already, second.already, second.run) == (False, True, first.run)

    run(story)


def test_a_job_is_done_once_by_one_of_several(made: Made, run: Run) -> None:
    async def story(log: Log) -> None:
        others = made[1]()
        runs = [(await begun(log))[0] for _ in range(3)]
        job = Job(
            id=uuid.uuid4().hex,
            action="cancel",
            filter={},
            reason="by mistake",
            who="kim",
            definitions=("refund",),
            created_ms=time.time_ns() // 1_000_000,
            total=len(runs),
        )
        targets = [Target(one, "") for one in runs]
        await asyncio.to_thread(log.jobs.write, lambda board, _now_ms: added(board, job, targets))
        try:
            await asyncio.gather(*[JobRunner(one, lambda _job, _target: None).work() for one in (log, others, log)])
            told = await asyncio.to_thread(others.jobs.read, lambda board: board.job(job.id))
            results = await asyncio.to_thread(others.jobs.read, lambda board: list(board.results(job.id)))
        finally:
            await others.close()

        assert told is not None
        assert (told.applied, told.done, told.ended_ms is not None) == (3, 3, True)
        assert [(one.run, one.outcome) for one in results] == [(one, "applied") for one in runs]
        for one in runs:
            assert [each.type for each in await log.history(one)].count("RunCancelled") == 1

    run(story)
