"""Duplicates are asked first: by the mark of the source, and by the identity of the event."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, Parent
from streamflow.engine.record_keys import mark_key
from tests.builders import a_definition, a_delivery, a_request, a_start, an_event, an_origin
from tests.unit.engine.bench import Bench, facts, outcome
from tests.unit.engine.mailbox.steps import GATE, a_wait, box, claims


def test_an_event_is_consumed_once_however_many_runs_come_after() -> None:
    bench = Bench(a_definition(a_wait()))
    for n in range(1, 30):
        bench.start(id=f"e{n}")
        assert claims(bench.offer("paid", id="p1")) == ([(bench.run("e1"), "w", "p1")] if n == 1 else [])
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")


def test_the_same_id_under_another_name_is_another_event() -> None:
    wait = {"id": "w", "wait": {"events": [{"id": "paid", "event": "paid"}], "forever": True}}
    bench = Bench(a_definition(wait))
    bench.start(id="1")
    assert claims(bench.offer("paid", id="1")) == [(bench.run("1"), "w", "1")]


def test_the_same_id_of_another_source_is_another_event() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")))
    bench.start()
    bench.offer("paid", id="1", source="a")
    assert outcome(bench.offer("paid", id="1", source="a")) == ("duplicate", "seen")
    assert facts(bench.offer("paid", id="1", source="b"))[0] == ("WaitSatisfied", "two")


def test_a_kept_event_is_a_duplicate_of_itself() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.offer("paid", id="p1", keep_ms=1000)
    assert outcome(bench.offer("paid", id="p1", keep_ms=1000)) == ("duplicate", "seen")
    assert len(box(bench).entries) == 1


def test_an_event_that_nobody_consumed_is_offered_again_when_it_is_sent_again() -> None:
    bench = Bench(a_definition(a_wait()))
    assert outcome(bench.offer("paid", id="p1")) == ("rejected", "unclaimed")
    bench.start()
    assert claims(bench.offer("paid", id="p1")) == [(bench.run(), "w", "p1")]


def test_the_same_record_of_it_is_a_duplicate() -> None:
    bench = Bench(a_definition(a_wait()))
    delivery = a_delivery(an_event("paid", "p1"), origin=an_origin(7))
    bench.take(delivery)
    bench.start()
    assert outcome(bench.take(delivery)) == ("duplicate", "record")


def test_everything_below_the_committed_offset_is_a_duplicate() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.take(a_start(bench.plan, an_event(id="e9"), origin=an_origin(9, committed=8)))
    assert bench.overlay.get(mark_key("topic", 0)) == 8
    for command in (
        a_start(bench.plan, an_event(id="new"), origin=an_origin(7, committed=3)),
        a_delivery(an_event("paid"), origin=an_origin(7, committed=3)),
    ):
        assert outcome(bench.take(command)) == ("duplicate", "source")
    assert bench.overlay.get(mark_key("topic", 0)) == 8


def test_the_offset_of_a_record_is_no_mark() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.take(a_start(bench.plan, an_event(id="e9"), origin=an_origin(9)))
    assert outcome(bench.take(a_start(bench.plan, an_event(id="e3"), origin=an_origin(3)))) == ("applied", "")


def test_a_topic_that_was_made_again_and_another_partition_have_marks_of_their_own() -> None:
    bench = Bench(a_definition(GATE))
    origins = (an_origin(1, committed=1), an_origin(0, topic_id="again"), an_origin(0, partition=1))
    for number, origin in enumerate(origins):
        assert outcome(bench.take(a_start(bench.plan, an_event(id=f"e{number}"), origin=origin))) == ("applied", "")


# -- how long that is known


def test_a_consumed_event_is_known_for_its_window() -> None:
    bench = Bench(a_definition(a_wait()), limits=Limits(window_ms=1000))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 1000
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")
    bench.now_ms += 600
    assert outcome(bench.offer("paid", id="p1")) == ("rejected", "unclaimed")


def test_it_is_known_longer_while_a_run_is_open_that_was_open_then() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")), limits=Limits(window_ms=1000, claims_most_ms=10_000))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 5000
    bench.offer("nothing", key="other")
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")
    bench.take(CancelRun("c", bench.run()))
    bench.now_ms += 5000
    bench.offer("nothing", key="other")
    assert outcome(bench.offer("paid", id="p1")) == ("rejected", "unclaimed")


def test_a_run_that_began_later_does_not_prolong_it() -> None:
    bench = Bench(a_definition(a_wait()), limits=Limits(window_ms=1000))
    bench.start(id="e1")
    bench.offer("paid", id="p1")
    bench.start(id="e2")
    bench.now_ms += 2000
    assert claims(bench.offer("paid", id="p1")) == [(bench.run("e2"), "w", "p1")]


def test_at_the_latest_it_is_forgotten_after_the_longest_time() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")), limits=Limits(window_ms=1000, claims_most_ms=5000))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 5000
    bench.offer("nothing", key="other")
    assert claims(bench.offer("paid", id="p1")) == [(bench.run(), "two", "p1")]


def test_a_bucket_that_is_due_and_not_swept_is_still_looked_into() -> None:
    bench = Bench(a_definition({"id": "p", "print": {"text": "'x'"}}), limits=Limits(window_ms=1000))
    for n in range(40):
        bench.start(id=f"e{n}", key=f"k{n:02}")
    bench.now_ms += 2000
    known = sorted(key for key in bench.state() if key.startswith("seen/"))
    last = known[-1].split(":")[1].split("/")[0]
    assert outcome(bench.start(id=f"e{int(last[1:])}", key=last)) == ("duplicate", "seen")


def test_memory_is_swept_a_few_records_per_command() -> None:
    bench = Bench(a_definition({"id": "p", "print": {"text": "'x'"}}), limits=Limits(window_ms=1000))
    for n in range(40):
        bench.start(id=f"e{n}", key=f"k{n}")
    bench.now_ms += 2000
    left = []
    for _ in range(4):
        bench.take(CancelRun("c", "00000000-nothing"))
        left.append(sum(key.startswith("seen/") for key in bench.state()))
    assert left == [24, 8, 0, 0]
    assert bench.own().memories.seen.ends_ms == ()


def test_a_sweep_goes_on_after_a_restart() -> None:
    bench = Bench(a_definition({"id": "p", "print": {"text": "'x'"}}), limits=Limits(window_ms=1000))
    for n in range(40):
        bench.start(id=f"e{n}", key=f"k{n}")
    bench.now_ms += 2000
    for _ in range(3):
        bench.take(CancelRun("c", "00000000-nothing"))
        bench.checkpoint()
        bench.reopen()
    assert not any(key.startswith("seen/") for key in bench.state())


# -- the window of each definition


@pytest.mark.parametrize(("window_ms", "known_ms"), [(1000, 1000), (4000, 4000), (0, 7 * 86_400_000)])
def test_an_event_is_known_for_the_window_that_its_delivery_says(window_ms: int, known_ms: int) -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start()
    bench.offer("paid", id="p1", window_ms=window_ms)
    bench.now_ms += known_ms
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")
    bench.now_ms += known_ms // 2 + 1  # a bucket is half a window wide
    assert outcome(bench.offer("paid", id="p1")) == ("rejected", "unclaimed")


def test_a_kept_event_has_the_window_of_its_delivery_once_it_is_consumed() -> None:
    bench = Bench(a_definition(a_wait(keep="1h")), limits=Limits(window_ms=1000))
    bench.offer("paid", id="p1", keep_ms=3_600_000, window_ms=10_000)
    assert claims(bench.start()) == [(bench.run(), "w", "p1")]
    bench.now_ms += 10_000
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")


def test_another_window_changes_nothing_for_what_came_before() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")))
    bench.start()
    bench.offer("paid", id="p1", window_ms=10_000)
    bench.offer("paid", id="p2", window_ms=1000)
    bench.now_ms += 2000
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")
    assert outcome(bench.offer("paid", id="p2")) == ("rejected", "unclaimed")


def test_definitions_of_different_windows_forget_apart_from_each_other() -> None:
    steps = {"id": "p", "print": {"text": "'x'"}}
    bench = Bench(a_definition(steps, name="short"), a_definition(steps, name="long"))
    windows = {"short": 1000, "long": 60_000}

    def send() -> list[str]:
        """The definitions that find the same event a duplicate."""
        return [
            plan.name
            for plan in bench.plans.values()
            if outcome(bench.take(replace(a_start(plan, origin=an_origin(bench.offset)), window_ms=windows[plan.name])))
            == ("duplicate", "seen")
        ]

    assert send() == []
    bench.now_ms += 1000
    assert send() == ["short", "long"]
    bench.now_ms += 59_000
    assert send() == ["long"]
    bench.now_ms += 31_000
    assert send() == []


@pytest.mark.parametrize(("window", "late_ms"), [("1h", 3_600_000), ("30d", 30 * 86_400_000), (None, 7 * 86_400_000)])
def test_a_request_is_known_for_the_window_of_what_it_starts(window: str | None, late_ms: int) -> None:
    bench = Bench(a_definition(GATE, window=window))
    bench.take(a_request(bench.plan))
    bench.take(CancelRun("c", bench.run()))
    bench.now_ms += late_ms
    assert outcome(bench.take(a_request(bench.plan))) == ("duplicate", "run_exists")
    bench.now_ms += 1
    assert outcome(bench.take(a_request(bench.plan))) == ("rejected", "too_old")


def test_the_request_of_a_parent_is_known_for_the_window_of_the_settings_at_least() -> None:
    bench = Bench(a_definition(GATE, window="1h"))
    request = replace(a_request(bench.plan), parent=Parent("parent", "k", "step", 1))
    bench.take(request)
    bench.now_ms += 7 * 86_400_000
    assert outcome(bench.take(request)) == ("duplicate", "run_exists")
