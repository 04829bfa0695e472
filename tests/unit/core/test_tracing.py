"""Spans as data: which there are, and that their attributes are those of the conventions."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.semconv._incubating.attributes import messaging_attributes

from streamflow.core.event_router import Entered
from streamflow.core.tracing import Span, attempt_span, decision_spans, effect_span, is_traced, source_span
from streamflow.engine.effects import PublishEvent, SendTask
from streamflow.engine.tasks import Task
from streamflow.engine.trace import Trace
from streamflow.ids import command_place
from streamflow.wire.decoding import Record
from tests.builders import a_definition, a_delivery, a_start, an_event
from tests.unit.engine.bench import Bench

CAME = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1", recorded=True)
RECORD = Record("streamflow.commands", 2, 7, 0, b"k1", b"{}")
CONVENTIONS = {value for name, value in vars(messaging_attributes).items() if name.startswith("MESSAGING_")}


def spans(bench: Bench, command: Any) -> list[Span]:
    decision = bench.take(command)
    named = {effect.id: "shipments" for effect in decision.effects if isinstance(effect, PublishEvent)}
    assert is_traced(command, decision) == (command.trace is not None and command.trace.recorded)
    return list(
        decision_spans(RECORD, command, decision, topic_id="T", group="engine", topics=named, began_ns=10, ended_ns=30)
    )


def started(bench: Bench, trace: Trace | None) -> list[Span]:
    return spans(bench, replace(a_start(bench.plan), trace=trace, correlation_id="ours"))


def test_a_decision_is_one_span_for_each_run_and_one_for_each_event_it_emits() -> None:
    bench = Bench(a_definition({"id": "tell", "emit": {"event": "told"}}))
    decided, created = started(bench, CAME)
    assert (decided.name, decided.kind, decided.parent, decided.links) == (
        *("process streamflow.commands", "consumer", CAME, ()),
    )
    assert (decided.began_ns, decided.ended_ns, decided.error) == (10, 30, "")
    assert decided.attributes["streamflow.run"] == bench.run()
    assert decided.attributes["streamflow.transitions"] == ("RunStarted", "EventEmitted", "RunCompleted")
    assert decided.attributes["streamflow.steps"] == ("tell",)
    assert decided.attributes["streamflow.correlation_id"] == "ours"
    assert (created.name, created.kind, created.parent) == ("create shipments", "producer", decided.trace)
    assert created.trace.span_id not in (decided.trace.span_id, CAME.span_id)


def test_a_command_that_does_nothing_in_a_run_is_a_span_of_its_own() -> None:
    bench = Bench(a_definition({"id": "tell", "emit": {"event": "told"}}))
    command = replace(a_delivery(an_event("nothing")), trace=CAME)
    (span,) = spans(bench, command)
    assert span.trace == CAME.at(command_place("T", 2, 7))
    assert (span.attributes["streamflow.outcome"], span.attributes["streamflow.command"]) == ("rejected", "Deliver")


def test_a_parked_step_is_an_error_of_its_span() -> None:
    bench = Bench(a_definition({"id": "odd", "set": [{"name": "x", "expr": "1 / (trigger.n - 1)"}]}))
    (span,) = spans(bench, replace(a_start(bench.plan, an_event("placed", data={"n": 1})), trace=CAME))
    assert span.error


@pytest.mark.parametrize("trace", [None, replace(CAME, recorded=False)])
def test_what_is_not_recorded_has_no_spans(trace: Trace | None) -> None:
    assert started(Bench(a_definition({"id": "tell", "emit": {"event": "told"}})), trace) == []


def a_task(**changes: Any) -> Task:
    bench = Bench(a_definition({"id": "call", "call": {"operation": "shop.reserve"}}))
    decision = bench.take(replace(a_start(bench.plan), trace=CAME, correlation_id="ours"))
    task = next(effect.task for effect in decision.effects if isinstance(effect, SendTask))
    assert isinstance(task, Task)
    return replace(task, **changes)


def attempted(task: Task) -> Span:
    place: dict[str, Any] = {"topic": "streamflow.tasks.default", "partition": 1, "offset": 4, "group": "tasks"}
    return attempt_span(task, **place, outcome="failed", error="http_500", began_ns=1, ended_ns=2)


def test_an_attempt_and_what_it_does_outside_are_a_span_each() -> None:
    task = a_task()
    attempt, effect = attempted(task), effect_span(task, "", 1, 2)
    assert (attempt.parent, effect.parent) == (task.trace, attempt.trace)
    assert (attempt.trace, effect.trace) == (task.attempt_trace, task.effect_trace)
    assert (attempt.error, effect.error, effect.kind, effect.name) == ("http_500", "", "client", "shop.reserve")
    assert attempt.attributes["streamflow.attempt"] == effect.attributes["streamflow.attempt"] == 1
    assert attempt.attributes["streamflow.correlation_id"] == "ours"


def test_an_operation_that_sends_a_message_is_a_producer() -> None:
    span = effect_span(a_task(operation="kafka.emit", input={"topic": "partners", "text": "x"}), "", 1, 2)
    assert (span.kind, span.name, span.attributes["messaging.destination.name"]) == (
        *("producer", "send partners", "partners"),
    )


def test_attributes_of_messaging_are_those_of_the_conventions() -> None:
    task = a_task(operation="nats.publish", input={"subject": "s", "text": "x"})
    entered = Entered(CAME.at("x"), CAME, "placed", "e1", "")
    made = [
        *started(Bench(a_definition({"id": "tell", "emit": {"event": "told"}})), CAME),
        attempted(task),
        effect_span(task, "", 1, 2),
        source_span(RECORD, entered, "ingress", 1, 2),
    ]
    names = {name for span in made for name in span.attributes}
    assert {name for name in names if name.startswith("messaging.")} <= CONVENTIONS
    assert {name.partition(".")[0] for name in names} == {"messaging", "streamflow"}
    kinds = {span.attributes["messaging.operation.type"] for span in made}
    assert kinds == {"process", "create", "send"}


def test_no_span_holds_a_payload_or_a_business_key() -> None:
    bench = Bench(a_definition({"id": "tell", "emit": {"event": "told", "data": [{"name": "a", "expr": "trigger.a"}]}}))
    command = a_start(bench.plan, an_event("placed", data={"a": "a secret"}), key="the-key")
    made = spans(bench, replace(command, trace=CAME))
    assert len(made) == 2
    assert "a secret" not in repr(made)
    assert "the-key" not in repr(made).replace(bench.run(key="the-key"), "")
