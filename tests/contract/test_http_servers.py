"""Servers that answer too much, too late, half or nonsense."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from streamflow.errors import OperationError
from tests.contract.http_requests import ask, failing, giving, raw_failing, told
from tests.contract.servers import Handler, http_server, raw_server


def test_fifty_megabytes_are_cut_off_while_they_come() -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(800):
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    tracemalloc.start()
    try:
        error = failing(handle)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, error.retryable) == ("response_too_large", False)
    assert sent < 20_000_000
    assert peak < 20_000_000


def test_an_announced_size_over_the_limit_is_not_read_at_all() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")
        await writer.drain()
        await reader.read()  # until it hangs up

    assert raw_failing(talk).code == "response_too_large"


def answering(body: bytes, **headers: str) -> Handler:
    """A server that gives `body`, whatever the headers say of it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=body, headers={"Content-Type": "application/json", **named})

    return handle


JSON = b'{"total": 12, "note": "\xc3\xa9"}'


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(JSON, mtime=0)),
        ("GZIP", gzip.compress(JSON, mtime=0)),
        ("x-gzip", gzip.compress(JSON[:5], mtime=0) + gzip.compress(JSON[5:], mtime=0)),
        ("deflate", zlib.compress(JSON)),
        ("identity", JSON),
        ("gzip", gzip.compress(b" " * 100_000 + JSON, mtime=0)),
    ],
)
def test_what_is_compressed_without_being_asked_is_inflated(coding: str, body: bytes) -> None:
    output = giving(answering(body, Content_Encoding=coding), output_bytes=200_000)
    assert output["body"] == {"total": 12, "note": "é"}
    assert ("content-encoding" in output["headers"]) == (coding == "identity")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_empty_answer_may_say_that_it_is_compressed(method: str) -> None:
    assert giving(answering(b"", Content_Encoding="gzip"), method=method)["body"] is None


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", b"\x1f\x8b not really", "is not"),
        ("deflate", JSON, "is not"),
        ("gzip", gzip.compress(JSON, mtime=0)[:-9], "too early"),
        ("gzip", gzip.compress(JSON, mtime=0) + b"more", "is not"),
        ("br", JSON, "only gzip and deflate"),
        ("gzip, gzip", gzip.compress(gzip.compress(JSON, mtime=0), mtime=0), "only gzip and deflate"),
    ],
)
def test_what_cannot_be_inflated_is_an_error(coding: str, body: bytes, words: str) -> None:
    error = failing(answering(body, Content_Encoding=coding))
    assert (error.code, error.retryable) == ("response_invalid", False)
    assert words in error.message


@pytest.mark.parametrize(
    "compressed",
    [
        lambda: gzip.compress(b"[" + b"1," * 20_000_000 + b"1]", 1, mtime=0),
        lambda: gzip.compress(b"a" * 1_000_000, mtime=0) * 50,
        lambda: gzip.compress(b"", mtime=0) * 100_000,
    ],
    ids=["one", "members", "empty members"],
)
def test_the_limit_counts_inflated_bytes(compressed: Callable[[], bytes]) -> None:
    body = compressed()
    tracemalloc.start()
    try:
        error = failing(answering(body, Content_Encoding="gzip"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, error.retryable) == ("response_too_large", False)
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b"caf\xe9", "café"),
        ("café 🎉".encode(), "café 🎉"),
        (b"\xff\xfe\x80", "\u00ff\u00fe\x80"),
        (b"plain", "plain"),
    ],
)
def test_a_header_with_any_bytes_leaves_the_answer_an_answer(said: bytes, read: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = (
            b"HTTP/1.1 200 OK\r\nX-Note: " + said + b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        writer.write(head)
        await writer.drain()

    async def check() -> Any:
        async with raw_server(talk) as host:
            return await ask(host, {"url": f"http://{host}/"})

    output = asyncio.run(check())
    assert (output["headers"]["x-note"], output["body"]) == (read, {})
    assert json.loads(msgspec.json.encode(output)) == output


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{nonsense"),
        ("application/json", b"[" * 100_000),
        ("text/plain", b"\xff\xfe"),
        ("text/plain; charset=klingon", b"a"),
    ],
)
def test_an_answer_that_is_not_what_it_says_is_an_error(kind: str, body: bytes) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": kind})

    assert failing(handle).code == "response_invalid"


def test_an_answer_that_breaks_off_is_tried_again() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    error = raw_failing(talk)
    assert (error.code, error.retryable) == ("http_broken_off", True)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"\x00" * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    ],
)
def test_what_is_no_http_is_tried_again(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    error = raw_failing(talk, method="POST")
    assert (error.code, error.retryable) == ("http_broken_off", True)


def test_a_refused_connection_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"

        async def check() -> OperationError:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/"})
            return raised.value

        error = asyncio.run(check())
    assert (error.code, error.retryable) == ("http_unreachable", True)


def test_tls_with_a_server_that_speaks_none_is_an_error() -> None:
    async def check() -> OperationError:
        async with http_server(told({})) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"https://{host}/"})
            return raised.value

    assert asyncio.run(check()).code == "http_unreachable"


def test_a_server_that_never_ends_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operations.http._GRACE_S", 0.0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    began = time.monotonic()
    error = raw_failing(talk, timeout_s=0.2)
    assert (error.code, error.retryable) == ("http_timeout", True)
    assert time.monotonic() - began < 3


def test_a_cancelled_request_ends_at_once_and_hangs_up() -> None:
    async def check() -> None:
        came, left = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            came.set()
            await reader.read()
            left.set()

        async with raw_server(talk) as host:
            task = asyncio.create_task(ask(host, {"url": f"http://{host}/"}))
            await asyncio.wait_for(came.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(check())


def test_a_certificate_that_nobody_vouches_for_is_refused_for_good(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=127.0.0.1",
    ]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def check() -> OperationError:
        async with http_server(told({}), context) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"https://{host}/"})
            return raised.value

    error = asyncio.run(check())
    assert (error.code, error.retryable) == ("http_certificate", False)
