"""The trace context and the correlation id of a request: with what it asks for, in log lines, and as a span."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.contextvars import get_contextvars

from streamflow.core.tracing import Span
from streamflow.engine.commands import CancelRun, Command, DefinitionRef, Event, StartRun
from streamflow.engine.trace import CORRELATION_CHARS, Sampling, Trace
from streamflow.ops.produce import Outgoing
from streamflow.sidecar.traced import Traced, stamped, stamped_record

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = {"traceparent": PARENT, "tracestate": "shop=7", "x-correlation-id": "cart 12"}
START = StartRun(
    id="c",
    definition="refund",
    key="k",
    start=DefinitionRef("sha", 4),
    event=Event(name="", id="c", time_ms=1, data={}),
)


class Asked:
    """What an application was given by one request, and the spans that were made of it."""

    def __init__(
        self, method: str = "POST", headers: dict[str, str] | None = None, ratio: float | None = None, status: int = 202
    ) -> None:
        self.spans: list[Span] = []
        self.command: Command = START
        self.record = Outgoing(b"k", b"{}", (("ce_type", b"placed"),))
        self.logged: dict[str, Any] = {}
        self._status = status
        sampling = None if ratio is None else Sampling(ratio)
        traced = Traced(self._answer, sampling=sampling, tracer=None if ratio is None else self)
        scope = {
            "type": "http",
            "method": method,
            "headers": [(name.encode(), text.encode()) for name, text in (headers or {}).items()],
        }
        asyncio.run(traced(scope, self._receive, self._send))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.command = stamped(START)
        self.record = stamped_record(self.record)
        self.logged = get_contextvars()
        await send({"type": "http.response.start", "status": self._status, "headers": []})

    async def _receive(self) -> dict[str, Any]:
        raise AssertionError("nothing is read")

    async def _send(self, message: Any) -> None:
        """Nobody waits for it."""

    def take(self, spans: Iterable[Span]) -> None:
        self.spans.extend(spans)


def test_without_tracing_the_context_goes_on_as_it_came() -> None:
    asked = Asked(headers=HEADERS)
    assert isinstance(asked.command, StartRun)
    assert (asked.command.trace, asked.command.correlation_id) == (Trace(PARENT, "shop=7"), "cart 12")
    assert asked.logged == {"trace_id": PARENT[3:35], "correlation_id": "cart 12"}
    assert asked.record.headers == (
        ("ce_type", b"placed"),
        ("traceparent", PARENT.encode()),
        ("tracestate", b"shop=7"),
        ("correlation-id", b"cart 12"),
    )


def test_a_recorded_request_is_a_span_and_its_commands_are_children_of_it() -> None:
    asked = Asked(headers=HEADERS, ratio=0.0)
    (span,) = asked.spans
    assert (span.kind, span.name, span.parent, span.error) == ("server", "POST", Trace(PARENT, "shop=7"), "")
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "streamflow.correlation_id": "cart 12",
    }
    assert isinstance(asked.command, StartRun)
    assert asked.command.trace == span.trace
    assert span.trace.trace_id == PARENT[3:35]


@pytest.mark.parametrize(("status", "error"), [(202, ""), (422, ""), (503, "503")])
def test_only_what_fails_here_is_an_error(status: int, error: str) -> None:
    assert Asked(headers=HEADERS, ratio=0.0, status=status).spans[0].error == error


def test_a_request_begins_a_trace_if_it_changes_something_and_is_sampled() -> None:
    assert len(Asked(ratio=1.0).spans) == 1
    assert Asked(ratio=0.0).spans == []
    assert Asked("GET", ratio=1.0).spans == []
    assert len(Asked("GET", HEADERS, ratio=0.0).spans) == 1


def test_what_has_a_context_of_its_own_keeps_it() -> None:
    assert stamped(START) is START
    own = Trace("00-5bf92f3577b34da6a3ce929d0e0e4736-10f067aa0ba902b7-01")
    cancel = CancelRun("c", "run", trace=own)
    assert stamped(cancel) is cancel
    record = Outgoing(b"k", b"{}", (("traceparent", b"own"), ("ce_correlationid", b"own")))
    assert stamped_record(record) is record


@pytest.mark.parametrize("where", ["body", "header"])
def test_the_correlation_id_of_a_start_is_shown_with_its_run(client: TestClient, where: str) -> None:
    body: dict[str, Any] = {"definition": "refund", "key": "R-1", "input": {"amount": 5}}
    headers = {"traceparent": PARENT}
    if where == "body":
        body["correlation_id"] = "cart 12"
    else:
        headers["X-Correlation-Id"] = "cart 12"
    answer = client.post("/runs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    shown = client.get(f"/runs/{answer.json()['run']}").json()
    assert (shown["correlation_id"], shown["trace_id"]) == ("cart 12", PARENT[3:35])


@pytest.mark.parametrize("text", ["x" * (CORRELATION_CHARS + 1), "grün", ""])
def test_a_correlation_id_that_cannot_be_one_is_refused(client: TestClient, text: str) -> None:
    body = {"definition": "refund", "key": "R-1", "input": {"amount": 5}, "correlation_id": text}
    assert client.post("/runs", json=body).json()["code"] == "request_invalid"
