"""`print.line`: writes a line to the task worker's log, for trying things out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from streamflow.definition.catalog import OperationSpec
from streamflow.definition.model import Retry
from streamflow.operations.contract import Attempt, Health, Operation

_log = structlog.get_logger(__name__)

_TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


class PrintLine:
    """Logs `text` with the run and step it belongs to, and gives it back."""

    spec = OperationSpec(
        name="print.line",
        title="Print a line",
        description="Writes a line to the task worker's log.",
        input=_TEXT,
        output=_TEXT,
        timeout="10s",
        retry=Retry(attempts=3),
    )

    async def start(self) -> None:
        """Nothing is needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Logs the line. It appears again when the attempt is repeated."""
        _log.info("printed", text=input["text"], run=attempt.run, step=attempt.step, item=attempt.item)
        return {"text": input["text"]}

    async def health(self) -> Health:
        """Always well."""
        return Health(ok=True)

    async def close(self) -> None:
        """Nothing is held."""


def operations() -> Sequence[Operation]:
    """What this module has."""
    return (PrintLine(),)
