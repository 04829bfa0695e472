from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamflow.errors import OperationError
from streamflow.sidecar.together import Together


def test_questions_that_come_meanwhile_are_asked_together_and_never_before_they_came() -> None:
    asked: list[list[int]] = []
    gate = asyncio.Event()

    async def answer(keys: Sequence[int]) -> list[int]:
        asked.append(list(keys))
        await gate.wait()
        return [key * 10 for key in keys]

    async def story() -> list[int]:
        together: Together[int, int] = Together(answer)
        asks = [asyncio.ensure_future(together.ask(1))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asks += [asyncio.ensure_future(together.ask(key)) for key in (2, 3, 4, 1)]
        for _ in range(3):
            await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*asks)

    assert asyncio.run(story()) == [10, 20, 30, 40, 10]
    assert asked[0] == [1]
    assert sorted(key for some in asked for key in some) == [1, 1, 2, 3, 4]
    assert len(asked) < 5


def test_an_error_is_told_to_those_that_asked_together_and_the_next_are_answered() -> None:
    broken = True

    async def answer(keys: Sequence[str]) -> list[str]:
        if broken:
            raise OperationError("history_unavailable", "It does not answer.")
        return list(keys)

    async def story() -> None:
        nonlocal broken
        together: Together[str, str] = Together(answer)
        first, other = asyncio.ensure_future(together.ask("a")), asyncio.ensure_future(together.ask("b"))
        for one in (first, other):
            with pytest.raises(OperationError):
                await one
        broken = False
        assert await together.ask("c") == "c"

    asyncio.run(story())


def test_who_asks_again_at_once_is_answered() -> None:
    gate = asyncio.Event()

    async def answer(keys: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(keys)

    async def story() -> list[int]:
        together: Together[int, int] = Together(answer)

        async def twice(key: int) -> int:
            return await together.ask(await together.ask(key) + 10)

        asks = [asyncio.ensure_future(twice(1))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first has a task of its own
        asks.append(asyncio.ensure_future(together.ask(2)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()  # both tasks end in the same round of the loop
        async with asyncio.timeout(5):
            return await asyncio.gather(*asks)

    assert asyncio.run(story()) == [11, 2]


def test_who_no_longer_waits_is_left_out() -> None:
    gate = asyncio.Event()

    async def answer(keys: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(keys)

    async def story() -> int:
        together: Together[int, int] = Together(answer)
        gone, left = asyncio.ensure_future(together.ask(1)), asyncio.ensure_future(together.ask(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        gate.set()
        return await left

    assert asyncio.run(story()) == 2
