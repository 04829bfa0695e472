"""The checkpoints of one owned partition: when one is due, and the order of its steps.

1 capture the cut  2 its outputs are acknowledged  3 one transaction: changes and input offset  4 the same to the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from streamflow.core.checkpoint import QUIET_RECORDS, WATERMARKS_ONLY_S
from streamflow.core.partition import PartitionCore
from streamflow.engine.overlay import Store
from streamflow.kafka.cancellation import set_within
from streamflow.runtime.changelog import Changelog
from streamflow.runtime.outputs import Outputs
from streamflow.settings import Engine


class Checkpoints:
    """The checkpoints of `core`. `deciding` is held from deciding a slice until its outputs are with the producer;
    `clock` gives the time in seconds, `saved_at` is its time at the opening."""

    def __init__(
        self,
        core: PartitionCore,
        engine: Engine,
        *,
        store: Store,
        changelog: Changelog,
        outputs: Outputs,
        deciding: asyncio.Lock,
        clock: Callable[[], float],
        saved_at: float,
    ) -> None:
        self._core = core
        self._engine = engine
        self._store = store
        self._changelog = changelog
        self._outputs = outputs
        self._deciding = deciding
        self._clock = clock
        self._saved_at = saved_at
        # something was decided; an idle partition waits for it instead of looking twice a second
        self.changed = asyncio.Event()
        self.due = asyncio.Event()
        self.unsaved_bytes = 0
        self._saving = asyncio.Lock()
        self._unsavable: BaseException | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the last checkpoint, or since the opening; 0 when there is nothing to save."""
        return self._clock() - self._saved_at if self._core.dirty else 0.0

    async def serve(self) -> None:
        """Save whenever a checkpoint is due. Ends with the first error."""
        engine, core = self._engine, self._core
        while True:
            if not core.dirty:
                self.changed.clear()
                await self.changed.wait()
            if not await set_within(self.due, engine.checkpoint_s):
                age_s = self._clock() - self._saved_at
                if not core.dirty:
                    continue
                if core.unsaved == 0 and age_s < WATERMARKS_ONLY_S:
                    continue
                if core.unsaved < QUIET_RECORDS and age_s < engine.checkpoint_idle_s:
                    continue
            self.due.clear()
            await self.save()

    async def save(self) -> None:
        """Write everything decided so far: one cut, in the order of law one-cut. After a failure every later call
        raises the same: only a restore knows what was written."""
        core = self._core
        async with self._saving:
            if self._unsavable is not None:
                raise self._unsavable
            began = time.perf_counter()
            async with self._deciding:
                await self._outputs.send()
                core.metrics.gauge(
                    "oldest_unacknowledged_seconds", self._outputs.oldest_s(), partition=str(core.place.number)
                )
                if (cut := core.capture()) is None:
                    return
                self.unsaved_bytes = 0
            try:
                await self._outputs.flush()
                position = await self._changelog.commit(cut.transaction(), cut.applied)
                cut.committed()
                self._store.write({**cut.records(), **position})
            except BaseException as error:
                self._unsavable = error
                raise
            core.saved()
            self._saved_at = self._clock()
            core.metrics.observe("checkpoint_seconds", time.perf_counter() - began)
