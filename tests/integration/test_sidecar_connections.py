"""Connections that send nothing, half of something, too much, or no HTTP: with real sockets, and deadlines of parts of
a second."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings, Topics
from streamflow.sidecar.app import _listen, create_app
from streamflow.sidecar.connections import HEAD_BYTES, ConnectionLimits, protocols
from streamflow.sidecar.guard import GuardLimits
from tests.access import MemoryAccess
from tests.conftest import eventually
from tests.sidecar_log import MemoryLog

LIMITS = ConnectionLimits(connections=20, head_s=0.4, body_s=0.4)
PATIENCE_S = 60  # for an answer that is to come: a busy machine is no failure
HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def serving(app: Any, http: Any, ws: Any = "none") -> Iterator[tuple[int, uvicorn.Server]]:
    """A server of `app` and its port, while the block lasts."""
    listening = _listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=http, ws=ws, log_config=None, lifespan="off"))
    running = threading.Thread(target=server.run, args=([listening],))
    running.start()
    try:
        yield listening.getsockname()[1], server
    finally:
        server.should_exit = True
        running.join()


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """The port of a server of `app` with those limits, while the block lasts."""
    with serving(app, protocols(LIMITS)[0]) as (port, _):
        yield port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    settings = Settings(topics=Topics(partitions=2))
    app: FastAPI = create_app(settings, MemoryLog(settings), MemoryAccess(), HistoryReader(settings))
    app.user_middleware[0].kwargs["limits"] = GuardLimits(body_bytes=100_000, body_s=LIMITS.body_s, requests=5)
    with served(app) as port:
        assert is_well(port)  # the first answer waits for what is made once
        yield port


@contextlib.contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as found:
        found.sendall(sent)
        yield found


def answers(connection: socket.socket) -> list[tuple[int, str]]:
    """Every answer until the other end closes: its status and the code of its problem."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        body, data = json.loads(data[:size]), data[size:]
        found.append((int(head.split()[1]), body.get("code", "")))
    return found


def is_well(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("localhost", port, timeout=PATIENCE_S)) as client:
        client.request("GET", "/api/v1/health")
        return client.getresponse().status == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", []),
        (b"GET /api/v1/hea", [(408, "request_timeout")]),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n", [(408, "request_timeout")]),
        (HEAD + b"Content-Length: 1000\r\n\r\n{", [(408, "request_timeout")]),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", [(408, "request_timeout")]),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nff", [(408, "request_timeout")]),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api", [(200, ""), (408, "request_timeout")]),
    ],
    ids=["nothing", "line", "headers", "body", "chunks", "chunk size", "second request"],
)
def test_what_is_sent_by_halves_ends_at_its_deadline(port: int, sent: bytes, expected: list[tuple[int, str]]) -> None:
    with connected(port, sent) as connection:
        assert answers(connection) == expected
    assert is_well(port)


def test_bytes_one_by_one_move_no_deadline(port: int) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in b"GET /api/v1/health HTTP/1.1\r\n" + b"X-Slow: " + b"x" * 10_000:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)  # the pace of this client is what is tested
        assert time.monotonic() - began < 10 * LIMITS.head_s


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n", HEAD + b"Content-Length: 9\r\n\r\n{"]
)
def test_many_that_send_halves_shut_nobody_out(port: int, sent: bytes) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(260):
            open_ones.enter_context(connected(port, sent))
        for _ in range(5):
            assert is_well(port)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES, (431, "head_too_large")),
        (b"GET /" + b"x" * 2 * HEAD_BYTES, (431, "head_too_large")),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * HEAD_BYTES, (431, "head_too_large")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "bad_request")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, "bad_request")),
        (b"GET /api/v1/health HTTP/1.1\r\n\r\n", (400, "host_invalid")),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400, "host_invalid")),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: local\x01host\r\n\r\n", (400, "bad_request")),
        (b"GET /api/v1/health HTTP/1.0\r\n\r\n", (400, "host_invalid")),
        (b"GET /api/v1/health HTTP/1.0\r\nHost: [127.0.0.1]\r\n\r\n", (400, "host_invalid")),
        (HEAD + b"Content-Length: -5\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", (400, "bad_request")),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Content-Length : 2\r\n\r\n{}", (400, "bad_request")),
        (HEAD + b"X: a\r\n b\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Content-Length: 2\n\n{}", (400, "bad_request")),
        (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * HEAD_BYTES, (431, "head_too_large")),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Content-Length: 100001\r\n\r\n", (413, "body_too_large")),
        (CHUNKED + b"2710\r\n" + b"x" * 10_000 + b"\r\n", None),
        (CHUNKED + (b"2710\r\n" + b" " * 10_000 + b"\r\n") * 11, (413, "body_too_large")),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", (400, "bad_request")),
        (HEAD + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}", (400, "bad_request")),
        (b"GET /api/v1/health HTTP/2.0\r\nHost: localhost\r\n\r\n", (400, "bad_request")),
        (b"GET /api/v1/health\r\n\r\n", (400, "bad_request")),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, "bad_request")),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n") + b"2\r\n{}\r\n0\r\n"
         + b"A: b\r\n" * HEAD_BYTES, (431, "head_too_large")),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told(port: int, sent: bytes, expected: tuple[int, str] | None) -> None:
    with connected(port, sent) as connection:
        found = answers(connection)
    assert found == ([expected] if expected else [(408, "request_timeout")])
    assert is_well(port)


def test_the_size_of_a_chunk_has_an_end(port: int) -> None:
    with connected(port, HEAD + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"0" * 2 * HEAD_BYTES)
        assert answers(connection) == [(431, "head_too_large")]


def test_requests_at_once_are_answered_in_their_order_up_to_a_number(port: int) -> None:
    ask = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(port, ask + b"GET /api/v1/no HTTP/1.1\r\nHost: localhost\r\n\r\n" + ask) as connection:
        assert [status for status, _ in answers(connection)] == [200, 404, 200]
    with connected(port, ask * 1000) as connection:
        found = answers(connection)
    assert found[-1:] == [(400, "bad_request")]
    assert len(found) < 110
    assert is_well(port)


def test_an_upgrade_to_what_is_not_known_is_answered_without_it(port: int) -> None:
    ask = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n"
    with connected(port, ask + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n") as connection:
        assert answers(connection) == [(200, "")]


class Echo:
    """An application that answers once the body is complete, with the headers as it knows them then, or at `/body` with
    the body. At `/stays` it begins an answer, and waits for the end of the connection. At `/parts` it answers without a
    length, and at `/long` with as many bytes as the query says."""

    def __init__(self) -> None:
        self.begun, self.left = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/stays":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            self.begun.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"] == "/parts":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for part in (b"one", b"two"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
            return
        names = ",".join(sorted(name.decode() for name, _ in scope["headers"]))
        told = json.dumps({"code": body.decode() if scope["path"] == "/body" else names}).encode()
        if scope["path"] == "/long":
            told = b"x" * int(scope["query_string"])
        headers = [(b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def echo_port(echo: Echo) -> Iterator[int]:
    with served(echo) as port:
        yield port


def test_a_trailer_is_no_header(echo_port: int) -> None:
    with connected(echo_port, CHUNKED + b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n") as connection:
        assert answers(connection) == [(200, "content-type,host,transfer-encoding")]


def test_who_leaves_is_noticed_although_another_request_waits(echo: Echo, echo_port: int) -> None:
    """Else a stream would be served for ever to nobody."""
    ask = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(echo_port, ask % b"/stays" + ask % b"/") as connection:
        assert connection.recv(10)
        assert echo.begun.wait(PATIENCE_S)
    assert echo.left.wait(PATIENCE_S)


@contextlib.contextmanager
def watched(echo: Echo) -> Iterator[tuple[int, uvicorn.Server, Any]]:
    """A server with WebSockets, its port, and its kind of connection."""
    http, ws = protocols(LIMITS)
    with serving(echo, http, ws) as (port, server):
        yield port, server, http


def wait_until_empty(server: uvicorn.Server, http: Any) -> None:
    """Waits until no connection is known any more."""
    eventually(lambda: not (server.server_state.connections or http.waiting), timeout=PATIENCE_S)


SOCKET = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def test_a_body_behind_an_upgrade_to_what_is_not_known_is_read(echo_port: int) -> None:
    """Java's client asks for h2c with every first request to http://."""
    ask = b"POST /body HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    whole, parts = ask + b"Content-Length: 5\r\n\r\nwhole", ask + b"Transfer-Encoding: chunked\r\n\r\n"
    with connected(echo_port, whole + parts) as connection:
        connection.sendall(b"5\r\nparts\r\n0\r\n\r\n" + whole)
        assert answers(connection) == [(200, "whole"), (200, "parts"), (200, "whole")]


@pytest.mark.parametrize("header", [b"Sec-WebSocket-Protocol: caf\xe9\r\n", b"Sec-WebSocket-Extensions: \xe9\r\n"])
def test_a_websocket_with_headers_that_cannot_be_read_leaves_nothing(echo: Echo, header: bytes) -> None:
    """Else it would count as a connection for ever."""
    with watched(echo) as (port, server, http):
        with connected(port, SOCKET + header + b"\r\n") as connection:
            assert answers(connection) == [(400, "bad_request")]
        wait_until_empty(server, http)


def test_a_websocket_behind_a_request_that_is_being_served_ends_both(echo: Echo) -> None:
    """Else their answers would be mixed, and the stream would be served for ever to nobody."""
    with watched(echo) as (port, server, http):
        with connected(port, b"GET /stays HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
            assert echo.begun.wait(PATIENCE_S)
            connection.sendall(SOCKET + b"\r\n")
            assert echo.left.wait(PATIENCE_S)
            data = b""
            while part := connection.recv(65536):
                data += part
        assert b"HTTP/1.1 101" not in data
        wait_until_empty(server, http)


def test_the_last_answer_waits_no_longer_for_its_reader_than_others(echo: Echo) -> None:
    """Of some sizes, the rest is less than that from which on writing pauses."""
    with watched(echo) as (port, server, http), contextlib.ExitStack() as open_ones:
        for size in range(100_000, 900_000, 50_000):
            connection = open_ones.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE_S)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /long?%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % size)
        wait_until_empty(server, http)


def test_a_client_of_http_1_0_gets_neither_chunks_nor_a_continue(echo_port: int) -> None:
    sent = b"POST /parts HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    data = b""
    with connected(echo_port, sent) as connection:
        while part := connection.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head
    assert body == b"onetwo"


def test_parts_of_answers_wait_for_no_acknowledgement() -> None:
    with (
        contextlib.closing(_listen("127.0.0.1", 0)) as listening,
        connected(listening.getsockname()[1]),
        contextlib.closing(listening.accept()[0]) as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_who_reads_no_answer_is_left(port: int) -> None:
    ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(10 * LIMITS.head_s)
        with pytest.raises(OSError):
            connection.sendall(ask * 100_000)
    assert is_well(port)
