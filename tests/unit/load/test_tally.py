"""Latencies are measured from intended times, once for each run, whatever comes twice or from elsewhere."""

from __future__ import annotations

import random

import pytest

from streamflow.load.tally import Percentiles, Tally, percentiles


def tally(*intended: tuple[int, str, float]) -> Tally:
    found = Tally()
    for number, id_, at_s in intended:
        found.intend(number, id_, at_s)
    return found


def test_percentiles_are_by_nearest_rank() -> None:
    values = [number / 1000 for number in range(1, 1001)]
    random.Random(1).shuffle(values)

    assert percentiles(values) == Percentiles(count=1000, p50=500, p90=900, p99=990, p999=999, max=1000)
    assert percentiles([0.25]) == Percentiles(count=1, p50=250, p90=250, p99=250, p999=250, max=250)
    assert percentiles([]) is None


def test_a_stall_is_the_delay_of_everything_that_was_to_be_sent_meanwhile() -> None:
    """What a closed loop would have measured is one slow answer and nine quick ones."""
    found = Tally()
    for number in range(10):
        intended_s = number * 0.1
        found.intend(number, f"e{number}", intended_s)
        found.send(intended_s, max(intended_s, 1.0))  # the client took nothing before
        found.accept(intended_s, max(intended_s, 1.0) + 0.01)

    accepted, late = percentiles(found.samples["accepted"]), percentiles(found.samples["lateness"])
    assert accepted is not None
    assert late is not None
    assert accepted.p50 == pytest.approx(510)  # nearest rank: the fifth of ten
    assert accepted.max == pytest.approx(1010)
    assert late.max == pytest.approx(1000)


def test_a_run_is_measured_from_its_event_to_its_first_transition_and_its_end() -> None:
    found = tally((0, "placed", 1.0), (0, "paid", 2.0))
    found.start("run", "placed", 1.5)
    assert (found.open, found.started) == (1, 1)
    found.end("run", "completed", 2.25)

    assert list(found.samples["first_transition"]) == [0.5]
    assert list(found.samples["end"]) == [0.25]  # from the event that came last
    assert (found.open, found.ended) == (0, {"completed": 1})


def test_an_end_before_the_last_event_is_measured_from_the_one_before_it() -> None:
    found = tally((0, "placed", 1.0), (0, "paid", 5.0))
    found.start("run", "placed", 1.5)
    found.end("run", "failed", 1.75)

    assert list(found.samples["end"]) == [0.75]


def test_copies_are_counted_once() -> None:
    for copies in (
        ("start", "start", "end"),
        ("start", "end", "end"),
        ("start", "end", "start"),
        ("start", "end", "start", "end"),
    ):
        found = tally((0, "placed", 1.0))
        for kind in copies:
            if kind == "start":
                found.start("run", "placed", 1.5)
            else:
                found.end("run", "completed", 1.75)
        assert (found.started, found.ended, found.open) == (1, {"completed": 1}, 0), copies


def test_runs_of_others_are_not_counted() -> None:
    found = tally((0, "placed", 1.0))
    found.start("other", "another event", 1.5)
    found.end("other", "completed", 1.75)
    found.park("other")

    assert (found.started, found.ended.total(), found.parked) == (0, 0, 0)


def test_a_parked_run_is_counted_until_it_ends() -> None:
    found = tally((0, "placed", 1.0))
    found.start("run", "placed", 1.5)
    found.park("run")
    found.park("run")
    assert found.parked == 1
    found.end("run", "cancelled", 3.0)
    assert found.parked == 0


def test_what_is_over_is_forgotten() -> None:
    found = Tally()
    for number in range(100):
        found.intend(number, f"e{number}", 1.0)
        found.close(number)
        found.start(f"run-{number}", f"e{number}", 1.5)
        found.end(f"run-{number}", "completed", 2.0)

    assert (found._instances, found._events, found._runs) == ({}, {}, {})
    assert found.begun == found.started == 100


def test_an_instance_that_still_sends_is_not_forgotten() -> None:
    found = tally((0, "placed", 1.0))
    found.start("first", "placed", 1.5)
    found.end("first", "completed", 1.75)
    found.intend(0, "again", 2.0)
    found.close(0)
    found.start("second", "again", 2.25)

    assert (found.begun, found.started) == (1, 2)


def test_refusals_are_counted_by_their_cause() -> None:
    found = tally((0, "a", 1.0))
    found.refuse("MSG_SIZE_TOO_LARGE")
    found.refuse("MSG_SIZE_TOO_LARGE")

    assert found.refused == {"MSG_SIZE_TOO_LARGE": 2}
