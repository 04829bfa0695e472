"""Connections whose transport is none: what more of them or of their requests than are taken come to."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from streamflow.core.metrics import NoMetrics
from streamflow.sidecar.connections import HEAD_BYTES, ConnectionLimits, protocols

LIMITS = ConnectionLimits(connections=20, head_s=60, body_s=60)


class Transport(asyncio.Transport):
    """Its protocol learns of its end later, as with others."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 7), "sockname": ("127.0.0.1", 8)})
        self.written, self.aborted = b"", False

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        self.aborted = True

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def stays(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that never answers."""
    await asyncio.Event().wait()


class Counted(NoMetrics):
    """The reasons of connections that were ended."""

    def __init__(self, expected: int) -> None:
        self.reasons: list[str] = []
        self.complete = asyncio.Event()
        self._expected = expected

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        assert (name, value) == ("connections_ended", 1)
        self.reasons.append(labels["reason"])
        if len(self.reasons) == self._expected:
            self.complete.set()


def made(count: int, limits: ConnectionLimits = LIMITS, counted: Counted | None = None) -> list[tuple[Any, Transport]]:
    """So many connections of one server, and their transports."""
    http, ws = protocols(limits, counted)
    config = uvicorn.Config(stays, http=http, ws=ws, log_config=None, lifespan="off")
    config.load()
    state, found = ServerState(), []
    for _ in range(count):
        connection, transport = http(config, state, {}), Transport()
        connection.connection_made(transport)
        found.append((connection, transport))
    return found


async def end(found: list[tuple[Any, Transport]]) -> None:
    for connection, _ in found:
        connection.connection_lost(None)
        tasks = list(connection.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_each_of_many_that_come_at_once_takes_the_place_of_another() -> None:
    async def come() -> list[bool]:
        found = made(LIMITS.connections + 50)
        aborted = [transport.aborted for _, transport in found]
        await end(found)
        return aborted

    aborted = asyncio.run(come())
    assert aborted == [True] * 50 + [False] * LIMITS.connections


def test_who_does_not_read_is_counted_once_though_two_deadlines_pass() -> None:
    async def wait() -> tuple[list[bool], list[str]]:
        counted = Counted(3)
        found = made(3, ConnectionLimits(connections=20, head_s=0.01, body_s=60), counted)
        for connection, _ in found[:2]:
            connection.pause_writing()
        await counted.complete.wait()
        for connection, _ in found[:2]:
            connection._expire()
        await end(found)
        return [transport.aborted for _, transport in found], counted.reasons

    aborted, reasons = asyncio.run(wait())
    assert aborted == [True] * 3
    assert len(reasons) == 3


def test_requests_that_wait_for_answers_have_a_bound_in_bytes() -> None:
    ask = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"x" * (HEAD_BYTES - 1000))

    async def send(data: bytes) -> bytes:
        found = made(1)
        [(connection, transport)] = found
        for at in range(0, len(data), 65536):
            connection.data_received(data[at : at + 65536])
        await end(found)
        return transport.written

    def written(data: bytes) -> bytes:
        return asyncio.run(send(data))

    assert not written(head * 5)
    assert not written(head + ask % (1_000_000, b"x" * 1_000_000))
    assert written(head * 20).startswith(b"HTTP/1.1 400 ")
    assert written((ask % (60_000, b"x" * 60_000)) * 20).startswith(b"HTTP/1.1 400 ")
