"""The connections with which ingress asks for the end of `definitions`."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from streamflow.errors import OperationError
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.runtime.versions import PublishedVersions
from tests.conftest import make_settings


def test_a_broker_that_has_gone_while_the_worker_starts_is_no_fault_of_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    settings = make_settings(address, tmp_path)

    async def start() -> None:
        versions = PublishedVersions(settings, DefinitionsLog(settings))
        try:
            await versions.start()
        finally:
            await versions.stop()

    with pytest.raises(OperationError) as caught:
        asyncio.run(start())
    assert caught.value.code == "broker_unreachable"
