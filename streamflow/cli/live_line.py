"""Progress on stderr: one live line at a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time

from rich.markup import escape
from rich.status import Status

from streamflow.cli import output

_LINE_S = 5.0
_DRAWN_S = 0.2


class LiveLine:
    """A context manager."""

    def __init__(self) -> None:
        self._console = output.err()
        self._status: Status | None = None
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> LiveLine:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s  {escape(text)}[/]")

    @property
    def due(self) -> bool:
        """Whether `update` would show anything now; otherwise the caller need not make the text."""
        return time.monotonic() - self._shown > (_LINE_S if self._status is None else _DRAWN_S)

    def update(self, text: str) -> None:
        """Where it is now."""
        if not self.due:
            return
        self._shown = time.monotonic()
        if self._status is not None:
            self._status.update(escape(text))
        else:
            self.say(text)
