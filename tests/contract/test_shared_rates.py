"""Rates that are counted in a real Redis: with a password, over TLS, full, and used by several installations."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import structlog

from streamflow.access import rates as module
from streamflow.access.rates import REDIS_S, Rates
from streamflow.errors import Rejected
from tests.conftest import start_server
from tests.servers.redis import PASSWORD, RedisServer, redis_server

KEY = re.compile(r"streamflow:one:\{LIMITER/[0-9a-f]{64}/[0-9]+/1/minute\}(/-1)?")
pytestmark = pytest.mark.usefixtures("steady_minute")

HOSTILE = (
    "",
    "root/10/1/minute",
    "x}/-1",
    "{y",
    "*",
    "\r\nFLUSHALL\r\n",
    "streamflow:one:foreign",
    "foreign",
    "\0",
    "\ud800",
    "é" * 100,
    "name:root",
    "ROOT ",
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    yield from start_server(redis_server())


@pytest.fixture(autouse=True)
def _empty(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)


@contextlib.asynccontextmanager
async def made(url: str, of: str = "one", requests: int = 4) -> AsyncIterator[Rates]:
    rates = Rates(requests_per_minute=requests, attempts_per_minute=3, redis=url, of=of)
    try:
        yield rates
    finally:
        await rates.close()


async def allowed(ask: Callable[[], Awaitable[None]], times: int) -> int:
    """How many of some requests are allowed."""
    count = 0
    for _ in range(times):
        try:
            await ask()
        except Rejected:
            continue
        count += 1
    return count


def test_several_count_together_and_each_installation_by_itself(server: RedisServer) -> None:
    async def story() -> list[int]:
        async with made(server.url) as one, made(server.url) as same, made(server.url, of="two") as other:
            found = [await allowed(lambda: one.request("a"), 3), await one.left("a"), await same.left("a")]
            found += [await allowed(lambda: same.request("a"), 3), await allowed(lambda: other.request("a"), 9)]
            assert (one.shared, same.shared, other.shared) == (True, True, True)
            return found

    assert asyncio.run(story()) == [3, 1, 1, 1, 4]


def test_all_keys_expire_and_show_no_names(server: RedisServer) -> None:
    async def story() -> None:
        async with made(server.url) as rates:
            for number in range(50):
                await rates.request(f"user:{number}")
                await rates.change(str(number))
                await rates.failed(f"alice {number}", "192.0.2.1")

    asyncio.run(story())
    with server.client() as client:
        found = list(client.scan_iter(count=1000))
        assert len(found) == 151
        for key in found:
            assert KEY.fullmatch(key), key
            assert 0 < client.pttl(key) <= 120_000, key


def test_names_that_strangers_choose_write_no_other_keys(server: RedisServer) -> None:
    async def story() -> None:
        async with made(server.url) as rates:
            for name in HOSTILE:
                await rates.require_attempts(name, "192.0.2.1")
                for _ in range(2):
                    await rates.failed(name, "192.0.2.1")
            assert rates.shared
            assert await allowed(lambda: rates.request("user:1"), 9) == 4
            for name in ("root", "x", "y"):
                await rates.require_attempts(name, "192.0.2.2")
            await rates.failed(HOSTILE[1], "192.0.2.1")
            with pytest.raises(Rejected):
                await rates.require_attempts(HOSTILE[1], "192.0.2.1")

    with server.client() as client:
        client.set("foreign", "kept")
        client.set("streamflow:one:foreign", "kept")
        asyncio.run(story())
        found = set(client.scan_iter(count=1000)) - {"foreign", "streamflow:one:foreign"}
        assert all(KEY.fullmatch(key) for key in found), found
        assert len(found) == len(HOSTILE) + 2
        assert client.mget("foreign", "streamflow:one:foreign") == ["kept", "kept"]


def test_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for server in start_server(redis_server(secure=True)):

        async def story(url: str) -> bool:
            async with made(url) as rates:
                assert await allowed(lambda: rates.request("a"), 6) == 4
                return rates.shared

        monkeypatch.setattr(module, "REDIS_S", 5.0)  # of a handshake on a machine that is busy
        assert asyncio.run(story(server.url))
        with server.client() as client:
            assert len(list(client.scan_iter())) == 1
        unknown = server.url.partition("?")[0]
        assert not asyncio.run(story(unknown)), "a certificate of an unknown authority was accepted"
        assert not asyncio.run(story(unknown.replace("rediss:", "redis:")))


@pytest.mark.parametrize("trouble", ["password", "full", "paused"])
def test_what_keeps_redis_from_counting_is_told_once_and_without_the_password(
    server: RedisServer, trouble: str
) -> None:
    async def story(url: str) -> None:
        async with made(url) as rates:
            told: list[bool] = []
            rates.on_shared = told.append
            assert await allowed(lambda: rates.request("a"), 9) == 4
            assert (rates.shared, told) == (False, [False])

    url = server.url
    with structlog.testing.capture_logs() as logs, server.client() as client:
        if trouble == "password":
            url = url.replace("redis-secret", "another-secret")
        if trouble == "full":
            client.config_set("maxmemory", 1)
            client.config_set("maxmemory-policy", "noeviction")
        if trouble == "paused":
            with server.paused():
                asyncio.run(story(url))
        else:
            asyncio.run(story(url))
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("rates_not_shared", "warning")
    why = {"password": "AuthenticationError", "full": "OutOfMemory", "paused": "no answer within 0.5 s"}
    assert why[trouble] in line["error"]
    assert PASSWORD not in str(line)
    assert "another-secret" not in str(line)


def test_one_that_hangs_keeps_few_requests_waiting_and_none_for_long(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 1.0)

    async def story() -> None:
        async with made(server.url, requests=10_000) as rates:
            await rates.request("a")
            took: list[float] = []

            async def ask() -> None:
                began = time.monotonic()
                await rates.request("a")
                took.append(time.monotonic() - began)

            with server.paused():
                await asyncio.gather(*(ask() for _ in range(50)))
                assert max(took) < 2 * REDIS_S, took
                took.clear()
                ends = time.monotonic() + 2.5
                while time.monotonic() < ends:
                    await asyncio.gather(*(ask() for _ in range(20)))
                    await asyncio.sleep(0.01)
                slow = [one for one in took if one > REDIS_S / 2]
                assert max(took) < 2 * REDIS_S
                assert 1 <= len(slow) <= 3, slow  # one each second
                assert len(took) > 100
            while not rates.shared:
                await ask()
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 30))
