"""The trace context and the correlation id of a request: passed on with what it asks for, in its log lines, and as a
separate span where its trace is recorded."""

from __future__ import annotations

import time
import uuid
from contextlib import nullcontext
from contextvars import ContextVar
from typing import NamedTuple

from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from streamflow.core.tracing import Span, Tracer
from streamflow.engine.commands import Command, StartRun
from streamflow.engine.trace import Sampling, Trace, identifiers, read_correlation, read_trace
from streamflow.ops.produce import Outgoing
from streamflow.wire.cloudevents import CORRELATION, TRACE_PARENT, TRACE_STATE, trace_headers

CORRELATION_HEADER = "X-Correlation-Id"
_ASKS = frozenset({"POST", "PUT", "PATCH", "DELETE"})  # what only reads begins no trace


class Caller(NamedTuple):
    """The caller's own id of a request."""

    trace: Trace | None = None  # the span of the request, or what came with it
    correlation_id: str = ""  # empty: nothing


NOBODY = Caller()
_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def stamped(command: Command) -> Command:
    """A command that the request asks for, with its trace and, if it is a start without one, its correlation id."""
    caller = _caller.get()
    if caller.trace is not None and getattr(command, "trace", caller.trace) is None:
        command = replace(command, trace=caller.trace)
    if caller.correlation_id and isinstance(command, StartRun) and not command.correlation_id:
        command = replace(command, correlation_id=caller.correlation_id)
    return command


def stamped_record(record: Outgoing) -> Outgoing:
    """An event that the request hands in, as a record with its trace and correlation id unless it has its own."""
    caller, named = _caller.get(), {name for name, _ in record.headers}
    added: tuple[tuple[str, bytes], ...] = ()
    if not named & {TRACE_PARENT, f"ce_{TRACE_PARENT}"}:
        added += trace_headers(caller.trace)
    if caller.correlation_id and not named & {CORRELATION, "ce_correlationid"}:
        added += ((CORRELATION, caller.correlation_id.encode()),)
    return Outgoing(record.key, record.value, (*record.headers, *added)) if added else record


class Traced:
    """ASGI middleware, inside of the guard. Without `sampling` no span is made; `tracer` gets those that are."""

    def __init__(self, app: ASGIApp, *, sampling: Sampling | None = None, tracer: Tracer | None = None) -> None:
        self._app = app
        self._sampling = sampling
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        came = read_trace(headers.get(TRACE_PARENT), headers.get(TRACE_STATE))
        trace = came
        if self._sampling is not None and (came is not None or scope["method"] in _ASKS):
            trace = self._sampling.enter(came, f"request/{uuid.uuid4()}")
        correlation_id = read_correlation(headers.get(CORRELATION_HEADER))
        began_ns, status = time.time_ns(), 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _caller.set(Caller(trace, correlation_id))
        try:
            with bound_contextvars(**named) if (named := identifiers(trace, correlation_id)) else nullcontext():
                await self._app(scope, receive, answered)
        finally:
            _caller.reset(token)
            if self._tracer is not None and trace is not None and trace.recorded:
                self._tracer.take((_span(scope, trace, came, correlation_id, status, began_ns),))


def _span(scope: Scope, trace: Trace, came: Trace | None, correlation_id: str, status: int, began_ns: int) -> Span:
    method, route = scope["method"], str(getattr(scope.get("route"), "path", ""))
    facts: dict[str, str | int] = {"http.request.method": method, "http.response.status_code": status}
    if route:
        facts["http.route"] = route
    if correlation_id:
        facts["streamflow.correlation_id"] = correlation_id
    error = str(status) if status >= 500 else "" if status else "no_answer"
    name = f"{method} {route}" if route else method
    return Span(trace, came, name, "server", began_ns, time.time_ns(), facts, (), error)
