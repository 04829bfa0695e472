"""The queue of spans: bounded, in batches, every span counted once, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streamflow.core.metrics import NoMetrics
from streamflow.core.tracing import Span
from streamflow.engine.trace import Trace
from streamflow.errors import OperationError
from streamflow.settings import Settings, Tracing
from streamflow.tracing.exporter import EXPORT_FAILED, EXPORTED, QUEUE_FULL, SpanQueue, exported_spans
from streamflow.tracing.sampling import sampling_of
from tests.conftest import eventually
from tests.servers.otlp import Receiver, receiving

CAME = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1", recorded=True)
LINKED = Trace("00-5bf92f3577b34da6a3ce929d0e0e4736-10f067aa0ba902b7-01", recorded=True)


class Counting(NoMetrics):
    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        assert name == "trace_spans"
        self.spans[labels["outcome"]] += int(value)


class Gate:
    """An export that waits until it is let through."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered, self.open = threading.Event(), threading.Event()
        self.taken: bool | Exception = True

    def __call__(self, spans: Sequence[Span]) -> bool:
        self.entered.set()
        assert self.open.wait(20)
        self.batches.append(len(spans))
        if isinstance(self.taken, Exception):
            raise self.taken
        return self.taken


def a_span(nth: int = 0) -> Span:
    facts: dict[str, Any] = {"messaging.kafka.offset": nth, "streamflow.steps": ("a", "b"), "streamflow.run": "r"}
    return Span(CAME.at(str(nth)), CAME, "process orders", "consumer", 1_000, 3_000, facts, (LINKED,), "bad")


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def a_queue(gate: Gate, **limits: Any) -> tuple[SpanQueue, Counter[str]]:
    metrics = Counting()
    queue = SpanQueue(Tracing(**({"export_s": 0.05} | limits)), gate, metrics)
    queue.start()
    return queue, metrics.spans


def test_what_there_is_no_room_for_is_dropped_and_counted(gate: Gate) -> None:
    queue, counts = a_queue(gate, queue_spans=3, batch_spans=2)
    queue.take((a_span(),))
    assert gate.entered.wait(20)  # one is with the receiver, which does not answer
    for nth in range(5):
        queue.take((a_span(nth),))
    assert counts == {QUEUE_FULL: 2}
    gate.open.set()
    queue.close()
    assert counts == {QUEUE_FULL: 2, EXPORTED: 4}
    assert gate.batches == [1, 2, 1]


@pytest.mark.parametrize("failure", [False, RuntimeError("no")])
def test_a_batch_that_is_not_taken_is_dropped_and_counted(gate: Gate, failure: bool | Exception) -> None:
    gate.taken = failure
    gate.open.set()
    queue, counts = a_queue(gate)
    for nth in range(3):
        queue.take((a_span(nth),))
    queue.close()
    assert counts == {EXPORT_FAILED: 3}


def test_spans_leave_without_a_full_batch(gate: Gate) -> None:
    gate.open.set()
    queue, counts = a_queue(gate, batch_spans=100)
    queue.take((a_span(),))
    eventually(lambda: counts[EXPORTED] == 1)
    queue.close()


def test_what_one_hop_makes_is_exported_in_batches_of_the_size(gate: Gate) -> None:
    queue, counts = a_queue(gate, batch_spans=4)
    queue.take(a_span(nth) for nth in range(9))
    gate.open.set()
    queue.close()
    assert counts == {EXPORTED: 9}
    assert gate.batches == [4, 4, 1]


def test_spans_are_made_later_unless_many_wait(gate: Gate) -> None:
    made: list[int] = []

    def making(nth: int) -> Iterator[Span]:
        made.append(nth)
        yield a_span(nth)

    queue, counts = a_queue(gate, queue_spans=1000, export_s=60)
    for nth in range(200):
        queue.take(making(nth))
    assert made == list(range(128, 200))
    gate.open.set()
    queue.close()
    assert sorted(made) == list(range(200))
    assert counts == {EXPORTED: 200}


def test_a_span_that_cannot_be_made_is_counted_and_ends_nothing(gate: Gate) -> None:
    def failing(nth: int) -> Span:
        raise ValueError(f"no span {nth}")

    queue, counts = a_queue(gate)
    queue.take(failing(nth) for nth in range(2))
    queue.take((a_span(),))
    gate.open.set()
    queue.close()
    assert counts == {EXPORT_FAILED: 1, EXPORTED: 1}


def settings_for(receiver: Receiver, **more: Any) -> Settings:
    return Settings(environment="test", tracing=Tracing(endpoint=receiver.endpoint, export_s=0.05, **more))


def test_a_receiver_gets_what_a_span_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "a key")
    with receiving() as receiver:
        settings = settings_for(receiver, headers={"x-key": "env:COLLECTOR_KEY"})
        with exported_spans(settings, "engine", None) as tracer:
            assert tracer is not None
            tracer.take((a_span(7),))
        (span,) = receiver.spans
        assert (span.trace_id, span.span_id, span.parent_id) == (CAME.trace_id, CAME.at("7").span_id, CAME.span_id)
        assert (span.name, span.kind, span.state) == ("process orders", "consumer", "vendor=1")
        assert (span.began_ns, span.ended_ns, span.status) == (1_000, 3_000, 2)
        assert span.links == ((LINKED.trace_id, LINKED.span_id),)
        assert span.attributes == dict(a_span(7).attributes) | {"error.type": "bad"}
        assert span.resource["service.name"] == "streamflow-engine"
        assert span.resource["deployment.environment.name"] == "test"
        assert receiver.exports[0]["x-key"] == "a key"


def test_a_receiver_that_refuses_costs_spans_only() -> None:
    metrics = Counting()
    with receiving() as receiver:
        receiver.status = 400
        with exported_spans(settings_for(receiver, timeout_s=0.5), "engine", metrics) as tracer:
            assert tracer is not None
            tracer.take((a_span(),))
    assert metrics.spans == {EXPORT_FAILED: 1}


def test_without_an_endpoint_nothing_is_exported_and_nothing_sampled() -> None:
    with exported_spans(Settings(), "engine", None) as tracer:
        assert tracer is None
    assert sampling_of(Tracing()) is None


def test_without_the_extra_the_settings_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "streamflow.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with (
        pytest.raises(OperationError) as caught,
        exported_spans(Settings(tracing=Tracing(endpoint="http://127.0.0.1:1/v1/traces")), "engine", None),
    ):
        pass
    assert caught.value.code == "tracing_missing"


def test_no_process_imports_the_sdk_at_its_start() -> None:
    program = (
        "import sys, streamflow.cli.main, streamflow.cli.worker, streamflow.sidecar.app, streamflow.runtime.engine, "
        "agents.engine, agents.ingress, agents.tasks, agents.history; "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"
