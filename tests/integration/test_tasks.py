"""Task workers against a real broker: what becomes of tasks that are put into a lane by hand, whatever happens to the
worker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streamflow.engine.tasks import CancelTask, Task
from streamflow.ids import partition_of
from streamflow.kafka.publication import read_log
from streamflow.ops.lag import measure_lag
from streamflow.ops.lag_rows import totals
from streamflow.settings import Lane
from streamflow.wire.tasks import Source
from tests.integration.forked import altered
from tests.integration.lanes import TOPIC_ID, LaneBench, lanes, ledger, make_lanes
from tests.integration.workers import complaints, now_ms
from tests.proof.ledger import Ledger

__all__ = ["lanes", "ledger"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

QUICK = Lane(session_timeout_s=6)


def posts(
    bench: LaneBench, ledger: Ledger, number: int, *, path: str = "x", keys: int = 7, **changes: Any
) -> list[Task]:
    """Tasks that each call the ledger once."""
    return [
        bench.task(
            f"k{nth % keys}", operation="http.request", input={"url": f"{ledger.url}/{path}", "json": {}}, **changes
        )
        for nth in range(number)
    ]


def test_tasks_are_answered_and_their_offsets_committed(lanes: LaneBench) -> None:
    worker = lanes.task_worker()
    tasks = [lanes.task(f"k{number}", input={"value": number}) for number in range(300)]
    lanes.put("default", *tasks)
    answers = lanes.wait_answers(*tasks)
    assert [answers[task.run][0].fields["output"] for task in tasks] == [{"value": number} for number in range(300)]
    assert lanes.wait_done("default") == {"completed": 300}
    worker.stop()
    assert {len(found) for found in lanes.answers().values()} == {1}
    counts = lanes.lines(worker, "lane_counts")[-1]
    assert (counts["read"], counts["completed"], counts["copies"]) == (300, 300, 0)
    assert complaints(worker) == []


def test_whatever_comes_into_a_lane_ends_in_one_counted_way(lanes: LaneBench) -> None:
    worker = lanes.task_worker()
    good, failing, slow = (
        lanes.task("a"),
        lanes.task("b", input={"fail": "echo_refused"}),
        lanes.task("c", input={"delay_ms": 60_000}, timeout_ms=200),
    )
    unknown, wrong, late = (
        lanes.task("d", operation="no.such"),
        lanes.task("e", input=[]),
        lanes.task("f", deadline_ms=1),
    )
    lanes.put("default", good, failing, slow, unknown, wrong, late)
    lanes.put_bytes("default", b"no task")
    lanes.put("default", good, source=Source(TOPIC_ID, 0, 0))
    answers = lanes.wait_answers(good, failing, slow, unknown, wrong, late)
    codes = {task.key: answers[task.run][0].fields.get("code") for task in (good, failing, slow, unknown, wrong, late)}
    assert codes == {
        "a": None,
        "b": "echo_refused",
        "c": "attempt_timeout",
        "d": "operation_unknown",
        "e": "input_invalid",
        "f": "deadline_passed",
    }
    assert lanes.wait_done("default") == {"completed": 1, "failed": 4, "expired": 1, "unreadable": 1, "copies": 1}
    letter = lanes.wait_letter("bad_task", stage="tasks")
    assert letter.value == b"no task"
    told = lanes.wait_line(worker, "attempt_failed", code="echo_refused")
    assert (told["lane"], told["run"], told["step"], told["attempt"]) == ("default", failing.run, "call", 1)
    assert {"partition", "offset"} <= told.keys()


def a_year_ahead(state: Path) -> None:
    """The clock of a worker is wrong from its start."""
    real = time.time
    time.time = lambda: real() + 365 * 86_400


def test_a_worker_whose_clock_is_a_year_ahead_holds_no_task_to_be_late(lanes: LaneBench) -> None:
    tasks = [lanes.task(f"k{number}") for number in range(20)]
    lanes.put("default", *tasks)
    lanes.task_worker(kind=altered(a_year_ahead))
    lanes.wait_answers(*tasks)
    assert lanes.wait_done("default") == {"completed": 20}


def test_what_waited_too_long_for_a_worker_is_not_started_though_nothing_was_acknowledged_yet(lanes: LaneBench) -> None:
    late = [lanes.task(f"k{number}", queue_ms=3000) for number in range(20)]
    lanes.put("default", *late)
    written_ms = now_ms()
    lanes.wait(lambda: now_ms() > written_ms + 3100, "the time of the tasks to be over")
    lanes.deliver("k", "by-hand")  # as the engine's timers would do, it dates `commands`
    lanes.flush()
    lanes.task_worker()
    answers = lanes.wait_answers(*late)
    assert {answers[task.run][0].fields.get("code") for task in late} == {"queue_expired"}
    assert lanes.wait_done("default") == {"expired": 20}


def test_completions_come_out_of_order_and_a_killed_worker_repeats_only_what_had_not_ended(
    lanes: LaneBench, ledger: Ledger
) -> None:
    worker = lanes.task_worker(allow=(ledger.host,))
    hanging = lanes.task("k0", input={"delay_ms": 60_000})
    tasks = posts(lanes, ledger, 40, keys=1)
    for task in tasks:
        assert task.key == hanging.key
    lanes.put("default", hanging, *tasks)
    lanes.wait_answers(*tasks)
    partition = partition_of("k0", lanes.partitions)
    lanes.wait(
        lambda: (found := lanes.position("default", partition)) and found.counts.get("completed") == 40,
        "the ends to be committed",
    )
    position = lanes.position("default", partition)
    assert position is not None
    assert (position.offset, position.finished) == (0, ((1, 41),))
    worker.kill()
    lanes.restart(worker)
    lanes.wait_assigned(worker)
    late = posts(lanes, ledger, 1, keys=1)
    lanes.put("default", *late)
    lanes.wait_answers(*late)
    account = ledger.account()
    assert set(account.calls.values()) == {1}
    assert len(account.keys) == 41


def test_a_worker_that_is_killed_in_mid_flight_loses_nothing_and_repeats_what_was_in_flight(
    lanes: LaneBench, ledger: Ledger
) -> None:
    worker = lanes.task_worker(allow=(ledger.host,))
    lanes.wait_assigned(worker)
    tasks = posts(lanes, ledger, 600)
    lanes.put("default", *tasks)
    repeatable = 0
    for share in (100, 300):
        lanes.wait(lambda share=share: len(ledger.account().keys) >= share, f"{share} calls")  # type: ignore[misc]
        worker.kill()
        ledger.wait_hung_up()
        done = sum(position.counts.get("completed", 0) for position in lanes.positions("default").values())
        repeatable += len(ledger.account().keys) - done
        lanes.restart(worker)
    lanes.wait_answers(*tasks, timeout_s=60)
    lanes.wait_done("default")
    account = ledger.account()
    assert account.keys == {task.idempotency_key for task in tasks}
    assert 0 < account.excess <= repeatable
    worker.stop()
    assert complaints(worker) == []


def test_a_worker_that_is_asked_to_stop_lets_its_attempts_end_and_repeats_none(
    lanes: LaneBench, tmp_path: Path
) -> None:
    with Ledger(tmp_path / "slow", delay_ms=1000) as ledger:
        worker = lanes.task_worker(allow=(ledger.host,))
        lanes.wait_assigned(worker)
        tasks = posts(lanes, ledger, 150)
        lanes.put("default", *tasks)
        lanes.wait(lambda: len(ledger.account().keys) >= 100, "calls to be on their way")
        worker.stop()
        ended = ledger.account()
        assert ended.calls == ended.answers
        lanes.restart(worker)
        lanes.wait_answers(*tasks)
        assert set(ledger.account().calls.values()) == {1}
        assert lanes.wait_done("default") == {"completed": 150}


def test_what_does_not_end_in_time_is_left_to_the_next_owner(lanes: LaneBench) -> None:
    worker = lanes.task_worker(drain_s=0.2)
    task = lanes.task(input={"delay_ms": 20_000})
    lanes.put("default", task)
    lanes.wait(lambda: (counts := lanes.lines(worker, "lane_assigned")) and counts, "an assignment")
    lanes.wait(
        lambda: lanes.positions("default").keys() and lanes.stranger.held(lanes.topic("tasks.default")),
        "the task to be there",
    )
    second = lanes.task(input={"value": 1})
    lanes.put("default", second)
    lanes.wait_answers(second)
    worker.stop()
    assert lanes.lines(worker, "attempt_left", run=task.run)
    assert task.run not in lanes.answers()
    position = next(found for found in lanes.positions("default").values() if found.counts)
    assert (position.offset, position.finished) == (0, ((1, 2),))


def test_a_second_worker_takes_its_share_and_repeats_nothing(bootstrap: str, tmp_path: Path) -> None:
    with (
        make_lanes(
            bootstrap, tmp_path, partitions=4, lanes={"default": Lane(session_timeout_s=6, in_flight=20)}
        ) as bench,
        Ledger(tmp_path / "ledger", delay_ms=50) as ledger,
    ):
        first = bench.task_worker("first", allow=(ledger.host,), instance_id=None)
        bench.wait_assigned(first)
        tasks = posts(bench, ledger, 800, keys=40)
        bench.put("default", *tasks)
        bench.wait(lambda: len(ledger.account().keys) >= 60, "work to be on its way")
        second = bench.task_worker("second", allow=(ledger.host,), instance_id=None)
        bench.wait(
            lambda: any(line["partitions"] for line in bench.lines(second, "lane_assigned")),
            "the second one to have partitions",
        )
        bench.wait(
            lambda: bench.lines(first, "lane_assigned")[-1]["partitions"] != [0, 1, 2, 3], "the first one to have fewer"
        )
        bench.wait_answers(*tasks, timeout_s=60)
        assert bench.wait_done("default") == {"completed": 800}
        assert set(ledger.account().calls.values()) == {1}
        second.stop()
        first.stop()
        assert complaints(first) + complaints(second) == []


def test_a_task_is_cancelled_before_it_starts_and_while_it_runs(bootstrap: str, tmp_path: Path) -> None:
    with make_lanes(
        bootstrap, tmp_path, partitions=1, lanes={"default": Lane(session_timeout_s=6, in_flight=1)}
    ) as bench:
        worker = bench.task_worker()
        running, waiting = bench.task(input={"delay_ms": 60_000}), bench.task(input={"delay_ms": 60_000})
        bench.put("default", running, waiting)
        bench.wait_assigned(worker)
        bench.put("default", CancelTask(running.id, running.key))
        bench.wait_line(worker, "attempt_cancelled", run=running.run, running=True)
        third = bench.task()
        bench.put("default", CancelTask(waiting.id, waiting.key), third)
        bench.wait_answers(third)
        assert bench.wait_done("default") == {"cancelled": 2, "cancels": 2, "completed": 1}
        answers = bench.answers()
        assert answers.keys() == {running.run, waiting.run, third.run}
        for task in (running, waiting):  # a run that is stopping waits for this
            (answer,) = answers[task.run]
            assert (answer.kind, answer.fields["code"]) == ("FailAttempt", "cancelled")


def test_a_copy_of_a_task_is_skipped_also_by_a_worker_that_never_saw_the_original(
    lanes: LaneBench, ledger: Ledger
) -> None:
    worker = lanes.task_worker(allow=(ledger.host,))
    tasks = posts(lanes, ledger, 30, keys=1)
    for nth, task in enumerate(tasks):
        lanes.put("default", task, source=Source("commands-id", nth // 4, nth % 4), flush=False)
    lanes.flush()
    lanes.wait_done("default")
    worker.kill()
    for nth, task in list(enumerate(tasks))[10:]:
        lanes.put("default", task, source=Source("commands-id", nth // 4, nth % 4), flush=False)
    new = posts(lanes, ledger, 1, keys=1)
    lanes.put("default", *new, source=Source("commands-id", 100, 0))
    other = lanes.task_worker("other", allow=(ledger.host,), instance_id="tasks")
    lanes.wait_assigned(other)
    lanes.wait_answers(*tasks, *new)
    assert lanes.wait_done("default") == {"completed": 31, "copies": 20}
    assert set(ledger.account().calls.values()) == {1}


def test_a_slow_lane_slows_no_other_multiplies_no_calls_and_shows_as_lag(bootstrap: str, tmp_path: Path) -> None:
    quick, slow = Lane(session_timeout_s=6), Lane(session_timeout_s=6, in_flight=4)
    with (
        make_lanes(bootstrap, tmp_path, lanes={"quick": quick, "slow": slow}) as bench,
        Ledger(tmp_path / "l", delay_ms=400) as ledger,
    ):
        worker = bench.task_worker(allow=(ledger.host,))
        bench.wait_assigned(worker)
        jammed = posts(bench, ledger, 400, timeout_ms=5000)  # 40 seconds of work, each attempt well within its limit
        bench.put("slow", *jammed)
        bench.wait(lambda: len(ledger.account().keys) >= 12, "the slow lane to be at work")
        swift = [bench.task(f"k{nth}") for nth in range(500)]
        bench.put("quick", *swift)
        bench.wait_done("quick", timeout_s=20)

        def lag() -> dict[tuple[str, str], tuple[int, float | None]]:
            return totals(measure_lag(bench.settings, read_log(bench.settings)))

        # What is younger than a commit interval counts as worked on.
        bench.wait(lambda: lag()["tasks", bench.topic("tasks.slow")][1], "the slow lane to show as lag")
        measured = lag()
        records, seconds = measured["tasks", bench.topic("tasks.slow")]
        assert measured["tasks", bench.topic("tasks.quick")] == (0, 0.0)
        assert 200 < records < 400
        assert seconds is not None
        assert 0 < seconds < 40
        account = ledger.account()
        assert set(account.calls.values()) == {1}
        assert bench.lines(worker, "attempt_failed") == []
        worker.stop()


def test_a_worker_serves_the_lanes_it_is_told_to(bootstrap: str, tmp_path: Path) -> None:
    with make_lanes(bootstrap, tmp_path, lanes={"one": QUICK, "two": QUICK}) as bench:
        worker = bench.task_worker("only-two", "two")
        one, two = bench.task(), bench.task()
        bench.put("one", one)
        bench.put("two", two)
        bench.wait_answers(two)
        worker.stop()
        assert {line["lane"] for line in bench.lines(worker, "lane_assigned")} == {"two"}
        assert one.run not in bench.answers()


def test_a_worker_of_a_lane_that_is_unknown_or_has_no_topic_ends_with_a_clear_error(lanes: LaneBench) -> None:
    unknown = lanes.task_worker("unknown", "no-such-lane")
    assert unknown._running().wait(30) != 0
    unknown._process = None
    assert "lane_unknown" in unknown.tail()
    lanes.settings = lanes.settings.model_copy(
        update={"tasks": lanes.settings.tasks.model_copy(update={"lanes": {"default": QUICK, "new": QUICK}})}
    )
    missing = lanes.task_worker("missing")
    assert missing._running().wait(30) != 0
    missing._process = None
    assert "topics_missing" in missing.tail()
    assert "tasks.new" in missing.tail()
    assert "Traceback" not in missing.tail() + unknown.tail()


def test_a_lane_makes_no_more_attempts_at_a_time_than_it_may(bootstrap: str, tmp_path: Path) -> None:
    with (
        make_lanes(
            bootstrap, tmp_path, partitions=1, lanes={"default": Lane(session_timeout_s=6, in_flight=8)}
        ) as bench,
        Ledger(tmp_path / "l", delay_ms=30) as ledger,
    ):
        worker = bench.task_worker(allow=(ledger.host,))
        tasks = posts(bench, ledger, 400)
        bench.put("default", *tasks)
        assert bench.wait_done("default") == {"completed": 400}
        now = most = 0
        for entry in ledger.entries():
            now += 1 if entry.kind == "call" else -1
            most = max(most, now)
        assert 4 <= most <= 8
        worker.stop()


def test_a_worker_that_stood_still_past_its_session_loses_nothing_and_answers_no_more_than_once_each(
    bootstrap: str, tmp_path: Path
) -> None:
    slow = Lane(session_timeout_s=6, in_flight=20)
    with (
        make_lanes(bootstrap, tmp_path, lanes={"default": slow}) as bench,
        Ledger(tmp_path / "ledger", delay_ms=50) as ledger,
    ):
        first = bench.task_worker("first", allow=(ledger.host,), instance_id=None)
        bench.wait_assigned(first)
        tasks = [
            bench.task(f"k{number}", operation="http.request", input={"url": ledger.url, "json": {}})
            for number in range(300)
        ]
        bench.put("default", *tasks)
        bench.wait(lambda: len(ledger.account().keys) >= 60, "work to be on its way")
        first.pause()
        called = len(ledger.account().keys)
        done = bench.lane_counts("default")["completed"]
        second = bench.task_worker("second", allow=(ledger.host,), instance_id=None)
        bench.wait_answers(*tasks, timeout_s=60)
        first.resume()
        assert bench.wait_done("default")["completed"] == 300
        more = bench.task("k1")
        bench.put("default", more)
        bench.wait_answers(more)
        second.stop()
        first.stop()
        assert ledger.account().keys == {task.idempotency_key for task in tasks}
        waiting = 16  # that a worker may start when it goes on, before it knows
        # calls that had left the worker at the pause, and were not written down when they were counted
        on_their_way = slow.in_flight
        assert ledger.account().excess <= called - done + on_their_way + waiting
        assert complaints(first) + complaints(second) == []
