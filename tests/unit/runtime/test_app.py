"""How the engine's process starts and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streamflow.errors import OperationError
from streamflow.runtime.app import create_app, serve
from streamflow.runtime.engine import EngineHost
from streamflow.settings import Engine, Kafka, Settings


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


@pytest.mark.parametrize(("session_s", "heartbeat_s"), [(45.0, 3.0), (10.0, 2.5), (2.0, 0.5)])
def test_a_long_session_timeout_does_not_delay_a_rebalance(
    session_s: float, heartbeat_s: float, tmp_path: Path
) -> None:
    """A member sees a rebalance by the answer to its next heartbeat."""
    settings = Settings(
        state_dir=tmp_path,
        kafka=Kafka(bootstrap_servers="127.0.0.1:1"),
        engine=Engine(session_timeout_s=session_s),
    )
    app = create_app(settings, EngineHost(settings))
    assert (app.conf.broker_session_timeout, app.conf.broker_heartbeat_interval) == (session_s, heartbeat_s)
