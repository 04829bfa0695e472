"""What a partition core measures: its commands and their keys, and what its cuts say of deliveries.

It exists only where something collects metrics, so that nothing is looked up or kept for nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from streamflow.core.delivery_counts import DeliveryCounts
from streamflow.core.hot_keys import HotKey, HotKeys
from streamflow.core.metrics import Metrics
from streamflow.engine.overlay import Overlay

TIMED_EVERY = 7
"""Of how many commands one is timed: all would cost a quarter more. A prime, as commands come in turns."""


class PartitionMetrics:
    """The measurements of partition `number` over `overlay`, for `metrics`. `hot_key` is given a key that has more than
    half of the commands, once a minute at most.

    Of each command the core adds the key to `keys`, at most `KEY_BYTES` of it and None for none, and the definitions
    whose deliveries were counted to `tallied`: a call for it would cost more than the rest."""

    def __init__(self, overlay: Overlay, number: int, metrics: Metrics, hot_key: Callable[[HotKey], None]) -> None:
        self._overlay, self._number, self._metrics = overlay, number, metrics
        self._hot_keys = HotKeys(number, metrics, hot_key)
        self.keys = self._hot_keys.waiting
        self.tallied: set[str] = set()
        self._deliveries: DeliveryCounts | None = None  # of the cut that is being saved

    def look(self, now_ms: int) -> None:
        """End the minute of the keys if it is over."""
        self._hot_keys.look(now_ms)

    def capture(self) -> None:
        """A cut is about to be taken from the overlay."""
        self._deliveries, self.tallied = DeliveryCounts(self._overlay, self.tallied), set()

    def saved(self) -> None:
        """The cut is saved."""
        if self._deliveries is not None:
            self._deliveries.report(self._metrics, self._number)
            self._deliveries = None
