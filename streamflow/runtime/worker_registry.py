"""Registers which operations this task worker serves: in the definitions log, from its start to its orderly end. No
work waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from streamflow.errors import OperationError
from streamflow.kafka import worker_registry
from streamflow.kafka.refusals import code_of
from streamflow.operations.health import capabilities
from streamflow.operations.registry import Registry
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_AGAIN_S = 60.0
_WITHDRAW_S = 5.0


class Registrar:
    """What is told of a worker that serves `lanes`."""

    def __init__(self, settings: Settings, lanes: Sequence[str], registry: Registry) -> None:
        self._settings = settings
        self._lanes = lanes
        self._registry = registry
        self._changed = asyncio.Event()
        self._changed.set()
        self._told: tuple[str, ...] | None = None
        self._began_ms = time.time_ns() // 1_000_000
        self._since_ms: dict[str, int] = {}
        self._draining = False
        self._writing = asyncio.Lock()  # an announcement must not come after what takes it back

    def changed(self) -> None:
        """The registry may have other operations now."""
        if self._registry.names() != self._told:
            self._changed.set()

    def drain(self) -> None:
        """The worker has been told to stop, and lets running attempts end."""
        self._draining = True
        self._changed.set()

    async def serve(self) -> None:
        """Announces, and announces again when the operations change or the worker drains. A broker that does not take
        it is asked again after a while."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            found = self._registry.registered()
            names = tuple(one.spec.name for one in found)
            now_ms = time.time_ns() // 1_000_000
            self._since_ms = {name: self._since_ms.get(name, now_ms) for name in names}
            operations = [
                one | {"since_ms": self._since_ms[one["name"]]}
                for one in await capabilities(one.operation for one in found)
            ]
            try:
                async with self._writing:
                    for lane in self._lanes:
                        told = partial(
                            worker_registry.announce,
                            lane=lane,
                            instance=self._instance,
                            operations=operations,
                            since_ms=self._began_ms,
                            draining=self._draining,
                        )
                        await _aside(partial(told, self._settings))
                    self._told = names
            except OperationError as error:
                log.warning(
                    "not_announced",
                    code=error.code,
                    error=error.message,
                    again_in_s=_AGAIN_S,
                    consequence="`operations list` does not show this worker",
                )
                await asyncio.sleep(_AGAIN_S)
                self._changed.set()

    async def withdraw(self) -> None:
        """Takes back what was announced, if the broker lets us; raises nothing for that."""
        if self._told is None:
            return
        try:
            async with asyncio.timeout(_WITHDRAW_S), self._writing:
                for lane in self._lanes:
                    await _aside(partial(worker_registry.withdraw, self._settings, lane=lane, instance=self._instance))
        except (OperationError, TimeoutError) as error:
            log.warning(
                "not_withdrawn",
                code=code_of(error),
                error=str(error) or repr(error),
                consequence="other workers see from the group that this worker has ended",
            )

    @property
    def _instance(self) -> str:
        return worker_registry.instance_name(self._settings)


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

    threading.Thread(target=run, name="registrar", daemon=True).start()
    await done
