"""When API keys expire, as a metric."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamflow.access.directory import Directory
from streamflow.access.keys import PREFIX, expiries
from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError


class KeyExpiry:
    """Reports the API keys in what `directory` gives, or raises OperationError for. `take` is called before each
    scrape."""

    def __init__(self, directory: Callable[[], Directory], metrics: Metrics) -> None:
        self._directory = directory
        self._metrics = metrics
        self._reported: set[str] = set()

    def take(self) -> None:
        """Sets when each key expires (see `expiries`); none while it is not known which keys there are."""
        try:
            found = expiries(self._directory(), time.time_ns() // 1_000_000)
        except OperationError:
            found = {}
        metrics = self._metrics
        with metrics.together():
            for id, at_ms in found.items():
                metrics.gauge("api_key_expires_timestamp_seconds", at_ms / 1000, api_key=f"{PREFIX}{id}")
            for id in self._reported - found.keys():
                metrics.forget(api_key=f"{PREFIX}{id}")
            self._reported = set(found)
