"""Jobs as records: parts, who holds a job, results, and what is kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamflow.ops.jobs import (
    HOLD_MS,
    KEPT_MS,
    LONGEST,
    PART,
    Board,
    Job,
    Records,
    Result,
    Target,
    added,
    done,
    free,
    held,
    let_go,
)

NOW_MS = 1_700_000_000_000


def job(id: str = "a", total: int = 250, created_ms: int = NOW_MS, **more: Any) -> Job:
    return Job(
        id=id,
        action="cancel",
        filter={"status": "open"},
        reason="by mistake",
        who="kim",
        definitions=("refund",),
        created_ms=created_ms,
        total=total,
        **more,
    )


def targets(total: int) -> list[Target]:
    return [Target(f"r{number}", "") for number in range(total)]


def take(board: Board, records: Records) -> Records:
    for key, value in records.items():
        assert board.take(key, value)
    return records


def begun(total: int = 250) -> Board:
    board = Board()
    take(board, added(board, job(total=total), targets(total)))
    take(board, held(board, "a", "me", NOW_MS))
    return board


def found(board: Board, id: str = "a") -> Job:
    known = board.job(id)
    assert known is not None
    return known


def test_a_job_is_done_part_by_part() -> None:
    board, lengths = begun(), []
    while (part := board.next_part("a")) is not None:
        number, left = part
        lengths.append(len(left))
        results = [Result(one.run, "applied" if place else "refused", "run_ended") for place, one in enumerate(left)]
        assert take(board, done(board, "a", "me", number, results, NOW_MS + 1))
    assert lengths == [PART, PART, 50]
    ended = found(board)
    assert (ended.applied, ended.refused, ended.done, ended.ended_ms) == (247, 3, 250, NOW_MS + 1)
    assert [one.run for one in board.results("a")] == [f"r{number}" for number in range(250)]
    assert free(board, NOW_MS + HOLD_MS * 2) is None
    assert ended.described()["state"] == "done"


def test_one_holds_a_job_until_nothing_is_heard_of_them() -> None:
    board = begun()
    assert free(board, NOW_MS) is None
    assert held(board, "a", "other", NOW_MS + HOLD_MS - 1) == {}
    assert held(board, "a", "me", NOW_MS + 1) != {}
    assert free(board, NOW_MS + HOLD_MS) == found(board)
    take(board, held(board, "a", "other", NOW_MS + HOLD_MS))
    assert done(board, "a", "me", 0, [], NOW_MS + HOLD_MS) == {}
    assert let_go(board, "a", "me") == {}
    take(board, let_go(board, "a", "other"))
    assert held(board, "a", "me", NOW_MS + HOLD_MS) != {}


def test_results_of_a_part_are_written_once() -> None:
    board = begun()
    results = [Result(one.run, "applied") for one in targets(PART)]
    take(board, done(board, "a", "me", 0, results, NOW_MS))
    assert done(board, "a", "me", 0, results, NOW_MS) == {}
    assert done(board, "a", "me", 2, results, NOW_MS) == {}
    assert found(board).applied == PART


def test_a_job_without_runs_is_done_at_once() -> None:
    board = Board()
    take(board, added(board, job(total=0), []))
    assert found(board).ended_ms == NOW_MS
    assert held(board, "a", "me", NOW_MS) == {}


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ([job("old", 1, NOW_MS - KEPT_MS - 1, ended_ms=1)], []),
        ([job("open", 1, NOW_MS - KEPT_MS - 1)], ["open"]),
        ([job("young", 1, NOW_MS - KEPT_MS, ended_ms=1)], ["young"]),
        (
            [job(f"j{n:02}", LONGEST, NOW_MS - n, ended_ms=1) for n in range(1, 13)],
            [f"j{n:02}" for n in range(1, 11)],
        ),
    ],
)
def test_old_jobs_go_when_another_one_is_added(before: list[Job], kept: list[str]) -> None:
    board = Board()
    for one in before:
        board.take(f"job/{one.id}", msgspec.json.encode(one))
        board.take(f"results/{one.id}/0", msgspec.json.encode([Result("r", "applied")]))
    take(board, added(board, job("new", 1), targets(1)))
    assert [one.id for one in board.jobs()] == ["new", *kept]
    assert [one.id for one in before if list(board.results(one.id))] == kept


@pytest.mark.parametrize("key", ["", "job", "job/", "other/a", "results/a", "results/a/x", "results/a/999999999"])
def test_a_record_that_is_none_is_told(key: str) -> None:
    assert not Board().take(key, b"{}")


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff"])
def test_a_job_that_cannot_be_read_is_told(value: bytes) -> None:
    assert not Board().take("job/a", value)
