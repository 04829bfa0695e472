"""What changes, for everybody of this process who watches: one reading of `runs`, and one look at each list, however
many watch. The cursor of a list is a digest of what it shows (`live_lists`)."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from streamflow.engine.transitions import ENDINGS, ApprovalExpired, ApprovalGiven, ApprovalRequested, Transition
from streamflow.errors import OperationError
from streamflow.history.reader import HistoryReader
from streamflow.sidecar.live_lists import CHANNELS, EVERY_S, Lists
from streamflow.sidecar.log import Log

_log = structlog.get_logger(__name__)

_EVERY_S = 0.25  # how often transitions are sent
_WAITING = 50_000  # transitions between two notifications; above that there is a gap
_APPROVALS = (ApprovalRequested, ApprovalGiven, ApprovalExpired, *ENDINGS)


def message(channel: str, cursor: str | int | None, kind: str, data: Any = None) -> str:
    """A message of the protocol, as text."""
    return msgspec.json.encode({"channel": channel, "cursor": cursor, "kind": kind, "data": data}).decode()


class Watcher(Protocol):
    """Who watches."""

    channels: set[str]
    """Lists that are watched."""

    runs: dict[str, int]
    """Runs that are watched, with the number of the latest transition that was sent."""

    def take(self, one: Transition) -> None:
        """Takes a transition of a run that is watched; perhaps a copy."""

    def put(self, text: str) -> None:
        """Takes a message."""


class Hub:
    """Notifies watchers. Used in one event loop."""

    def __init__(self, log: Log, history: Callable[[], HistoryReader]) -> None:
        self._kafka, self._lists = log, Lists(log, history)
        self._watchers: list[Watcher] = []
        self._waiting: deque[Transition] = deque(maxlen=_WAITING)
        self._taken = self._delivered = 0
        self._stop_listening: Callable[[], None] | None = None
        self._working: list[asyncio.Task[None]] = []
        self._name, self._approvals = uuid.uuid4().hex[:8], 0
        self._cursors: dict[str, str] = {}

    @property
    def watching(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def join(self, watcher: Watcher) -> None:
        """Begins to notify `watcher`."""
        self._watchers.append(watcher)
        if not self._working:
            self._working = [
                asyncio.create_task(one) for one in (self._notify_of_transitions(), self._notify_of_lists())
            ]

    def leave(self, watcher: Watcher) -> None:
        """Stops notifying it."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
        if not self._watchers:
            self._end()

    def _end(self) -> None:
        for task in self._working:
            task.cancel()
        self._working = []
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def close(self) -> None:
        """Ends it."""
        self._watchers.clear()
        self._end()

    async def watch(self, channel: str) -> str:
        """What the channel shows now, as a digest; every later change is reported to its watchers.

        Raises OperationError when what it shows cannot be read."""
        looked_at = CHANNELS[channel].looked_at
        if looked_at is None:
            return f"{self._name}.{self._approvals}"
        cursor = await self._lists.digest(looked_at)
        self._cursors.setdefault(looked_at, cursor)
        return cursor

    def _take(self, one: Transition | OperationError) -> None:
        """Called by the reader's thread."""
        if isinstance(one, OperationError):
            self._stop_listening = None  # the reading has ended; the next round begins another one
            return
        self._taken += 1
        self._waiting.append(one)

    async def _notify_of_transitions(self) -> None:
        """Until nobody watches."""
        while True:
            try:
                await self._listen()
                self._notify_runs()
            except OperationError as error:
                _log.debug("live_interrupted", code=error.code, error=error.message)
            await asyncio.sleep(_EVERY_S)

    async def _notify_of_lists(self) -> None:
        """Until nobody watches. A list that takes long to look at delays other lists, and no transition."""
        loop = asyncio.get_running_loop()
        due = dict.fromkeys(EVERY_S, loop.time())
        while True:
            for looked_at, every in EVERY_S.items():
                if loop.time() >= due[looked_at]:
                    due[looked_at] = loop.time() + every
                    try:
                        await self._notify_of_list(looked_at)
                    except OperationError as error:
                        _log.debug("live_interrupted", code=error.code, error=error.message)
            await asyncio.sleep(_EVERY_S)

    async def _listen(self) -> None:
        if self._stop_listening is None:
            self._waiting.clear()
            self._delivered = self._taken
            self._stop_listening = await self._kafka.listen(self._take)
            for watcher in self._watchers:  # what came before is not known
                for run in watcher.runs:
                    watcher.put(message(f"run/{run}", None, "gap"))

    def _notify_runs(self) -> None:
        found: dict[str, list[Transition]] = {}
        approvals = False
        while self._waiting:
            one = self._waiting.popleft()
            self._delivered += 1
            found.setdefault(one.run, []).append(one)
            approvals = approvals or isinstance(one.data, _APPROVALS)
        lost, self._delivered = self._taken - self._delivered, self._taken
        for watcher in self._watchers:
            for run in watcher.runs.keys() if lost > 0 else watcher.runs.keys() & found.keys():
                if lost > 0:
                    watcher.put(message(f"run/{run}", None, "gap"))
                for one in found.get(run, ()):
                    watcher.take(one)
        if approvals or lost > 0:
            self._approvals += 1
            self._notify("approvals", f"{self._name}.{self._approvals}")

    async def _notify_of_list(self, looked_at: str) -> None:
        channels = [name for name, channel in CHANNELS.items() if channel.looked_at == looked_at]
        if not any(watcher.channels.intersection(channels) for watcher in self._watchers):
            self._cursors.pop(looked_at, None)
            return
        cursor, before = await self._lists.digest(looked_at), self._cursors.get(looked_at)
        self._cursors[looked_at] = cursor
        if before not in (None, cursor):
            for name in channels:
                self._notify(name, cursor)

    def _notify(self, channel: str, cursor: str) -> None:
        text = message(channel, cursor, "changed")
        for watcher in self._watchers:
            if channel in watcher.channels:
                watcher.put(text)
