"""The history store for servers: every question without blocking the event loop, over a few connections.

The functions are those of `queries`, `reading` and `statistics`, which say what each gives and raises."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from streamflow.errors import OperationError
from streamflow.history import queries, reading, statistics, whole_runs
from streamflow.history.database import Database
from streamflow.history.filters import RunFilter
from streamflow.history.queries import Count, Page, Sort
from streamflow.history.reading import Behind, Hit, TroubleFilter, TroublePage
from streamflow.history.rows import EventFate, LogRow, RunRow, StepRow, TransitionRow
from streamflow.history.statistics import Outcomes, Point
from streamflow.history.store import open_store
from streamflow.history.whole_runs import Recorded, Wanted
from streamflow.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_CONNECTIONS = 4


class HistoryReader:
    """Reads the store of `settings` over at most `connections` connections, which are opened when they are needed."""

    def __init__(self, settings: Settings, connections: int = _CONNECTIONS) -> None:
        self._settings = settings
        self._free: queue.LifoQueue[Database] = queue.LifoQueue()
        self._slots = asyncio.Semaphore(connections)

    async def runs(
        self, wanted: RunFilter, sort: Sort = "-started", cursor: str | None = None, limit: int = 50
    ) -> Page:
        """A page of the runs that fit."""
        return await self._ask(queries.list_runs, wanted, sort=sort, cursor=cursor, limit=limit)

    async def count(self, wanted: RunFilter, cap: int = 10_000) -> Count:
        """How many runs fit, counted up to `cap`."""
        return await self._ask(queries.count_runs, wanted, cap)

    async def run(self, run: str) -> RunRow | None:
        """A run by its id."""
        return await self._ask(reading.find_run, run)

    async def steps(self, run: str) -> list[StepRow]:
        """The open steps of a run."""
        return await self._ask(reading.steps_of, run)

    async def attributes(self, run: str) -> dict[str, str]:
        """The search attributes of a run."""
        return await self._ask(reading.attributes_of, run)

    async def ancestors(self, run: str) -> list[str]:
        """The runs that wait for this one, from its parent to the first one."""
        return await self._ask(reading.ancestors, run)

    async def transitions(
        self, run: str, after: int = 0, before: int | None = None, limit: int = 1000, newest_first: bool = False
    ) -> list[TransitionRow]:
        """Transitions of a run between two numbers."""
        return await self._ask(
            reading.transitions, run, after=after, before=before, limit=limit, newest_first=newest_first
        )

    async def recorded(self, runs: Sequence[Wanted], before: Callable[[], T]) -> tuple[T, list[Recorded]]:
        """All transitions of each of some runs, and how far the topic was read; with what `before` says, which is
        called first, in the same thread: a change of threads costs more than a small answer."""
        return await self._ask(lambda database: (before(), whole_runs.recorded(database, runs)))

    async def logs(self, run: str, after: int = -1, limit: int = 1000) -> list[LogRow]:
        """Log lines about a run."""
        return await self._ask(reading.logs, run, after=after, limit=limit)

    async def lookup(self, text: str) -> list[Hit]:
        """Whatever a text is the id of."""
        return await self._ask(reading.lookup, text)

    async def trouble(self, wanted: TroubleFilter, cursor: str | None = None, limit: int = 50) -> TroublePage:
        """A page of trouble, newest first."""
        return await self._ask(reading.list_trouble, wanted, cursor=cursor, limit=limit)

    async def trouble_counts(self, wanted: TroubleFilter, cap: int = 10_000) -> dict[str, int]:
        """How much trouble of each kind there is."""
        return await self._ask(reading.trouble_counts, wanted, cap)

    async def event_fates(self, event_id: str, source: str | None = None) -> list[EventFate]:
        """All outcomes of an event."""
        return await self._ask(reading.event_fates, event_id, source)

    async def statistics(
        self,
        from_ms: int,
        to_ms: int,
        definition: str | None = None,
        version: str | None = None,
        step: str | None = None,
        within: Sequence[str] | None = None,
    ) -> list[Point]:
        """What ended in each hour of a range."""
        return await self._ask(
            statistics.statistics, from_ms, to_ms, definition=definition, version=version, step=step, within=within
        )

    async def traffic(self, definition: str, version: str, from_ms: int, to_ms: int) -> list[Outcomes]:
        """How often each step of a version ended with each outcome."""
        return await self._ask(statistics.traffic, definition, version, from_ms, to_ms)

    async def position(self, *, logs: bool = False) -> str:
        """How far the topics are projected: another text when rows changed; log lines count apart."""
        return await self._ask(reading.position, logs=logs)

    async def behind(self) -> list[Behind]:
        """How far the projection is behind."""
        return await self._ask(reading.behind, int(time.time() * 1000))

    async def close(self) -> None:
        """Let go of the connections."""
        while not self._free.empty():
            self._free.get_nowait().close()

    async def _ask(self, function: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._slots:
            return await asyncio.to_thread(lambda: self._answer(function, *args, **kwargs))

    def _answer(self, function: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            database = self._free.get_nowait()
        except queue.Empty:
            database = open_store(self._settings)
        try:
            found = function(database, *args, **kwargs)
        except OperationError:
            database.close()  # a lost database answers no more; the next question opens another connection
            raise
        except BaseException:
            self._free.put(database)
            raise
        self._free.put(database)
        return found
