"""What an S3 server may answer that a well one does not: each has a code of ours."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.bucket import Body
from streamflow.operations.objects import ObjectPut
from streamflow.operations.s3 import S3Bucket
from streamflow.settings import Connection
from tests.contract.servers import http_server, raw_server

XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>with a message</Message></Error>'


@pytest.mark.parametrize(
    ("status", "said", "code", "retryable"),
    [
        (503, "SlowDown", "store_unavailable", True),
        (500, "InternalError", "store_unavailable", True),
        (500, "", "store_unavailable", True),
        (429, "TooManyRequests", "store_unavailable", True),
        (409, "OperationAborted", "store_conflict", True),
        (409, "ConditionalRequestConflict", "store_conflict", True),
        (403, "AccessDenied", "access_denied", False),
        (403, "AccountProblem", "access_denied", False),
        (403, "ExpiredToken", "credentials_refused", False),
        (403, "RequestTimeTooSkewed", "credentials_refused", False),
        (401, "", "access_denied", False),
        (400, "AuthorizationHeaderMalformed", "connection_invalid", False),
        (301, "PermanentRedirect", "connection_invalid", False),
        (307, "", "connection_invalid", False),
        (400, "KeyTooLongError", "key_refused", False),
        (400, "EntityTooLarge", "object_too_large", False),
        (400, "SomethingNew", "store_refused", False),
        (501, "NotImplemented", "store_refused", False),
    ],
)
def test_an_answer_that_is_no_success_has_a_code_of_ours(status: int, said: str, code: str, retryable: bool) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=XML.format(code=said) if said else "")

    async def put() -> None:
        async with http_server(answer) as address:
            bucket = S3Bucket(
                "store", Connection(kind="s3", url=f"http://{address}", user="key"), "swordfish", "streamflow"
            )
            await bucket.create("a", Body(b"x", "00", "text/plain", "run/step"))

    with pytest.raises(OperationError) as caught:
        asyncio.run(put())
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert any((one.id, one.retryable) == (code, retryable) for one in ObjectPut.spec.errors)
    assert "swordfish" not in str(caught.value)


def test_a_server_that_breaks_off_is_tried_again() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 1000\r\nLast-Modified: Sat, 02 May 2026 10:00:00 "
            b"GMT\r\n\r\nhalf"
        )
        await writer.drain()

    async def get() -> None:
        async with raw_server(talk) as address:
            bucket = S3Bucket(
                "store", Connection(kind="s3", url=f"http://{address}", user="key"), "swordfish", "streamflow"
            )
            await bucket.read("a", 10_000)

    with pytest.raises(OperationError) as caught:
        asyncio.run(get())
    assert (caught.value.code, caught.value.retryable) == ("store_unavailable", True)
