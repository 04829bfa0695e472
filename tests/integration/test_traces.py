"""One event's whole trace, as a receiver of OpenTelemetry's protocol gets it: every hop, its parent and its links, also
when the engine was killed in between and has decided everything again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from confluent_kafka.admin import NewTopic

from tests.integration.forked import Forked
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.workers import CATALOG
from tests.servers.otlp import Received, Receiver, receiving

SHIPPING = """
name: shipping
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: reserve
    call:
      operation: http.request
      with: [{name: url, expr: '"PARTNER"'}, {name: json, expr: '{"order": run.key}'}]
  - id: say
    needs: [reserve]
    print: {text: '"reserved " + run.key'}
  - id: paid
    needs: [say]
    wait: {events: [{id: paid, event: order.paid}], forever: true}
  - id: ship
    needs: [paid]
    emit: {event: order.shipped, key: run.key, data: [{name: id, expr: run.key}]}
"""
ORDER, PAYMENT = "4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736"  # traces
SHOP, BANK = "00f067aa0ba902b7", "10f067aa0ba902b7"  # spans of the senders
QUIET = "6bf92f3577b34da6a3ce929d0e0e4736"  # a trace that is not to be recorded


def sent(bench: LaneBench, topic: str, event: str, key: str, headers: dict[str, str]) -> None:
    named = {"ce_specversion": "1.0", "ce_type": event, "ce_id": f"{event}-{key}", "ce_source": "/shop"} | headers
    value = json.dumps({"id": key, "total": 5, "amount": 10}).encode()
    bench.producer.produce(topic, value, key.encode(), headers=list(named.items()))
    bench.flush()


def started(bench: LaneBench, kind: Any, receiver: Receiver, **own: str) -> Forked:
    settings = {
        "STREAMFLOW_TRACING__ENDPOINT": receiver.endpoint,
        "STREAMFLOW_TRACING__EXPORT_S": "0.1",
        "STREAMFLOW_TRACING__SAMPLE_RATIO": "0",
        "STREAMFLOW_TASKS__ALLOW_HOSTS": json.dumps([f"127.0.0.1:{receiver.port}"]),
        "STREAMFLOW_TASKS__DRAIN_S": "1",
        "STREAMFLOW_ENGINE__SESSION_TIMEOUT_S": "6",
        "STREAMFLOW_ENGINE__INSTANCE_ID": "engine",
    }
    worker = Forked(kind, kind, bench.folder, bench.environment() | settings | own)
    bench.launch(worker)
    return worker


def only(spans: list[Received], name: str, **facts: Any) -> Received:
    """The one span of this name whose attributes hold `facts`."""
    wanted = {f"streamflow.{fact}": value for fact, value in facts.items()}
    found = [span for span in spans if span.name == name and wanted.items() <= span.attributes.items()]
    assert len(found) == 1, (name, facts, [(span.name, span.attributes) for span in spans])
    return found[0]


def test_the_trace_of_an_event_has_every_hop_its_parents_and_links_after_a_kill(bootstrap: str, tmp_path: Path) -> None:
    with make_lanes(bootstrap, tmp_path, partitions=1) as bench, receiving() as receiver:
        names = {name: f"{bench.prefix}{name}" for name in ("orders", "payments", "shipments")}
        for future in bench.admin.create_topics([NewTopic(name, 1) for name in names.values()]).values():
            future.result(30)
        catalog = CATALOG.replace("[TOPIC]", f"[{names['shipments']}]")
        for name in ("orders", "payments"):
            catalog = catalog.replace(f"[{name}]", f"[{names[name]}]")
        bench.publish_calls(SHIPPING.replace("PARTNER", receiver.partner), catalog)
        # nothing is saved before the kill, so that all of it is decided again
        slow = {"STREAMFLOW_ENGINE__CHECKPOINT_S": "600", "STREAMFLOW_ENGINE__CHECKPOINT_IDLE_S": "600"}
        engine = started(bench, "engine", receiver, **slow)
        started(bench, "ingress", receiver)
        tasks = started(bench, "tasks", receiver)
        bench.wait_assigned(tasks, "default")
        order = {"traceparent": f"00-{ORDER}-{SHOP}-01", "tracestate": "shop=7", "ce_correlationid": "cart 12"}
        sent(bench, names["orders"], "order.placed", "o1", order)
        sent(bench, names["orders"], "order.placed", "o2", {"traceparent": f"00-{QUIET}-{SHOP}-00"})
        bench.wait(lambda: len(receiver.requests) >= 2, "both orders to be reserved")
        waiting = bench.wait(
            lambda: [t for t in bench.transitions() if t.name == "WaitStarted" and t.key == b"o1"], "a run to wait"
        )
        run = waiting[0].fields["run"]
        bench.wait(lambda: len(receiver.trace(ORDER)) >= 5, "the first hops")
        engine.kill()
        started(bench, "engine", receiver)
        payment = {"traceparent": f"00-{PAYMENT}-{BANK}-01"}
        sent(bench, names["payments"], "order.paid", "o1", payment)
        bench.wait_history(run, "EventEmitted", "RunCompleted")
        shipped = bench.wait(lambda: list(bench.stranger.messages(names["shipments"])), "the order to be shipped")[0]
        bench.wait(lambda: len(receiver.trace(PAYMENT)) >= 3, "the last hops")

        spans = receiver.trace(ORDER)
        entered = only(spans, f"process {names['orders']}")
        begun = only(spans, f"process {bench.topic('commands')}", command="Deliver")
        attempt = only(spans, f"process {bench.topic('tasks.default')}")
        effect = only(spans, "http.request")
        answered = only(spans, f"process {bench.topic('commands')}", command="CompleteAttempt")
        assert len(spans) == 5
        assert [one.parent_id for one in (entered, begun, attempt, effect, answered)] == [
            SHOP,
            entered.span_id,
            begun.span_id,
            attempt.span_id,
            attempt.span_id,
        ]
        assert [one.kind for one in (entered, begun, attempt, effect, answered)] == [
            *("consumer", "consumer", "consumer", "client", "consumer")
        ]
        assert [one.service for one in (entered, begun, attempt, effect, answered)] == [
            *("streamflow-ingress", "streamflow-engine", "streamflow-tasks", "streamflow-tasks", "streamflow-engine")
        ]
        assert {one.state for one in spans} == {"shop=7"}
        assert not any(one.links or one.status == 2 for one in spans)
        assert all(one.attributes["streamflow.run"] == run for one in (begun, attempt, effect, answered))
        assert begun.attributes["streamflow.correlation_id"] == attempt.attributes["streamflow.correlation_id"]
        assert begun.attributes["streamflow.transitions"] == ("RunStarted", "CallRequested")
        assert answered.attributes["streamflow.transitions"] == ("AttemptSucceeded", "LinePrinted", "WaitStarted")
        assert entered.attributes["messaging.kafka.offset"] == 0
        assert entered.attributes["messaging.consumer.group.name"] == f"{bench.prefix}ingress"

        # what the partner was asked, and what is in `runs`, names these spans
        asked = [one for one in receiver.requests if one.get("traceparent", "").startswith(f"00-{ORDER}")]
        assert {one["traceparent"] for one in asked} == {f"00-{ORDER}-{effect.span_id}-01"}
        assert {one["tracestate"] for one in asked} == {"shop=7"}
        told = {t.fields["seq"]: dict(t.headers)["traceparent"].decode()[36:52] for t in bench.transitions(run)}
        assert told[1] == told[2] == begun.span_id
        assert told[3] == told[5] == answered.span_id

        # the payment goes on in its own trace, with a link to the run's
        later = receiver.trace(PAYMENT)
        paid = only(later, f"process {names['payments']}")
        woken = only(later, f"process {bench.topic('commands')}", command="Deliver")
        created = only(later, f"create {names['shipments']}")
        assert [one.parent_id for one in (paid, woken, created)] == [BANK, paid.span_id, woken.span_id]
        assert (paid.links, woken.links, created.links) == ((), ((ORDER, begun.span_id),), ())
        assert created.kind == "producer"
        headers = dict(shipped.headers())
        assert headers["traceparent"].decode() == f"00-{PAYMENT}-{created.span_id}-01"
        assert headers["ce_correlationid"] == b"cart 12"
        assert told[6] == told[8] == woken.span_id

        # what was decided again is the same spans again, and no others
        copies = receiver.by_id()
        assert any(len(found) > 1 for found in copies.values())
        for found in copies.values():
            facts = {
                (one.parent_id, one.name, one.kind, one.links, one.state, tuple(sorted(one.attributes.items())))
                for one in found
            }
            assert len(facts) == 1
        assert {span.trace_id for span in receiver.spans} == {ORDER, PAYMENT}

        # the other order passed its context on as it came
        assert {one["traceparent"] for one in receiver.requests if one not in asked} == {f"00-{QUIET}-{SHOP}-00"}

        # lines of the log are found by the trace and by the correlation id
        logged = [json.loads(line) for line in engine.log.read_text().splitlines() if line.startswith("{")]
        lines = [line for line in logged if line["event"] == "print" and line["run"] == run]
        assert lines[0] | {"trace_id": ORDER, "correlation_id": "cart 12", "scope": "", "step": "say"} == lines[0]
        assert (lines[0]["topic"], lines[0]["partition"]) == (bench.topic("commands"), 0)
        assert isinstance(lines[0]["offset"], int)
