"""The end of an engine worker, when Faust does not end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamflow.errors import EngineFault
from streamflow.runtime import app


class _Ended(BaseException):
    pass


class _App:
    crashed, crash_reason = False, None

    def __init__(self, stop: Any) -> None:
        self._stop = stop

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        await self._stop()


class _Host:
    def __init__(self) -> None:
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True


async def _served(stop: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended at once."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise _Ended

    monkeypatch.setattr("os._exit", end)
    monkeypatch.setattr(app, "STOP_S", 0.05)
    host, asked = _Host(), asyncio.Event()
    asked.set()
    try:
        await app.serve(_App(stop), host, asked)  # type: ignore[arg-type]
    except _Ended:
        pass
    assert host.stopped
    return codes


def test_a_worker_whose_faust_does_not_stop_ends_all_the_same_once_everything_is_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asyncio.run(_served(asyncio.Event().wait, monkeypatch)) == [0]


def test_a_worker_whose_faust_stops_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> None:
        pass

    assert asyncio.run(_served(nothing, monkeypatch)) == []


def test_what_goes_wrong_while_faust_stops_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails() -> None:
        raise EngineFault("x", "expected it to stop but it did not; look at the log")

    with pytest.raises(EngineFault):
        asyncio.run(_served(fails, monkeypatch))
