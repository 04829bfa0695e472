"""Tasks: what the engine asks of task workers, the records of `tasks.<lane>`.

A task is one attempt. Its `idempotency_key` is the same for all attempts of a step (and item), its `id` differs
for each of them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.address import address_of
from streamflow.engine.trace import Trace


class Task(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="call"):
    """Do `operation` with `input`, and answer with CompleteAttempt, FailAttempt or SuspendAttempt under `run`,
    `address`, `attempt` and `item`.

    `timeout_ms` counts from the worker's start of the attempt. When the record is older than `queue_ms` before that, or
    `deadline_ms` (broker's time) has passed, it is not started but answered as `queue_expired` or `deadline_passed`."""

    id: str  # <run>/<address>[/<item>]/<attempt>
    idempotency_key: str  # <run>/<address>[/<item>]
    run: str
    definition: str
    version: str
    key: str
    step: str
    attempt: int
    operation: str
    input: Any
    timeout_ms: int
    queue_ms: int
    deadline_ms: int | None = None
    item: int | None = None
    trace: Trace | None = None  # the span that asks for it
    scope: str = ""
    correlation_id: str = ""  # of the run; empty: it has none

    @property
    def address(self) -> str:
        """The address of the step."""
        return address_of(self.scope, self.step)

    @property
    def attempt_trace(self) -> Trace | None:
        """The span of the attempt, which its answer continues."""
        return None if self.trace is None else self.trace.at(self.id)

    @property
    def effect_trace(self) -> Trace | None:
        """The span of what the attempt does outside."""
        return None if self.trace is None else self.trace.at(f"{self.id}/effect")


class CancelTask(Struct, frozen=True, gc=False, tag_field="kind", tag="cancel"):
    """The result of task `id` is no longer needed: it is not started, or cancelled where it runs. A courtesy; its
    result is refused anyway."""

    id: str
    key: str


def idempotency_key(run: str, address: str, item: int | None) -> str:
    """What is the same for all attempts (law effects-outside)."""
    return f"{run}/{address}" if item is None else f"{run}/{address}/{item}"


def task_id(run: str, address: str, item: int | None, attempt: int) -> str:
    return f"{idempotency_key(run, address, item)}/{attempt}"
