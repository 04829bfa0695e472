"""Telling others which operations this task worker does: in the definitions log, from its start to its orderly end. No work waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from streamflow.errors import OperationError
from streamflow.kafka import serving
from streamflow.operations.contract import Operation
from streamflow.operations.registry import Registry
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_HEALTH_S = 5.0
_AGAIN_S = 60.0
_WITHDRAW_S = 5.0


class Presence:
    """What is told of a worker that serves `lanes`."""

    def __init__(self, settings: Settings, lanes: Sequence[str], registry: Registry) -> None:
        self._settings = settings
        self._lanes = lanes
        self._registry = registry
        self._changed = asyncio.Event()
        self._changed.set()
        self._told: tuple[str, ...] | None = None

    def changed(self) -> None:
        """The registry may have other operations now."""
        if self._registry.names() != self._told:
            self._changed.set()

    async def serve(self) -> None:
        """Announces, and announces again when the operations change. A broker that does not take it is asked again after a while."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            names = self._registry.names()
            operations = [await self._health(name) for name in names]
            try:
                for lane in self._lanes:
                    await _aside(partial(serving.announce, self._settings, lane=lane, instance=self._instance, operations=operations))
                self._told = names
            except OperationError as error:
                log.warning("not_announced", error=error.message, again_in_s=_AGAIN_S, consequence="`operations list` does not show this worker")
                await asyncio.sleep(_AGAIN_S)
                self._changed.set()

    async def withdraw(self) -> None:
        """Takes back what was announced, if the broker lets us; raises nothing for that."""
        if self._told is None:
            return
        try:
            async with asyncio.timeout(_WITHDRAW_S):
                for lane in self._lanes:
                    await _aside(partial(serving.withdraw, self._settings, lane=lane, instance=self._instance))
        except (OperationError, TimeoutError) as error:
            log.warning("not_withdrawn", error=repr(error), consequence="others see from the group that this worker is gone")

    @property
    def _instance(self) -> str:
        return serving.instance_name(self._settings)

    async def _health(self, name: str) -> dict[str, Any]:
        operation: Operation | None = self._registry.find(name)
        if operation is None:
            return {"name": name, "ok": False, "detail": "removed"}
        try:
            async with asyncio.timeout(_HEALTH_S):
                health = await operation.health()
        except Exception as error:  # whatever somebody else's code does is told
            return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"[:200]}
        return {"name": name, "ok": health.ok, "detail": health.detail}


async def _aside(call: Callable[[], object]) -> None:
    """What `call` does, in a thread that keeps no process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            call()
        except BaseException as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:
            return  # the loop has ended meanwhile

    threading.Thread(target=run, name="presence", daemon=True).start()
    await done
