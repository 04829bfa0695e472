"""Histories of runs from the history store, completed by what it has not read of `runs` yet: reading one run costs the
same however long the topic is."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.history.reader import HistoryReader
from streamflow.history.whole_runs import Recorded, Wanted
from streamflow.ops.recent import Recent
from streamflow.ops.run_ends import Ends, RunEnds
from streamflow.settings import Settings
from streamflow.sidecar.together import Together
from streamflow.wire.codec import DecodeError

_log = structlog.get_logger(__name__)

_AGAIN_S = 5.0  # after the store could not be read, until it is asked again
_LONG = 500  # transitions of a run from which on it is remembered
_REMEMBERED = 40_000  # transitions, of all of them
_REMEMBERED_BYTES = 32 << 20  # of their records
_TRIES = 2  # the store may move on while the rest is looked for


class _Long(NamedTuple):
    """A run that is remembered, and the size of its records."""

    transitions: list[Transition]
    size_bytes: int


_NOTHING = _Long([], 0)


class RunHistories:
    """Reads the store of `history`. For one event loop."""

    def __init__(self, settings: Settings, history: HistoryReader) -> None:
        self._partitions = settings.topics.partitions
        self._history = history
        self._together: Together[Wanted, tuple[Ends | None, Recorded]] = Together(self._answers)
        self._ends = RunEnds(settings)
        self._recent = Recent(settings)
        self._again_at = 0.0
        self._long: OrderedDict[str, _Long] = OrderedDict()

    async def of(self, run: str, entry: int) -> list[Transition] | None:
        """All transitions of a run that are in `runs` or were, in order, each once, up to those that were there when
        this was called. `entry` is the partition that the run's id names. None when only the topic can answer: there is
        no store, it is of other topics, too far behind or unreachable, or it does not have the run from its beginning.
        """
        if time.monotonic() < self._again_at:
            return None
        for _ in range(_TRIES):
            known = self._long.get(run, _NOTHING)
            ends, found = await self._stored(Wanted(run=run, known=len(known.transitions)))
            if ends is None or found is None or found.topic_id != ends.topic_id:
                return None
            stored = [*known.transitions[: found.known], *found.transitions]
            self._keep(run, stored, found.size_bytes + (known.size_bytes if found.known else 0))
            whole = await self._completed(run, entry, found, stored, ends)
            if whole is not None:
                return whole
        return None

    async def close(self) -> None:
        """Ends what reads in the background."""
        await self._recent.close()
        await asyncio.to_thread(self._ends.close)

    def _keep(self, run: str, stored: list[Transition], size_bytes: int) -> None:
        """Remembers the transitions of a long run, for a page asks for several views of one. They never change: the
        store says how many it has, and gives the others."""
        self._long.pop(run, None)
        if len(stored) >= _LONG and stored[0].seq == 1 and stored[-1].seq == len(stored):
            self._long[run] = _Long(stored, size_bytes)
            while (
                sum(len(one.transitions) for one in self._long.values()) > _REMEMBERED
                or sum(one.size_bytes for one in self._long.values()) > _REMEMBERED_BYTES
            ):
                self._long.popitem(last=False)

    async def _stored(self, wanted: Wanted) -> tuple[Ends | None, Recorded | None]:
        """Where the topic ends, and then what the store has."""
        try:
            return await self._together.ask(wanted)
        except OperationError as error:
            self._again_at = time.monotonic() + _AGAIN_S
            _log.info("history_not_read", code=error.code, consequence="runs are read from the topic alone")
            return None, None
        except DecodeError as error:  # of a run that is asked for at the same time, perhaps
            _log.info("history_not_read", code=error.code, consequence="this run is read from the topic alone")
            return None, None

    async def _answers(self, wanted: Sequence[Wanted]) -> list[tuple[Ends | None, Recorded]]:
        ends, found = await self._history.recorded(wanted, self._ends.now)
        return [(ends, one) for one in found]

    async def _completed(
        self, run: str, entry: int, found: Recorded, stored: list[Transition], ends: Ends
    ) -> list[Transition] | None:
        among = [number for number in ends.offsets if number % self._partitions == entry]
        recent = await self._recent.of(run, found.positions, ends.offsets, among)
        if recent is None:
            return None
        last = stored[-1].seq if stored else 0
        later = {one.seq: one for one in reversed(recent) if one.seq > last}  # of copies the first
        whole = [*stored, *(later[seq] for seq in sorted(later))]
        is_whole = whole and whole[0].seq == 1 and whole[-1].seq == len(whole)
        return whole if is_whole else None
