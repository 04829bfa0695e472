"""Rates of one process."""

from __future__ import annotations

import asyncio

import pytest

from streamflow.access.rates import Rates
from streamflow.errors import OperationError, Rejected

pytestmark = pytest.mark.usefixtures("steady_minute")


def test_requests_are_counted_by_user() -> None:
    async def asked() -> list[str]:
        rates = Rates(requests_per_minute=3, attempts_per_minute=2)
        found = []
        for who in ("a", "a", "a", "a", "b"):
            try:
                await rates.request(who)
            except Rejected as error:
                found.append(error.code)
            else:
                found.append("")
        found.append(str(await rates.left("b")))
        return found

    assert asyncio.run(asked()) == ["", "", "", "rate_exceeded", "", "2"]


def test_log_ins_that_fail_are_counted_by_name_and_address() -> None:
    async def asked() -> None:
        rates = Rates(requests_per_minute=3, attempts_per_minute=2)
        for _ in range(2):
            await rates.require_attempts("alice", "10.0.0.1")
            await rates.failed("Alice", "10.0.0.1")
        with pytest.raises(Rejected) as caught:
            await rates.require_attempts("alice", "10.0.0.2")
        assert caught.value.code == "too_many_attempts"
        await rates.require_attempts("bob", "10.0.0.1")
        for number in range(18):
            await rates.failed(f"u{number}", "10.0.0.1")
        with pytest.raises(Rejected):
            await rates.require_attempts("bob", "10.0.0.1")
        await rates.require_attempts("bob", "10.0.0.2")

    asyncio.run(asked())


def test_a_redis_that_is_away_is_told_and_this_process_counts_alone() -> None:
    async def asked() -> None:
        rates = Rates(requests_per_minute=2, attempts_per_minute=2, redis="redis://127.0.0.1:1/0")
        told = [rates.shared]
        await rates.request("a")
        told.append(rates.shared)
        assert told == [True, False]
        await rates.request("a")
        with pytest.raises(Rejected):
            await rates.request("a")

    asyncio.run(asked())


@pytest.mark.parametrize("url", ["http://x", "nonsense", ""])
def test_what_is_no_redis_is_told(url: str) -> None:
    with pytest.raises(OperationError) as caught:
        Rates(requests_per_minute=2, attempts_per_minute=2, redis=url)
    assert caught.value.code == "redis_missing"
