"""What asks a broker over TLS and ends leaves no socket open, even when the other end does not answer the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamflow.kafka import greeting
from streamflow.kafka.aiokafka_patches import WatchedProtocol, run_and_disconnect
from tests.servers.certificates import Authority


@contextmanager
def silent_server(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a server for one connection, which greets it in TLS and says nothing more."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            listening.settimeout(30)
            with context.wrap_socket(listening.accept()[0], server_side=True):
                over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(30)


@pytest.fixture
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    authority = Authority(tmp_path_factory.mktemp("silent"))
    certificate = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with silent_server(context) as port:
        yield port


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets that asyncio connects."""
    made = []
    connect = asyncio.SelectorEventLoop.sock_connect

    async def noted(self: asyncio.SelectorEventLoop, sock: socket.socket, address: tuple[str, int]) -> None:
        made.append(sock)
        await connect(self, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", noted)
    return made


async def connect(port: int) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    protocol = WatchedProtocol(loop.create_future(), asyncio.StreamReader(loop=loop), loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port, ssl=context)
    return transport


@pytest.mark.parametrize("closed", [True, False], ids=["given-up", "left"])
def test_a_loop_ends_after_its_connections(port: int, opened: list[socket.socket], closed: bool) -> None:
    async def ask() -> str:
        transport = await connect(port)
        if closed:
            transport.close()  # as aiokafka, which does not wait
        return "answered"

    assert run_and_disconnect(ask()) == "answered"
    assert [one.fileno() for one in opened] == [-1]


def test_what_fails_ends_its_connections_too(port: int, opened: list[socket.socket]) -> None:
    async def ask() -> None:
        await connect(port)
        raise LookupError

    with pytest.raises(LookupError):
        run_and_disconnect(ask())
    assert [one.fileno() for one in opened] == [-1]


def test_a_greeting_in_tls_leaves_nothing_open(port: int, opened: list[socket.socket]) -> None:
    assert asyncio.run(greeting._speaks_tls("127.0.0.1", port))
    assert [one.fileno() for one in opened] == [-1]
