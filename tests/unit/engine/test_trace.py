"""Trace context: what is passed on, which spans a decision names, and that a decision made again names the same."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamflow.engine.commands import CompleteAttempt, FireTimer
from streamflow.engine.effects import PrintLine, PublishEvent, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.trace import (
    CORRELATION_CHARS,
    STATE_CHARS,
    RunTrace,
    Sampling,
    Trace,
    identifiers,
    read_correlation,
    read_trace,
    span_id,
)
from streamflow.ids import command_place
from tests.builders import a_definition, a_delivery, a_start, an_event, an_origin
from tests.unit.engine.bench import Bench
from tests.unit.engine.mailbox.steps import a_wait

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CAME = Trace(f"00-{ID}-{SPAN}-01", "vendor=1", recorded=True)
OTHER = Trace(f"00-{'5' * 32}-{SPAN}-01", recorded=True)
QUIET = Trace(f"00-{ID}-{SPAN}-00")


# -- reading what comes


@pytest.mark.parametrize(
    ("parent", "read"),
    [
        (f"00-{ID}-{SPAN}-01", f"00-{ID}-{SPAN}-01"),
        (f"00-{ID}-{SPAN}-00", f"00-{ID}-{SPAN}-00"),
        (f"cc-{ID}-{SPAN}-01-what-a-later-version-adds", f"00-{ID}-{SPAN}-01"),
        (f"00-{ID}-{SPAN}-01-more", None),
        (f"ff-{ID}-{SPAN}-01", None),
        (f"00-{ID.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{ID}-{'0' * 16}-01", None),
        (f"00-{ID}-{SPAN}", None),
        (f"00-{ID}-{SPAN}-01\n", None),
        ("00-" + "a" * 500_000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_as_the_specification_says(parent: str | None, read: str | None) -> None:
    found = read_trace(parent)
    assert (None if found is None else found.parent) == read


@pytest.mark.parametrize(
    ("state", "kept"),
    [("a=1,b=2", "a=1,b=2"), (None, ""), ("a=" + "1" * STATE_CHARS, ""), ("a=\n1", ""), ("a=ü", "")],
)
def test_a_tracestate_that_cannot_be_passed_on_is_left_out(state: str | None, kept: str) -> None:
    found = read_trace(CAME.parent, state)
    assert found is not None
    assert found.state == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("order 7/A", "order 7/A"), (None, ""), ("x" * (CORRELATION_CHARS + 1), ""), ("a\nb", ""), ("grün", "")],
)
def test_a_correlation_id_is_short_and_printable(text: str | None, kept: str) -> None:
    assert read_correlation(text) == kept


# -- sampling


def test_the_flag_of_the_caller_decides_and_no_ratio() -> None:
    for ratio in (0.0, 1.0):
        entered = Sampling(ratio).enter(read_trace(CAME.parent, "vendor=1"), "t/0/1")
        assert entered == CAME.at("t/0/1")
        assert Sampling(ratio).enter(QUIET, "t/0/1") is QUIET


def test_a_share_of_the_traces_that_begin_here_is_recorded_and_always_the_same_ones() -> None:
    places = [f"t/0/{offset}" for offset in range(4000)]
    begun = [Sampling(0.25).enter(None, place) for place in places]
    assert 0.2 < sum(trace is not None for trace in begun) / len(places) < 0.3
    assert begun == [Sampling(0.25).enter(None, place) for place in places]
    assert all(trace.recorded and trace.is_sampled and read_trace(trace.parent) for trace in begun if trace)
    assert Sampling(0.0).enter(None, "t/0/1") is None
    assert all(Sampling(1.0).enter(None, place) for place in places)


def test_a_span_is_named_by_its_trace_and_place_alone() -> None:
    assert CAME.at("a") == CAME.at("a") != CAME.at("b")
    assert (CAME.at("a").trace_id, CAME.at("a").state, CAME.at("a").is_sampled) == (ID, "vendor=1", True)
    assert CAME.at("a").span_id == span_id(ID, "a") != OTHER.at("a").span_id
    assert QUIET.at("a") is QUIET


def test_log_lines_have_only_the_ids_that_there_are() -> None:
    assert identifiers(None, "") == {}
    assert identifiers(CAME, "ours") == {"trace_id": ID, "correlation_id": "ours"}


# -- what a decision passes on


def a_bench(*steps: dict[str, Any]) -> Bench:
    return Bench(a_definition(*steps))


def begun(bench: Bench, trace: Trace | None, correlation_id: str = "") -> Decision:
    return bench.take(replace(a_start(bench.plan), trace=trace, correlation_id=correlation_id))


def place_of(bench: Bench, offset: int, run: str) -> str:
    return f"{command_place(bench.own().topic_id, bench.own().partition, offset)}/{run}"


def test_every_output_of_a_decision_is_a_child_of_its_span() -> None:
    bench = a_bench(
        {"id": "say", "print": {"text": "'hello'"}},
        {"id": "call", "call": {"operation": "shop.reserve"}},
        {"id": "tell", "emit": {"event": "told"}},
    )
    decision = begun(bench, CAME, "ours")
    run = bench.run()
    own = CAME.at(place_of(bench, 0, run))
    assert decision.traces == {run: RunTrace(own, CAME)}
    assert (own.trace_id, own.span_id != SPAN) == (ID, True)
    by_kind = {type(effect): effect for effect in decision.effects}
    task, event, line = by_kind[SendTask].task, by_kind[PublishEvent], by_kind[PrintLine]  # type: ignore[union-attr]
    assert task.trace == line.trace == own  # type: ignore[union-attr]
    assert event.trace == own.at(event.id)  # type: ignore[union-attr]
    assert {task.correlation_id, line.correlation_id, event.correlation_id} == {"ours"}  # type: ignore[union-attr]
    head = bench.head()
    assert head is not None
    assert (head.trace, head.correlation_id) == (own, "ours")
    started = decision.transitions[0].data
    assert (started.trace, started.tracestate, started.recorded) == (own.parent, "vendor=1", True)
    bench.assert_heads_are_folds()


def test_an_answer_goes_on_from_the_attempt_and_a_timer_from_the_start() -> None:
    bench = a_bench(
        {"id": "call", "call": {"operation": "shop.reserve"}},
        {"id": "pause", "needs": ["call"], "delay": {"for": "10s"}},
        {"id": "tell", "needs": ["pause"], "emit": {"event": "told"}},
    )
    first = begun(bench, CAME)
    run, started = bench.run(), bench.run()
    task = next(effect.task for effect in first.effects if isinstance(effect, SendTask))
    own = first.traces[run].trace
    attempt = task.attempt_trace  # type: ignore[union-attr]
    assert attempt == own.at(task.id)
    answered = bench.take(CompleteAttempt(id="c", run=run, address="call", attempt=1, output={}, trace=attempt))
    assert answered.traces == {run: RunTrace(attempt.at(place_of(bench, 1, run)), attempt)}
    bench.now_ms += 10_000
    fired = bench.take(FireTimer(id="t", run=started, address="pause", due_ms=bench.now_ms))
    assert fired.traces == {run: RunTrace(own.at(place_of(bench, 2, run)), own)}


def paid(bench: Bench, trace: Trace | None, *, keep_ms: int = 0) -> Decision:
    """The event that the wait is for, in a trace of its own."""
    command = a_delivery(
        an_event("paid", "p1"), definition=bench.plan.name, origin=an_origin(bench.offset), keep_ms=keep_ms
    )
    return bench.take(replace(command, trace=trace))


def test_an_event_of_another_trace_goes_on_in_its_own_and_links_the_run() -> None:
    bench = a_bench(a_wait())
    started = begun(bench, CAME).traces[bench.run()].trace
    decision = paid(bench, OTHER)
    run = bench.run()
    assert decision.traces == {run: RunTrace(OTHER.at(place_of(bench, 1, run)), OTHER, (started,))}


def test_an_event_that_is_in_no_recorded_trace_leaves_the_run_in_its_own() -> None:
    for trace in (None, QUIET):
        bench = a_bench(a_wait())
        started = begun(bench, OTHER).traces[bench.run()].trace
        decision = paid(bench, trace)
        run = bench.run()
        assert decision.traces == {run: RunTrace(started.at(place_of(bench, 1, run)), started)}


def test_a_kept_event_that_a_later_wait_claims_is_linked() -> None:
    bench = a_bench(a_wait(keep="1h"))
    assert paid(bench, OTHER, keep_ms=3_600_000).traces == {}
    decision = begun(bench, CAME)
    assert "WaitSatisfied" in [one.type for one in decision.transitions]
    (found,) = decision.traces.values()
    assert (found.parent, found.links) == (CAME, (OTHER,))


def test_a_decision_that_is_made_again_names_the_same_spans() -> None:
    def played() -> list[Decision]:
        bench = a_bench(a_wait(), {"id": "tell", "needs": [a_wait()["id"]], "emit": {"event": "told"}})
        return [begun(bench, CAME), paid(bench, OTHER)]

    first, again = played(), played()
    assert [(one.traces, one.effects) for one in first] == [(one.traces, one.effects) for one in again]


def test_a_decision_outside_of_every_trace_names_none() -> None:
    bench = a_bench(a_wait())
    assert begun(bench, None).traces == {}
    assert paid(bench, None).traces == {}
