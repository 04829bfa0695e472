"""The lists that pages show and are told of, each with the right that it needs and a digest of what it shows.

Pages that show lists read the history store or a topic's fold, so they are told of a change when it is there, and not
when it is in a topic of transitions. Another digest than before means that something changed, whichever sidecar is
asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from streamflow.access.rights import Right
from streamflow.history.reader import HistoryReader
from streamflow.history.reading import SILENT_S, TroubleFilter
from streamflow.ops.fleet import worker_rows
from streamflow.sidecar.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class ListChannel:
    """A channel of `/live` that says that a list is another one."""

    right: Right
    """What its watchers need."""

    looked_at: str | None
    """Which digest it follows; None: it follows transitions."""


CHANNELS = {
    "runs": ListChannel(right=Right.READ_RUNS, looked_at="runs"),
    "dashboard": ListChannel(right=Right.READ_HISTORY, looked_at="runs"),
    "logs": ListChannel(right=Right.READ_RUNS, looked_at="logs"),
    "trouble": ListChannel(right=Right.READ_TROUBLE, looked_at="trouble"),
    "approvals": ListChannel(right=Right.READ_APPROVALS, looked_at=None),
    "jobs": ListChannel(right=Right.READ_JOBS, looked_at="jobs"),
    "conversations": ListChannel(right=Right.READ_AUTHORING, looked_at="conversations"),
    "workers": ListChannel(right=Right.READ_LAG, looked_at="workers"),
    "history": ListChannel(right=Right.READ_HISTORY, looked_at="history"),
}
EVERY_S = {
    "runs": 1.0,
    "logs": 1.0,
    "trouble": 2.0,
    "jobs": 1.0,
    "conversations": 1.0,
    "workers": 5.0,
    "history": 5.0,
}
"""How often each digest is made while there are viewers, in seconds."""


class Lists:
    """Makes the digests."""

    def __init__(self, log: Log, history: Callable[[], HistoryReader]) -> None:
        self._log, self._history = log, history

    async def digest(self, looked_at: str) -> str:
        """What a list shows now. Raises OperationError when it cannot be read."""
        if looked_at in ("runs", "logs"):
            return await self._history().position(logs=looked_at == "logs")
        return hashlib.sha256(msgspec.json.encode(await self._shown(looked_at))).hexdigest()[:16]

    async def _shown(self, looked_at: str) -> Any:
        if looked_at == "trouble":
            wanted = TroubleFilter(state="open")
            newest = await self._history().trouble(wanted, limit=1)
            return [
                await self._history().trouble_counts(wanted),
                [(row.at_ms, row.id, row.count) for row in newest.rows],
            ]
        if looked_at == "history":  # it is shown in whole seconds
            behind = await self._history().behind()
            return [(int(one.seconds), int(one.silent_s) if one.silent_s > SILENT_S else 0) for one in behind]
        if looked_at == "jobs":
            return await asyncio.to_thread(self._log.jobs.read, lambda board: [one.described() for one in board.jobs()])
        if looked_at == "conversations":
            return await asyncio.to_thread(
                self._log.conversations.read,
                lambda library: [(one.id, one.seq, one.open_turn) for one in library.conversations()],
            )
        return [(await self._log.lag()).partitions, worker_rows(*await self._log.workers())]
