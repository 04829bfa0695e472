"""A provider that hangs, is away, or comes back: how long log-ins wait for it, and how often it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import RSAKey

from streamflow.access import oidc
from streamflow.access.oidc import Provider
from streamflow.errors import OperationError, Rejected
from streamflow.settings import OpenIdConnect

KEY = RSAKey.generate_key(2048, {"kid": "a"}, private=True)


class Far:
    """A provider that answers its configuration, or takes connections and says nothing."""

    def __init__(self) -> None:
        self.hangs = False
        self.status = 200
        self.asked = Counter[str]()
        self.issuer = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked[path.rpartition("/")[2]] += 1
        if self.hangs:
            await reader.read()
        else:
            told = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "jwks_uri": f"{self.issuer}/keys",
                "keys": [KEY.as_dict(private=False)],
            }
            body = json.dumps(told).encode()
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


async def begin(provider: Provider) -> str:
    try:
        await provider.authorization_url(state="s", nonce="n", verifier="v")
    except OperationError as error:
        return error.code
    return ""


@contextlib.asynccontextmanager
async def told(far: Far) -> AsyncIterator[Provider]:
    """What asks it, while it listens."""
    server = await asyncio.start_server(far.answer, "127.0.0.1", 0)
    far.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield Provider(OpenIdConnect(issuer=far.issuer, client_id="c"), None, "http://localhost/callback")
    finally:
        server.close()
        await server.wait_closed()


def test_those_who_log_in_at_the_same_time_wait_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_TIMEOUT_S", 0.5)

    async def story() -> None:
        far = Far()
        async with told(far) as provider:
            far.hangs = True
            began = time.monotonic()
            assert set(await asyncio.gather(*(begin(provider) for _ in range(50)))) == {"oidc_unreachable"}
            assert time.monotonic() - began < 0.5 + oidc._FAILED_S
            assert far.asked == {"openid-configuration": 1}
            assert await begin(provider) == "oidc_unreachable"
            assert far.asked == {"openid-configuration": 1}

            far.hangs = False
            monkeypatch.setattr(oidc, "_FAILED_S", 0.0)
            assert set(await asyncio.gather(*(begin(provider) for _ in range(50)))) == {""}
            assert far.asked == {"openid-configuration": 2}

    asyncio.run(story())


def test_a_log_in_begins_only_if_the_provider_has_just_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_FAILED_S", -1.0)

    async def story() -> None:
        far = Far()
        async with told(far) as provider:
            assert await begin(provider) == ""
            far.status = 503
            assert await begin(provider) == ""
            monkeypatch.setattr(oidc, "_FRESH_S", -1.0)
            assert await begin(provider) == "oidc_unreachable"
            far.status = 404
            assert await begin(provider) == "oidc_unusable"
            far.status = 200
            assert await begin(provider) == ""

    asyncio.run(story())


def test_strangers_with_forged_tokens_do_not_have_the_keys_fetched_again_and_again() -> None:
    async def story() -> None:
        far = Far()
        async with told(far) as provider:
            for token in ("", "a.b.c", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImIifQ.e30.AAAA") * 10:
                with pytest.raises(Rejected) as caught:
                    await provider.log_out(token)
                assert caught.value.code == "oidc_forged"
            assert far.asked == {"openid-configuration": 1, "keys": 1}

    asyncio.run(story())


def test_a_new_key_is_fetched_once_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_KEYS_AGAIN_S", -1.0)

    async def story() -> None:
        far = Far()
        async with told(far) as provider:
            with pytest.raises(Rejected):
                await provider.log_out("a.b.c")
            assert far.asked["keys"] == 2

    asyncio.run(story())
