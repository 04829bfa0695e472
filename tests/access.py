"""Access in memory: the same decisions and accounts as on the topics. What the real one does,
`tests/integration/test_access.py` holds it to."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from streamflow.access.accounting import Make, account
from streamflow.access.audit import Actor, Entry
from streamflow.access.changes import Change
from streamflow.access.directory import Directory


class MemoryAccess:
    """Who may what, in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.directory = Directory()
        self.entries: list[Entry] = []
        self.closed = False
        self._clock = clock

    def submit(self, actor: Actor, make: Make) -> Future[Change]:
        future: Future[Change] = Future()
        following = self.directory.copy()
        try:
            accounted = account(following, actor, make, int(self._clock() * 1000))
        except Exception as error:  # noqa: BLE001 - handed on, as the real one does
            future.set_exception(error)
            return future
        self.directory = following
        if accounted.entry is not None:
            self.entries.append(accounted.entry)
        future.set_result(accounted.change)
        return future

    def change(self, make: Make) -> Change:
        """Makes a change as a command line would."""
        return self.submit(Actor(who="command line: test"), make).result()

    def audit(self, fits: Callable[[Entry], bool], newest: int) -> list[Entry]:
        return [one for one in reversed(self.entries) if fits(one)][:newest]

    def close(self) -> None:
        self.closed = True
