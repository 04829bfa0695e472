"""The timers of one partition: when the next one is due, by this machine's clock, and which have been fired.

Timers live in the partition's state in the order they fall due; only those of the next minute are held here. A fired
timer stays armed until its command is decided: one refused as early (a fast clock) or as behind (ingress has not come
so far) is fired again. A clock that jumps back makes everything that was planned by it worthless: then all is read
anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from streamflow.engine.commands import FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.state import Timer, timer_key

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
        self._blocked: set[str] = set()
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
                self._blocked.discard(key)
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
            if timer is not None and key not in self._fired and key not in self._blocked:
                self._fired.add(key)
                commands.append(FireTimer(key, timer.run, timer.address, timer.due_ms, timer.item))
        return commands

    def decided(self, command: FireTimer, reason: str, again_ms: int) -> None:
        """`command` was decided, and refused if there is a `reason`: fire it again at `again_ms` if it was early, or
        after the next watermark if ingress is behind. What was refused for another reason is not fired again by this
        owner."""
        key = timer_key(command.due_ms, command.run, command.address, command.item)
        self._fired.discard(key)
        if reason == "early":
            heapq.heappush(self._heap, (again_ms, key))
        elif reason == "behind":
            self._blocked.add(key)

    def unblock(self, reached_ms: int, now_ms: int) -> None:
        """A watermark has come to `reached_ms`: blocked timers up to it may be fired again."""
        for key in [k for k in self._blocked if _due_ms(k) <= reached_ms]:
            self._blocked.discard(key)
            heapq.heappush(self._heap, (now_ms, key))
