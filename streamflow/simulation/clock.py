"""Virtual time: it moves only when the caller moves it, so that days pass in microseconds and every test sees the same
times."""

from __future__ import annotations

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Clock:
    """The broker's time in epoch milliseconds."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def move_to(self, at_ms: int) -> None:
        """Go on to `at_ms`. Raises ValueError if that is in the past."""
        if at_ms < self.now_ms:
            raise ValueError(f"expected a time from {self.now_ms} on but got {at_ms}; virtual time goes forward only")
        self.now_ms = at_ms
