"""What the names of connections to stores may lead to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.operations.buckets import Buckets
from streamflow.operations.nats import _connected
from streamflow.operations.postgres_pool import Database
from streamflow.settings import Connection, Settings, Tasks
from tests.contract.servers import attempt

NEVER = ("169.254.169.254", "192.0.0.192", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254")


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def found(_loop: Any, _host: str, port: int, **_more: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (one, port)) for family, one in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)


async def postgres() -> None:
    connection = Connection(kind="postgres", url="postgresql://db.example/shop", user="u")
    async with Database("store", connection, "p").transaction(1.0, read_only=True):
        pass


async def nats() -> None:
    await _connected("store", Connection(kind="nats", url="nats://bus.example:4222", user="u"), "p")


async def s3() -> None:
    made = Connection(kind="s3", url="http://objects.example:9000", options={"bucket": "b"})
    settings = Settings(tasks=Tasks(connections={"store": made}))
    await Buckets(settings).bucket("store", None, attempt(connection=lambda name: made))


DIALLING: dict[str, Callable[[], Awaitable[None]]] = {"postgres": postgres, "nats": nats, "s3": s3}


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("address", NEVER)
def test_no_connection_is_dialled_at_a_clouds_metadata(
    kind: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answers in ((address,), ("127.0.0.1", address)):
        resolving(monkeypatch, *answers)
        with pytest.raises(OperationError) as raised:
            asyncio.run(DIALLING[kind]())  # type: ignore[arg-type]
        assert (raised.value.code, raised.value.retryable) == ("connection_invalid", False)
        assert address in raised.value.message


@pytest.mark.parametrize("kind", ["postgres", "nats"])
def test_what_is_dialled_is_the_address_that_was_judged(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        listening.settimeout(10)
        answers = iter(["127.0.0.1"] + ["169.254.169.254"] * 9)

        async def found(_loop: Any, host: str, _port: int, **_more: Any) -> list[Any]:
            address = next(answers) if host == "rebound.example" else host
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)

        async def dial() -> None:
            if kind == "nats":
                await _connected("s", Connection(kind="nats", url=f"nats://rebound.example:{port}", user="u"), "p")
            else:
                made = Connection(kind="postgres", url=f"postgresql://rebound.example:{port}/shop", user="u")
                async with Database("s", made, "p").transaction(2.0, read_only=True):
                    pass

        async def check() -> str:
            def accept() -> None:
                accepted, _ = listening.accept()
                accepted.close()

            accepting = asyncio.get_running_loop().run_in_executor(None, accept)
            with pytest.raises(OperationError) as raised:
                await dial()
            await accepting
            return raised.value.code

        assert asyncio.run(check()) in ("database_unavailable", "nats_unavailable")
