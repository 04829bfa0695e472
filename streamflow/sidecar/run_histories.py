"""Histories of runs from the history store, completed by what it has not read of `runs` yet: reading one run costs the
same however long the topic is."""

from __future__ import annotations

import time

import structlog

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.history.reader import HistoryReader
from streamflow.history.reading import Recorded
from streamflow.ops.recent import Recent
from streamflow.ops.run_ends import Ends, RunEnds
from streamflow.settings import Settings
from streamflow.sidecar.together import Together

_log = structlog.get_logger(__name__)

_AGAIN_S = 5.0  # after the store could not be read, until it is asked again
_TRIES = 2  # the store may move on while the rest is looked for


class RunHistories:
    """Reads the store of `history`. For one event loop."""

    def __init__(self, settings: Settings, history: HistoryReader) -> None:
        self._partitions = settings.topics.partitions
        self._history = history
        self._together: Together[str, Recorded] = Together(history.recorded)
        self._ends = RunEnds(settings)
        self._recent = Recent(settings)
        self._again_at = 0.0

    async def of(self, run: str, entry: int) -> list[Transition] | None:
        """All transitions of a run that are in `runs` or were, in order, each once, up to those that were there when
        this was called. `entry` is the partition that the run's id names. None when only the topic can tell: there is
        no store, it is of other topics, too far behind or unreachable, or it does not have the run from its beginning.
        """
        if time.monotonic() < self._again_at:
            return None
        ends = await self._ends.now()
        for _ in range(_TRIES if ends is not None else 0):
            found = await self._stored(run)
            if found is None or found.topic_id != ends.topic_id:
                return None
            whole = await self._completed(run, entry, found, ends)
            if whole is not None:
                return whole
        return None

    async def close(self) -> None:
        """Ends what reads in the background."""
        await self._recent.close()

    async def _stored(self, run: str) -> Recorded | None:
        try:
            return await self._together.ask(run)
        except OperationError as error:
            self._again_at = time.monotonic() + _AGAIN_S
            _log.info("history_not_read", code=error.code, consequence="runs are read from the topic alone")
            return None

    async def _completed(self, run: str, entry: int, found: Recorded, ends: Ends) -> list[Transition] | None:
        among = [number for number in ends.offsets if number % self._partitions == entry]
        recent = await self._recent.of(run, found.positions, ends.offsets, among)
        if recent is None:
            return None
        known = {one.seq: one for one in found.transitions}
        for one in recent:
            known.setdefault(one.seq, one)
        whole = [known[seq] for seq in sorted(known)]
        is_whole = whole and whole[0].seq == 1 and whole[-1].seq == len(whole)
        return whole if is_whole else None
