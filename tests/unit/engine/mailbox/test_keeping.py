"""How long events are kept, what becomes of those that nobody took, and how many there may be."""

from __future__ import annotations

import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import AdvanceWatermark, CancelRun, RetryStep, SkipStep
from streamflow.engine.effects import DeadLetter, Unclaimed
from tests.builders import NOW_MS, a_definition, a_delivery, an_event, an_origin
from tests.unit.engine.bench import Bench, facts, outcome
from tests.unit.engine.mailbox.steps import GATE, a_wait, box, claims, tally, unclaimed

TICK = AdvanceWatermark(id="wm", topic="other", partitions=1, at_ms={"0": 1})


def test_an_event_is_kept_to_the_end_of_its_keep() -> None:
    bench = Bench(a_definition(a_wait(keep="10s")))
    bench.offer("paid", id="p1", keep_ms=10_000)
    bench.now_ms += 10_000
    assert unclaimed(bench.take(TICK)) == []
    bench.now_ms += 1
    assert unclaimed(bench.take(TICK)) == [("p1", "expired", "no_run")]
    assert bench.kinds() == {"own", "trail", "tally", "window"}
    assert tally(bench) == {"paid/delivered": 1, "paid/expired/no_run": 1}


def test_a_version_with_open_runs_prolongs_what_ingress_says() -> None:
    bench = Bench(a_definition(GATE, a_wait(keep="2h")))
    bench.start()
    bench.offer("paid", id="p1", keep_ms=1)
    bench.offer("paid", id="p2", keep_ms=1)
    assert [entry.until_ms for entry in box(bench).entries] == [NOW_MS + 7_200_000]


def test_an_event_is_kept_for_a_wait_of_an_open_run_that_may_still_begin() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 30 * 86_400_000
    bench.take(TICK)
    assert [entry.offset for entry in box(bench).entries] == [1]


def test_it_leaves_when_the_run_ends() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")))
    bench.start()
    bench.offer("paid", id="p1")
    assert unclaimed(bench.take(CancelRun("c", bench.run()))) == [("p1", "expired", "no_run")]
    assert not any(key.startswith(("mail/", "box/", "due/")) for key in bench.state())


def test_it_leaves_when_the_wait_is_skipped() -> None:
    bad = {"id": "bad", "if": "trigger.none", "print": {"text": "'x'"}}
    bench = Bench(a_definition(bad, a_wait(after="bad"), GATE))
    bench.start()
    bench.offer("paid", id="p1")
    assert unclaimed(bench.take(SkipStep("s", bench.run(), "bad"))) == [("p1", "expired", "no_wait")]


def test_a_parked_run_keeps_its_events_however_long_a_person_takes() -> None:
    bad = {"id": "bad", "if": "trigger.none", "print": {"text": "'x'"}}
    bench = Bench(a_definition(bad, {**a_wait(), "if": "trigger.none"}))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 30 * 86_400_000
    bench.take(RetryStep("r", bench.run(), "w"))
    assert len(box(bench).entries) == 1


def test_it_leaves_when_the_wait_has_taken_another() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate"), {**GATE, "id": "last", "needs": ["w"]}))
    bench.start()
    bench.offer("paid", id="p1")
    bench.offer("paid", id="p2")
    decision = bench.offer("go")
    assert [id for _, step, id in claims(decision) if step == "w"] == ["p1"]
    assert unclaimed(decision) == [("p2", "expired", "no_wait")]


def test_a_run_that_needs_an_event_longer_than_its_keep_has_it() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", keep="10s")))
    bench.offer("paid", id="p1", keep_ms=10_000)
    bench.start()
    bench.now_ms += 60_000
    bench.take(TICK)
    assert claims(bench.offer("go"))[1:] == [(bench.run(), "w", "p1")]
    assert box(bench).entries == ()


def test_an_original_that_is_taken_stays_for_copies() -> None:
    copy, one = a_definition(a_wait(take="every", keep="1h")), a_definition(a_wait(), version="2")
    bench = Bench(copy, one)
    bench.start(id="e1", plan=bench.plan_of("order", "2"))
    assert claims(bench.offer("paid", id="p1", copies_ms=3_600_000)) == [(bench.run("e1"), "w", "p1")]
    assert claims(bench.start(id="e2")) == [(bench.run("e2"), "w", "p1")]
    bench.now_ms += 3_600_001
    bench.take(TICK)
    assert tally(bench)["paid/claimed"] == 1
    assert box(bench).entries == ()


# -- why nobody took it


def reasons(bench: Bench, *events: dict[str, object]) -> list[str]:
    return [reason for event in events for _, _, reason in unclaimed(bench.offer("paid", **event))]  # type: ignore[arg-type]


def test_an_event_without_a_run() -> None:
    assert unclaimed(Bench(a_definition(a_wait())).offer("paid", id="p1")) == [("p1", "unclaimed", "no_run")]


def test_an_event_that_a_condition_refuses_names_run_and_step() -> None:
    bench = Bench(a_definition(a_wait(where="event.n > 5")))
    bench.start()
    (effect,) = bench.offer("paid", {"n": 1}, id="p1").effects
    assert isinstance(effect, Unclaimed)
    assert (effect.reason, effect.run, effect.step) == ("where_false", bench.run(), "w")
    assert (effect.definition, effect.key, effect.event, effect.id) == ("order", "k1", "paid", "p1")


def test_an_event_that_a_condition_cannot_read() -> None:
    bench = Bench(a_definition(a_wait(where="event.n > 5")))
    bench.start()
    assert unclaimed(bench.offer("paid", {}, id="p1")) == [("p1", "unclaimed", "where_failed:missing_field")]


def test_an_event_that_is_late() -> None:
    bench = Bench(a_definition(a_wait(within="10s")))
    bench.start()
    assert reasons(bench, {"time_ms": NOW_MS + 10_001}) == ["late"]


def test_an_event_from_before_the_run() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.offer("paid", id="p1", keep_ms=1000)
    bench.start()
    bench.now_ms += 1001
    assert unclaimed(bench.take(TICK)) == [("p1", "expired", "before_since")]


def test_the_nearest_miss_of_all_runs_is_told() -> None:
    bench = Bench(a_definition(a_wait(where="event.n > trigger.least", within="10s")))
    bench.start({"least": 5}, id="e1")
    bench.now_ms += 10_000
    bench.start({}, id="e2")
    (effect,) = bench.offer("paid", {"n": 1}, id="p1", time_ms=NOW_MS + 10_001).effects
    assert isinstance(effect, Unclaimed)
    assert (effect.reason, effect.run) == ("where_failed:missing_field", bench.run("e2"))


# -- bounds


def test_a_full_mailbox_refuses_the_new_event_as_a_dead_letter() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")), limits=Limits(kept_events=2))
    bench.start()
    found = [bench.offer("paid", id=f"p{n}") for n in range(3)]
    assert [outcome(decision) for decision in found] == [("applied", ""), ("applied", ""), ("dead", "overflow")]
    (letter,) = found[2].effects
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "overflow"
    assert letter.message.endswith("then send the event again.")
    assert [entry.offset for entry in box(bench).entries] == [1, 2]


def test_what_a_full_mailbox_refused_is_taken_when_the_event_is_sent_again_and_not_by_its_old_record() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")), limits=Limits(kept_events=1))
    bench.start()
    bench.offer("paid", id="p1")
    refused = a_delivery(an_event("paid", "p2"), origin=an_origin(7))
    assert outcome(bench.take(refused)) == ("dead", "overflow")
    assert outcome(bench.take(CancelRun(id="x", run=bench.run()))) == ("applied", "")
    assert box(bench).entries == ()
    bench.start(id="e2")
    assert outcome(bench.take(refused)) == ("duplicate", "record")
    assert outcome(bench.take(a_delivery(an_event("paid", "p2"), origin=an_origin(8)))) == ("applied", "")


def test_payloads_are_bounded_together() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")), limits=Limits(mailbox_bytes=3000))
    bench.start()
    found = [outcome(bench.offer("paid", {"text": "x" * 1000}, id=f"p{n}"))[0] for n in range(3)]
    assert found == ["applied", "applied", "dead"]


def test_what_is_over_leaves_before_the_bound_is_asked() -> None:
    bench = Bench(a_definition(a_wait(keep="1s")), limits=Limits(kept_events=1))
    bench.offer("paid", id="p1", keep_ms=1000)
    bench.now_ms += 1001
    assert outcome(bench.offer("paid", id="p2", keep_ms=1000)) == ("applied", "")


def test_a_full_mailbox_still_hands_out() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate"), a_wait("other", take="every")), limits=Limits(kept_events=1))
    bench.start()
    bench.offer("paid", id="p1")
    bench.offer("paid", id="p2")
    assert facts(bench.offer("go"))[:2] == [("WaitSatisfied", "gate"), ("WaitStarted", "w")]


@pytest.mark.parametrize("count", [1, 40])
def test_the_end_of_keeping_is_done_a_few_entries_per_command(count: int) -> None:
    bench = Bench(a_definition(a_wait(keep="1s")))
    for n in range(count):
        bench.offer("paid", id=f"p{n}", key=f"k{n}", keep_ms=1000)
    bench.now_ms += 1001
    ended = 0
    while more := len(unclaimed(bench.take(TICK))):
        assert more <= 16
        ended += more
    assert ended == count


def test_every_delivery_ends_once() -> None:
    bench = Bench(a_definition(a_wait(keep="1s"), runs="one"))
    bench.offer("paid", id="p1", keep_ms=1000)
    bench.offer("paid", id="p2", keep_ms=1000)
    bench.offer("paid", id="p1", keep_ms=1000)
    bench.start()
    bench.start(id="e2")
    bench.now_ms += 1001
    bench.take(TICK)
    counts = tally(bench)
    ended = sum(n for name, n in counts.items() if not name.endswith("/delivered"))
    assert ended == sum(n for name, n in counts.items() if name.endswith("/delivered")) == 5
