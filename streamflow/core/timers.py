"""The timers of one partition: when the next one is due, by its host's clock, and which have been fired.

Timers live in the partition's state in the order they fall due; only those of the next minute are held here. A fired
timer stays armed until its command is decided. One that was refused as early (a fast clock) is fired again when its
time has come. The limit of a wait for which ingress may still have an event is blocked: it is not fired before the
watermarks of its events have passed it, and costs nothing until then. A clock that jumps back makes everything that was
planned by it worthless, and all is read from the state again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from streamflow.engine.commands import FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.record_keys import timer_key
from streamflow.engine.state import Timer

Events = frozenset[str]
NO_EVENTS: Events = frozenset()

PREFIX = "timer/"
HORIZON_MS = 60_000
# fired and not decided yet: more would only queue before new work (a hundred thousand that fall due at once, a clock a
# year ahead)
IN_FLIGHT = 200
JUMP_MS = 1000  # a clock that goes back by more has jumped; by less, it delays a timer by no more than that
LOOK_MS = 5000  # how long a jump of the clock may go unseen


def due_ms_of(key: str) -> int:
    """The due time in a timer's key."""
    return int(key[6:21])  # after PREFIX


class Timers:
    """Due timers of an overlay, those that fell due before it was opened included. Times are epoch milliseconds, given
    by the caller."""

    def __init__(self, overlay: Overlay, now_ms: int) -> None:
        self._overlay = overlay
        self._heap: list[tuple[int, str]] = []
        self._fired: set[str] = set()
        self._blocked: set[str] = set()
        self._blocked_by: dict[Events, list[tuple[int, str]]] = {}
        self._horizon_ms = 0
        self._latest_ms = now_ms
        self.extend(now_ms)

    @property
    def fired(self) -> int:
        """How many are fired and not decided."""
        return len(self._fired)

    def extend(self, now_ms: int) -> None:
        """Take in the timers of the next minute. Cheap; called when half a minute has passed."""
        until = now_ms + HORIZON_MS
        for key in self._overlay.keys(PREFIX, f"{PREFIX}{self._horizon_ms:015d}"):
            if due_ms_of(key) > until:
                break
            heapq.heappush(self._heap, (due_ms_of(key), key))
        self._horizon_ms = max(self._horizon_ms, until + 1)

    def note(self, changes: Mapping[str, Any]) -> bool:
        """Take notice of armed and disarmed timers; True if the next one may be due earlier than before."""
        sooner = False
        for key, record in changes.items():
            if not key.startswith(PREFIX):
                continue
            if record is None:
                self._fired.discard(key)
                self._blocked.discard(key)
            elif (due_ms := due_ms_of(key)) < self._horizon_ms:
                sooner |= not self._heap or due_ms < self._heap[0][0]
                heapq.heappush(self._heap, (due_ms, key))
        return sooner

    def next_ms(self, now_ms: int) -> int:
        """When to ask for due timers again; soon enough to see a clock that has jumped."""
        look_ms = now_ms + LOOK_MS
        return min(self._heap[0][0], look_ms) if self._heap and len(self._fired) < IN_FLIGHT else look_ms

    def next_due_ms(self) -> int | None:
        """When the next timer can be fired, however far away; None if there is none to fire. For virtual time."""
        while self._heap:
            at_ms, key = self._heap[0]
            if key not in self._fired and key not in self._blocked and self._overlay.get(key) is not None:
                return at_ms
            heapq.heappop(self._heap)
        beyond = next(iter(self._overlay.keys(PREFIX, f"{PREFIX}{self._horizon_ms:015d}")), None)
        return None if beyond is None else due_ms_of(beyond)

    def due(self, now_ms: int, blocked_by: Callable[[Timer], Events] = lambda timer: NO_EVENTS) -> list[FireTimer]:
        """Commands for timers that are due and not fired yet, as many as may be on their way. `blocked_by` says which
        events a timer must wait for; none if it may be fired."""
        if now_ms < self._latest_ms - JUMP_MS:
            self._heap, self._horizon_ms = [], 0
        self._latest_ms = now_ms
        if now_ms >= self._horizon_ms - HORIZON_MS // 2:
            self.extend(now_ms)
        commands: list[FireTimer] = []
        while self._heap and self._heap[0][0] <= now_ms and len(self._fired) < IN_FLIGHT:
            _, key = heapq.heappop(self._heap)
            timer: Timer | None = self._overlay.get(key)
            if timer is None or key in self._fired or key in self._blocked:
                continue
            if events := blocked_by(timer):
                self._block(key, events)
                continue
            self._fired.add(key)
            commands.append(
                FireTimer(id=key, run=timer.run, address=timer.address, due_ms=timer.due_ms, item=timer.item)
            )
        return commands

    def decided(self, command: FireTimer) -> None:
        """`command` was decided: it is no longer on its way, and not fired again unless the caller says so."""
        self._fired.discard(key_of(command))

    def again(self, command: FireTimer, now_ms: int, early_ms: int) -> None:
        """`command` was refused, `early_ms` before its time: fire it again that long after `now_ms`."""
        self._latest_ms = max(self._latest_ms, now_ms)  # if this clock is wrong, its jump back is seen
        heapq.heappush(self._heap, (now_ms + early_ms, key_of(command)))

    def block(self, command: FireTimer, events: Events) -> None:
        """`command` was refused because ingress may still have one of `events`: do not fire it before `unblock` says
        that this is over."""
        self._block(key_of(command), events)

    def unblock(self, reached: Callable[[Events], int]) -> bool:
        """Fire those again whose events are all read up to their time, as `reached` says; True if there are any."""
        freed = False
        for events in list(self._blocked_by):
            blocked, until_ms = self._blocked_by[events], reached(events)
            while blocked and blocked[0][0] <= until_ms:
                _, key = heapq.heappop(blocked)
                if key in self._blocked:
                    self._blocked.discard(key)
                    heapq.heappush(self._heap, (due_ms_of(key), key))  # by its own time: a clock may be wrong just now
                    freed = True
            if not blocked:
                del self._blocked_by[events]
        return freed

    def _block(self, key: str, events: Events) -> None:
        self._blocked.add(key)
        heapq.heappush(self._blocked_by.setdefault(events, []), (due_ms_of(key), key))


def key_of(command: FireTimer) -> str:
    """The key of the timer that `command` fires."""
    return timer_key(command.due_ms, command.run, command.address, command.item)
