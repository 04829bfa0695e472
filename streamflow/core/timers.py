"""The timers of one partition: when the next one is due, by its host's clock, and which have been fired.

Timers live in the partition's state in the order they fall due; only those of the next minute are held here. A fired
timer stays armed until its command is decided. One that was refused as early (a fast clock) is fired again when its
time has come. One that was refused because ingress is behind is blocked: it is fired again when a watermark has passed
it, and costs nothing until then. A clock that jumps back makes everything that was planned by it worthless, and all is
read from the state again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from streamflow.engine.commands import FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.state import Timer, timer_key

PREFIX = "timer/"
HORIZON_MS = 60_000
# fired and not decided yet: more would only queue before new work (a hundred thousand that fall due at once, a clock a
# year ahead)
IN_FLIGHT = 200
JUMP_MS = 1000  # a clock that goes back by more has jumped; by less, it delays a timer by no more than that
LOOK_MS = 5000  # how long a jump of the clock may go unseen


def due_ms_of(key: str) -> int:
    """The due time in a timer's key."""
    return int(key[len(PREFIX) : len(PREFIX) + 15])


class Timers:
    """Due timers of an overlay, those that fell due before it was opened included. Times are epoch milliseconds, given
    by the caller."""

    def __init__(self, overlay: Overlay, now_ms: int) -> None:
        self._overlay = overlay
        self._heap: list[tuple[int, str]] = []
        self._fired: set[str] = set()
        self._blocked: dict[str, Any] = {}
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
                self._blocked.pop(key, None)
            elif due_ms_of(key) < self._horizon_ms:
                sooner |= not self._heap or due_ms_of(key) < self._heap[0][0]
                heapq.heappush(self._heap, (due_ms_of(key), key))
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

    def due(self, now_ms: int) -> list[FireTimer]:
        """Commands for timers that are due and not fired yet, as many as may be on their way."""
        if now_ms < self._latest_ms - JUMP_MS:
            self._heap, self._horizon_ms = [], 0
        self._latest_ms = now_ms
        if now_ms >= self._horizon_ms - HORIZON_MS // 2:
            self.extend(now_ms)
        commands: list[FireTimer] = []
        while self._heap and self._heap[0][0] <= now_ms and len(self._fired) < IN_FLIGHT:
            _, key = heapq.heappop(self._heap)
            timer: Timer | None = self._overlay.get(key)
            if timer is not None and key not in self._fired and key not in self._blocked:
                self._fired.add(key)
                commands.append(
                    FireTimer(id=key, run=timer.run, address=timer.address, due_ms=timer.due_ms, item=timer.item)
                )
        return commands

    def decided(self, command: FireTimer) -> None:
        """`command` was decided: it is no longer on its way, and not fired again unless the caller says so."""
        self._fired.discard(key_of(command))

    def again(self, command: FireTimer, at_ms: int) -> None:
        """`command` was refused as early: fire it again at `at_ms`."""
        heapq.heappush(self._heap, (at_ms, key_of(command)))

    def block(self, command: FireTimer, waits_for: Any) -> None:
        """`command` was refused because of `waits_for`: do not fire it before `unblock` says that this is over."""
        self._blocked[key_of(command)] = waits_for

    def unblock(self, still: Callable[[Any, int], bool], now_ms: int) -> bool:
        """Fire those again for which `still`, called with what they wait for and their due time, says no; True if there
        are any."""
        free = [key for key, waits_for in self._blocked.items() if not still(waits_for, due_ms_of(key))]
        for key in free:
            del self._blocked[key]
            heapq.heappush(self._heap, (now_ms, key))
        return bool(free)


def key_of(command: FireTimer) -> str:
    """The key of the timer that `command` fires."""
    return timer_key(command.due_ms, command.run, command.address, command.item)
