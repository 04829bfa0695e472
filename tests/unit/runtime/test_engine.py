"""What the engine's host remembers of a partition between two openings."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest

from streamflow.errors import OperationError
from streamflow.runtime.engine import EngineHost
from streamflow.settings import Settings


class Failed(NamedTuple):
    number: int
    applied: int | None


@pytest.mark.parametrize(
    ("error", "remembered"),
    [
        (MemoryError("no memory to decide command 5"), {3: 5}),
        (RuntimeError("std::bad_alloc"), {3: 5}),
        (OperationError("outputs_unsent", "The broker did not take all outputs."), {}),
    ],
)
def test_a_command_that_needed_too_much_memory_is_remembered_for_the_next_opening(
    monkeypatch: pytest.MonkeyPatch, error: Exception, remembered: dict[int, int]
) -> None:
    async def nothing(*arguments: Any) -> None:
        pass

    async def scenario() -> None:
        host = EngineHost(Settings())
        monkeypatch.setattr(host, "_recover", nothing)
        partitions: dict[int, Any] = {3: Failed(3, 4)}
        monkeypatch.setattr(host, "partitions", partitions)
        host._failed(3, error)
        await asyncio.gather(*host._recoveries)
        assert host._out_of_memory == remembered

    asyncio.run(scenario())
