"""The timers of one partition: when the next one is due, by this machine's clock, and which have been fired.

Timers live in the partition's state in the order they fall due; only those of the next minute are held here. A fired
timer stays armed until its command is decided: one refused as early (a fast clock) is fired again. A wait whose limit
has passed is not fired while ingress may still have an event for it: it is held under the event whose watermark it
waits for, and costs nothing until that watermark has reached it. A clock that jumps back makes everything that was
planned by it worthless: then all is read again.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from streamflow.engine.commands import FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.state import Timer, timer_key
from streamflow.engine.watermarks import held_by, reached

PREFIX = "timer/"
HORIZON_MS = 60_000
# fired and not decided yet: more would only stand in line before new work (a hundred thousand that fall due at once, a
# clock a year ahead)
IN_FLIGHT = 200
JUMP_MS = 1000  # a clock that goes back by more has jumped; by less, it delays a timer by no more than that
LOOK_MS = 5000  # how long a jump of the clock may go unseen


def _due_ms(key: str) -> int:
    return int(key[len(PREFIX) : len(PREFIX) + 15])


class Timers:
    """Due timers of an overlay. Times are epoch milliseconds, given by the caller."""

    def __init__(self, overlay: Overlay, now_ms: int) -> None:
        self._overlay = overlay
        self._heap: list[tuple[int, str]] = []
        self._fired: set[str] = set()
        self._held: dict[str, list[tuple[int, str]]] = {}  # by event
        self._held_keys: set[str] = set()
        self._horizon_ms = 0
        self._latest_ms = now_ms
        self.extend(now_ms)

    def extend(self, now_ms: int) -> None:
        """Take in the timers of the next minute. Cheap; called when half a minute has passed."""
        until = now_ms + HORIZON_MS
        for key in self._overlay.keys(PREFIX, f"{PREFIX}{self._horizon_ms:015d}"):
            if _due_ms(key) > until:
                break
            heapq.heappush(self._heap, (_due_ms(key), key))
        self._horizon_ms = until + 1

    def note(self, changes: Mapping[str, Any]) -> bool:
        """Take notice of armed and disarmed timers; True if the next one may be due earlier than before."""
        sooner = False
        for key, record in changes.items():
            if not key.startswith(PREFIX):
                continue
            if record is None:
                self._fired.discard(key)
                self._held_keys.discard(key)
            elif _due_ms(key) < self._horizon_ms:
                sooner |= not self._heap or _due_ms(key) < self._heap[0][0]
                heapq.heappush(self._heap, (_due_ms(key), key))
        return sooner

    def next_ms(self, now_ms: int) -> int:
        """When to ask for due timers again; soon enough to see a clock that has jumped."""
        look_ms = now_ms + LOOK_MS
        return min(self._heap[0][0], look_ms) if self._heap and len(self._fired) < IN_FLIGHT else look_ms

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
            if timer is None or key in self._fired or key in self._held_keys or self._hold(key, timer):
                continue
            self._fired.add(key)
            commands.append(FireTimer(key, timer.run, timer.step, timer.due_ms, timer.item))
        return commands

    def decided(self, command: FireTimer, reason: str, again_ms: int) -> None:
        """`command` was decided, and refused if there is a `reason`: fire it again at `again_ms` if it was early, or
        when its watermark allows it if ingress is behind. What was refused for another reason is not fired again by
        this owner."""
        key = timer_key(command.due_ms, command.run, command.step, command.item)
        self._fired.discard(key)
        if reason in ("early", "behind"):
            heapq.heappush(self._heap, (again_ms, key))

    def unblock(self, now_ms: int) -> None:
        """Watermarks have moved: timers that one of them held and has reached may be fired."""
        for event in list(self._held):
            held, until_ms = self._held[event], reached(self._overlay.own.watermarks, event)
            while held and held[0][0] <= until_ms:
                _, key = heapq.heappop(held)
                if key in self._held_keys:
                    self._held_keys.discard(key)
                    heapq.heappush(self._heap, (now_ms, key))
            if not held:
                del self._held[event]

    def _hold(self, key: str, timer: Timer) -> bool:
        event = held_by(self._overlay.own.watermarks, timer.events, timer.due_ms)
        if event is None:
            return False
        heapq.heappush(self._held.setdefault(event, []), (timer.due_ms, key))
        self._held_keys.add(key)
        return True
