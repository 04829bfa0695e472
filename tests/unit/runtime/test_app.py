"""How the engine's process starts and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streamflow.errors import OperationError
from streamflow.runtime.app import serve


class Part:
    """The host or Faust: one of them may find no broker."""

    def __init__(self, *, reaches: bool) -> None:
        self.reaches = reaches

    async def start(self) -> None:
        if not self.reaches:
            raise KafkaConnectionError("Unable to bootstrap from 127.0.0.1:1")


@pytest.mark.parametrize(("host", "faust"), [(False, True), (True, False)])
def test_a_broker_that_goes_away_while_the_engine_starts_is_named_as_the_cause(host: bool, faust: bool) -> None:
    app: Any = Part(reaches=faust)
    engine: Any = Part(reaches=host)

    with pytest.raises(OperationError) as caught:
        asyncio.run(serve(app, engine, asyncio.Event()))

    assert caught.value.code == "broker_unreachable"
    assert "127.0.0.1:1" in caught.value.message
