"""A cancellation that leaked from somebody else's task is told from one that was asked for."""

from __future__ import annotations

import asyncio
import contextlib

from streamflow.kafka.cancellation import cancel, is_own_cancellation


async def _waits_for(other: asyncio.Future[None]) -> bool:
    try:
        await other
    except asyncio.CancelledError as error:
        return is_own_cancellation(error)
    return False


def test_the_cancellation_of_what_a_task_waits_for_is_not_its_own() -> None:
    async def main() -> bool:
        inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(_waits_for(inner))
        await asyncio.sleep(0)
        inner.cancel()
        return await waiting

    assert asyncio.run(main()) is False


def test_the_cancellation_of_the_task_itself_is() -> None:
    async def main() -> bool:
        waiting = asyncio.create_task(_waits_for(asyncio.get_running_loop().create_future()))
        await asyncio.sleep(0)
        waiting.cancel()
        return await waiting

    assert asyncio.run(main()) is True


def test_another_error_is_none() -> None:
    async def main() -> bool:
        return is_own_cancellation(ValueError())

    assert asyncio.run(main()) is False


def test_tasks_end_although_one_of_them_loses_a_cancellation() -> None:
    async def serve() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def main() -> None:
        serving = asyncio.create_task(serve())
        await asyncio.sleep(0)
        await cancel([serving])
        assert serving.cancelled()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_what_tasks_that_are_cancelled_end_with_is_taken_note_of() -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while ending")

    async def main() -> None:
        failing = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await cancel([failing])
        assert isinstance(failing.exception(), ValueError)

    asyncio.run(main())
