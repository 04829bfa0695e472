"""`debug.echo`: gives its input back, late or not at all if asked to. For trying retries and limits out, and for
measuring what a call costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Health, Operation


class Echo:
    """Gives `value` back after `delay_ms`; with `fail` it ends with that error, on the first `fail_attempts` attempts
    or on all."""

    spec = OperationSpec(
        name="debug.echo",
        title="Echo",
        description="Gives its value back, for trying things out.",
        input={
            "type": "object",
            "properties": {
                "value": {},
                "delay_ms": {"type": "integer", "minimum": 0, "maximum": 3_600_000},
                "fail": {"enum": ["echo_refused", "echo_unavailable"]},
                "fail_attempts": {"type": "integer", "minimum": 1},
            },
            "additionalProperties": False,
        },
        output={"type": "object", "properties": {"value": {}}, "required": ["value"], "additionalProperties": False},
        errors=[
            DeclaredError(id="echo_refused", title="asked to fail for good", retryable=False),
            DeclaredError(id="echo_unavailable", title="asked to fail for now"),
        ],
    )

    async def start(self) -> None:
        """Nothing is needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Does as the input says."""
        if delay_ms := input.get("delay_ms"):
            await asyncio.sleep(delay_ms / 1000)
        code = input.get("fail")
        if code is not None and attempt.attempt <= input.get("fail_attempts", attempt.attempt):
            raise OperationError(
                code,
                f"expected nothing else: attempt {attempt.attempt} was asked to fail",
                retryable=code == "echo_unavailable",
            )
        return {"value": input.get("value")}

    async def health(self) -> Health:
        """Always well."""
        return Health(ok=True)

    async def close(self) -> None:
        """Nothing is held."""


def operations() -> Sequence[Operation]:
    """What this module has."""
    return (Echo(),)
