"""The proof's readers can say no: every fault that they are there for is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proof import loans
from tests.proof.judge import Verdict, judge_heads, judge_runs, judge_stores
from tests.proof.reader import Runs, read_runs


class Record:
    """A record of `runs` as Kafka's client hands it out."""

    def __init__(
        self,
        seq: int,
        kind: str,
        data: dict[str, Any] | None = None,
        *,
        run: str = "r1",
        key: str = "k1",
        version: str = "1",
        **other: Any,
    ) -> None:
        self._key = key
        self._value = json.dumps(
            {"run": run, "definition": "d", "version": version, "key": key, "seq": seq, "data": data or {}} | other
        ).encode()
        self._headers = [("ce_id", f"{run}/{seq}".encode()), ("ce_type", f"streamflow.{kind}".encode())]

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 2, 1000


STARTED = Record(1, "RunStarted", {"event": {}})
WAITING = Record(2, "WaitStarted", step="preaccepted")
COMPLETED = Record(3, "RunCompleted", {"ended": ["preaccepted.declined"]})


def kinds(runs: Runs) -> list[str]:
    return [fault.partition(":")[0] for fault in runs.faults]


def test_a_whole_run_with_identical_copies_is_exact() -> None:
    runs = read_runs([STARTED, WAITING, STARTED, WAITING, COMPLETED])
    assert runs.faults == []
    assert (runs.records, runs.copies) == (5, 2)
    assert runs.outcomes() == {"k1": "preaccepted.declined"}


def test_an_open_run_is_told_by_the_step_it_waits_for() -> None:
    assert read_runs([STARTED, WAITING]).outcomes() == {"k1": "waiting.preaccepted"}


def test_a_key_with_two_runs_shows_both_outcomes() -> None:
    assert read_runs([STARTED, Record(1, "RunStarted", {"event": {}}, run="r2")]).counts() == {
        "waiting. and waiting.": 1
    }


def test_a_copy_that_differs_is_told() -> None:
    assert kinds(read_runs([STARTED, Record(1, "RunStarted", {"event": {"id": "other"}})])) == ["different copies"]


def test_a_missing_transition_is_told() -> None:
    assert kinds(read_runs([STARTED, COMPLETED])) == ["gap"]


def test_transitions_in_the_wrong_order_are_told() -> None:
    assert kinds(read_runs([WAITING, STARTED])) == ["gap", "gap"]


def test_a_transition_after_the_ending_is_told() -> None:
    assert kinds(read_runs([STARTED, WAITING, COMPLETED, Record(4, "WaitStarted", step="accepted")])) == [
        "after the ending"
    ]


def test_a_run_that_changes_its_version_is_told() -> None:
    assert kinds(read_runs([STARTED, Record(2, "WaitStarted", version="2", step="preaccepted")])) == ["two versions"]


def test_an_outcome_that_the_log_does_not_give_is_told() -> None:
    verdict = Verdict()
    judge_runs(verdict, read_runs([STARTED, WAITING]), {"k1": "preaccepted.declined", "k2": "waiting.preaccepted"})
    assert len(verdict.counts) == 1
    assert verdict.counts[0].startswith("2 outcomes differ: k1")


def test_a_store_that_lacks_adds_or_changes_a_key_is_told(tmp_path: Any) -> None:
    own = json.dumps({"applied": 5}).encode()
    changelog = {b"own": own, b"run/a": b"1", b"run/b": b"2"}
    for store, words in (
        ({b"own": own, b"run/a": b"1"}, "in the changelog only"),
        (changelog | {b"run/c": b"3"}, "in the store only"),
        (changelog | {b"run/b": b"4"}, "with another value"),
    ):
        verdict = Verdict()
        judge_stores(verdict, {0: changelog}, {0: {tmp_path: store | {b"!changelog": b"9"}}})
        assert len(verdict.state) == 1
        assert words in verdict.state[0]


def test_a_store_that_another_worker_left_behind_is_not_compared_but_must_not_be_ahead(tmp_path: Any) -> None:
    changelog = {b"own": json.dumps({"applied": 5}).encode()}
    last = changelog | {b"!changelog": b"9"}
    stale = {b"own": json.dumps({"applied": 3}).encode(), b"run/old": b"", b"!changelog": b"4"}
    verdict = Verdict()
    judge_stores(verdict, {0: changelog}, {0: {tmp_path / "a": last, tmp_path / "b": stale}})
    assert verdict.state == []
    judge_stores(
        verdict,
        {0: changelog},
        {0: {tmp_path / "a": last, tmp_path / "b": stale | {b"own": json.dumps({"applied": 7}).encode()}}},
    )
    assert len(verdict.state) == 1


def test_a_partition_in_nobodys_folder_is_told() -> None:
    verdict = Verdict()
    judge_stores(verdict, {3: {}}, {})
    assert verdict.state == ["partition 3 is in no worker's folder"]


def test_a_head_that_says_something_else_than_the_history_is_told() -> None:
    runs = read_runs([STARTED, WAITING])
    exact, behind, lost, unknown = Verdict(), Verdict(), Verdict(), Verdict()
    head, output, timer = b"run/r1", b"out/r1/", b"timer/000000000000009/r1/money"
    judge_heads(exact, {0: {head: b'{"seq":2}', output: b"{}", timer: b"{}"}}, runs)
    judge_heads(behind, {0: {head: b'{"seq":1}'}}, runs)
    judge_heads(lost, {0: {}}, runs)
    judge_heads(unknown, {0: {head: b'{"seq":2}', b"run/r2": b'{"seq":2}'}}, runs)
    assert exact.state == []
    assert [len(verdict.state) for verdict in (behind, lost)] == [1, 1]
    assert len(unknown.state) == 2


@pytest.mark.parametrize(
    "key",
    [
        b"run/r1",
        b"out/r1/",
        b"out/r1/call/0",
        b"list/r1/call/0",
        b"item/r1/call/0",
        b"timer/000000000000009/r1/money",
        b"timer/000000000000009/r1/handling[2].money/4",
    ],
)
def test_a_run_that_has_ended_leaves_no_record(key: bytes) -> None:
    runs = read_runs([STARTED, WAITING, COMPLETED])
    clean, stray = Verdict(), Verdict()
    memory = {b"seen/000000000000000/loan/2:r1/a": b"[]", b"own": b"{}", b"content/r1": b'""'}
    judge_heads(clean, {0: memory}, runs)
    judge_heads(stray, {0: memory | {key: b'{"seq":3}'}}, runs)
    assert clean.state == []
    assert stray.state != []


def test_the_log_itself_says_how_every_application_ends() -> None:
    def line(number: int, key: str, activity: str) -> loans.Line:
        return loans.Line(
            key.encode(), json.dumps({"id": str(number), "application": key, "activity": activity}).encode()
        )

    order = ["A_SUBMITTED", "A_PREACCEPTED", "W_X", "A_ACCEPTED", "A_CANCELLED"]
    lines = [
        line(number, key, activity)
        for number, activity in enumerate(order)
        for key in ("a", "b")
        if not (key == "b" and activity == "A_ACCEPTED")
    ]
    assert loans.expected([*lines, line(9, "c", "A_SUBMITTED"), line(10, "d", "W_X")]) == {
        "a": "approved.cancelled",
        "b": "accepted.cancelled",
        "c": "waiting.preaccepted",
    }
