"""The contract of operations: what one is, what it is given, and the ways in which an attempt may end.

An operation is done at least once: after a crash the same attempt may be repeated, and a retry is made under the same
idempotency key. It ends by returning its output, by `Pending` (a system will call back), or by raising OperationError
with one of its declared codes. Cancelling the coroutine cancels the attempt. Secrets come from `Attempt.connection` and
`Attempt.secret`, never from the input.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from streamflow.definition.catalog import OperationSpec


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as an operation sees it. `timeout_s` is what is left of its time at its start; the worker enforces
    it.

    `callback_url(for_s)` makes an address at which this attempt may be answered within `for_s` seconds by anyone who
    holds it. It raises OperationError (`callbacks_off`) when no sidecar address is configured. `await
    secret(reference)` resolves a reference of the settings (`env:NAME`, `file:/path`), and what it gives is replaced by
    `[secret]` in the attempt's output and error. `connection` gives the settings of a configured connection. Both raise
    OperationError (`secret_missing`, `connection_unknown`). `trace` is the W3C traceparent for what is asked outside,
    `correlation_id` what the run's caller knows it by."""

    id: str
    idempotency_key: str
    run: str
    definition: str
    version: str
    key: str
    step: str
    attempt: int
    item: int | None
    timeout_s: float
    trace: str | None
    callback_url: Callable[[float], str]
    secret: Callable[[str], Awaitable[str]]
    connection: Callable[[str], Any]
    trace_state: str = ""
    correlation_id: str = ""

    @property
    def trace_headers(self) -> dict[str, str]:
        """The headers `traceparent` and `tracestate` (W3C Trace Context) that what is asked outside is to have; none
        when the run is in no trace."""
        found = {"traceparent": self.trace or "", "tracestate": self.trace_state if self.trace else ""}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Pending:
    """Not done yet: the receiver of the attempt's `callback_url` answers within `for_s` seconds. No worker holds
    it meanwhile."""

    for_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """Whether an operation could be done now, and what stands in the way."""

    ok: bool
    detail: str = ""


class Operation(Protocol):
    """One kind of work. One object serves all its attempts in a worker, many at the same time in one event loop."""

    spec: OperationSpec

    async def start(self) -> None:
        """Called once before the first attempt. Connections are better made when they are first needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any | Pending:
        """Do it. `input` fits `spec.input`; what is returned must fit `spec.output`. Raises OperationError."""

    async def health(self) -> Health:
        """Whether an attempt would find what it needs. Cheap; asked every minute or so."""

    async def close(self) -> None:
        """Called once, when it no longer runs."""
