"""The health of the operations of a worker, asked of all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from streamflow.operations.contract import Health, Operation

_ANSWER_S = 10.0


async def health_of(operation: Operation) -> Health:
    """The health of `operation`; not well when asking fails or takes longer than some seconds."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await operation.health()
    except TimeoutError:
        return Health(ok=False, detail=f"no answer within {_ANSWER_S:g} s")
    except Exception as error:  # noqa: BLE001 - whatever another party's operation does is its health
        return Health(ok=False, detail=f"{type(error).__name__}: {error}")


async def capabilities(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """`{"name", "ok", "detail"}` of each operation, by name: what a task worker announces."""
    asked = sorted(operations, key=lambda operation: operation.spec.name)
    answers = await asyncio.gather(*map(health_of, asked))
    return [
        {"name": operation.spec.name, "ok": health.ok, "detail": health.detail[:300]}
        for operation, health in zip(asked, answers, strict=True)
    ]
