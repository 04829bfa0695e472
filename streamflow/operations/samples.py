"""What the contract test of an operation is given and what it reports: samples, attempts, checks."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt
from streamflow.secrets import read_secret
from streamflow.settings import Connection, Settings


@dataclass(frozen=True, slots=True)
class Sample:
    """An input and its result: any output that fits the schema, exactly `output`, or the error code `error`."""

    input: Any
    output: Any = msgspec.UNSET
    error: str | None = None
    name: str = ""

    def __str__(self) -> str:
        return self.name or json.dumps(self.input, default=str)[:60]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds, and if not, what was found and what to do."""

    what: str
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"  {'ok  ' if self.ok else 'FAIL'}  {self.what}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one operation; as text, a line for each."""

    operation: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all of them hold."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        held = sum(check.ok for check in self.checks)
        return "\n".join([f"{self.operation}: {held} of {len(self.checks)} checks hold", *map(str, self.checks)])


def make_attempt(
    operation: str,
    *,
    key: str | None = None,
    number: int = 1,
    timeout_s: float = 60.0,
    settings: Settings | None = None,
) -> Attempt:
    """An attempt as a task worker makes it: under the idempotency key `key`, or a new one; connections are those
    of `settings`."""
    run = f"00000000-{uuid.uuid4().hex[:20]}"
    idempotency_key = key or f"{run}/test"
    known = {} if settings is None else settings.tasks.connections

    def callback_url(for_s: float) -> str:
        return f"http://localhost/callbacks/test-for-{for_s:g}-s"

    def connection(name: str) -> Connection:
        if name not in known:
            raise OperationError(
                "connection_unknown",
                f"expected a connection of the settings but found {name}. Add it to the settings.",
                retryable=False,
            )
        return known[name]

    return Attempt(
        id=f"{idempotency_key}/{number}",
        idempotency_key=idempotency_key,
        run=run,
        definition="test",
        version="1",
        key=operation,
        step="test",
        attempt=number,
        item=None,
        timeout_s=timeout_s,
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        callback_url=callback_url,
        secret=read_secret,
        connection=connection,
    )
