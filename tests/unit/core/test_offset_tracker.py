"""What is finished of a partition: copies are known, ends come in any order, and a commit remembers exactly what had
ended."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.core.offset_tracker import OffsetTracker, Outcome, Seen
from streamflow.wire.lane_position import LanePosition, decode_position, encode_position
from streamflow.wire.tasks import Source


def begun(offset: int = 0) -> OffsetTracker:
    return OffsetTracker(LanePosition(offset, "lane", "me"))


def reopened(finished: OffsetTracker, limit: int = 4096) -> OffsetTracker:
    """As another worker has it, after a commit and a crash."""
    position = finished.position()
    read = decode_position(position.offset, encode_position(position, limit)[0])
    assert read is not None
    return OffsetTracker(read)


def at(offset: int, nth: int = 0, topic: str = "t") -> Source:
    return Source(topic, offset, nth)


def test_the_lowest_unfinished_offset_is_committed_with_what_is_finished_above_it() -> None:
    finished = begun()
    for offset in range(6):
        assert finished.read(offset, at(offset)) is Seen.NEW
    for offset in (5, 1, 2):
        finished.finish(offset, Outcome.COMPLETED)
    assert finished.position() == LanePosition(0, "lane", "me", None, ((1, 3), (5, 6)), {"completed": 3})
    finished.finish(0, Outcome.FAILED)
    assert finished.position() == LanePosition(3, "lane", "me", at(2), ((5, 6),), {"completed": 3, "failed": 1})


def test_a_copy_is_known_by_its_source_and_ends_at_once() -> None:
    finished = begun()
    assert [
        finished.read(offset, source) for offset, source in enumerate([at(7), at(7, 1), at(7), at(7, 1), at(8), at(7)])
    ] == [
        Seen.NEW,
        Seen.NEW,
        Seen.COPY,
        Seen.COPY,
        Seen.NEW,
        Seen.COPY,
    ]
    assert (finished.open, finished.counts) == (3, {"copies": 3})


def test_a_copy_is_known_after_a_restart_too_when_its_original_was_below_the_commit() -> None:
    finished = begun()
    finished.read(0, at(7))
    finished.finish(0, Outcome.COMPLETED)
    again = reopened(finished)
    assert again.read(1, at(7)) is Seen.COPY
    assert again.read(2, at(8)) is Seen.NEW


def test_an_unfinished_task_is_no_copy_of_itself_after_a_restart() -> None:
    finished = begun()
    finished.read(0, at(7))
    finished.read(1, at(8))
    finished.finish(1, Outcome.COMPLETED)
    again = reopened(finished)
    assert [again.read(0, at(7)), again.read(1, at(8)), again.read(2, at(8))] == [Seen.NEW, Seen.FINISHED, Seen.COPY]


def test_another_topic_of_commands_begins_again() -> None:
    finished = begun()
    finished.read(0, at(1000))
    assert finished.read(1, at(0, 0, "made-again")) is Seen.NEW
    assert finished.read(2, at(0, 0, "made-again")) is Seen.COPY


def test_a_task_without_a_source_is_never_a_copy() -> None:
    finished = begun()
    assert [finished.read(0, at(5)), finished.read(1, None), finished.read(2, None), finished.read(3, at(5))] == [
        Seen.NEW,
        Seen.NEW,
        Seen.NEW,
        Seen.COPY,
    ]


def test_offsets_that_hold_no_record_are_done() -> None:
    finished = begun()
    finished.read(0, at(0))
    finished.read(10, at(1))
    assert finished.position().finished == ((1, 10),)


def test_what_did_not_fit_is_done_again_and_nothing_else() -> None:
    finished = begun()
    for offset in range(400):
        finished.read(offset, at(offset))
    for offset in range(1, 400, 2):
        finished.finish(offset, Outcome.COMPLETED)
    again = reopened(finished, limit=250)
    seen = {offset: again.read(offset, at(offset)) for offset in range(400)}
    assert {seen[offset] for offset in range(0, 400, 2)} == {Seen.NEW}
    forgotten = [offset for offset in range(1, 400, 2) if seen[offset] is Seen.NEW]
    assert forgotten == list(range(min(forgotten), 400, 2))
    assert min(forgotten) > 100


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_whatever_the_order_of_ends_and_restarts_commit_and_memory_are_what_is_finished(seed: int, bound: int) -> None:
    """A log with copies and holes, read by workers that die at any moment. What a commit says is exactly what has
    ended, so every task ends, and ends again only if its end was not committed."""
    chosen = random.Random(seed)
    records, originals = _log(chosen)
    worker, saved = begun(), begun().position()
    done: set[int] = set()  # as this worker knows
    committed: set[int] = set()  # as the last commit says
    running: list[int] = []
    ends = dict.fromkeys(originals, 0)
    lost = 0
    while (todo := [offset for offset in records if offset >= worker.next]) or running:
        move = chosen.random()
        if move < 0.5 and todo and len(running) < bound:
            seen = worker.read(todo[0], records[todo[0]])
            if todo[0] in originals:
                assert seen is (Seen.FINISHED if todo[0] in done else Seen.NEW)
            else:
                assert seen in (Seen.COPY, Seen.FINISHED)
            if seen is Seen.NEW:
                running.append(todo[0])
        elif move < 0.8 and running:
            ended = running.pop(chosen.randrange(len(running)))
            worker.finish(ended, Outcome.COMPLETED)
            ends[ended] += 1
            done.add(ended)
        elif move < 0.93:
            saved = worker.position()
            told = {
                offset
                for offset in originals
                if offset < saved.offset or any(begin <= offset < end for begin, end in saved.finished)
            }
            assert told == done
            committed = set(done)
        elif chosen.random() < 0.4:
            lost += len(done - committed)
            done = set(committed)
            running.clear()
            read = decode_position(saved.offset, encode_position(saved)[0])
            assert read is not None
            worker = OffsetTracker(read)
    assert all(ends.values())
    assert sum(ends.values()) == len(originals) + lost
    assert worker.position().finished == ()
    assert worker.counts == {Outcome.COMPLETED: len(originals)} | (
        {Outcome.COPY: copies} if (copies := len(records) - len(originals)) else {}
    )


def _log(chosen: random.Random) -> tuple[dict[int, Source], set[int]]:
    """Records by offset, some of them copies of what came before, and the offsets of those that are none."""
    records: dict[int, Source] = {}
    originals: list[int] = []
    offset = -1
    for _ in range(chosen.randrange(1, 60)):
        offset += chosen.choice([1, 1, 1, 2])
        if originals and chosen.random() < 0.25:
            records[offset] = records[chosen.choice(originals)]
        else:
            records[offset] = at(len(originals) // 3, len(originals) % 3)
            originals.append(offset)
    return records, set(originals)
