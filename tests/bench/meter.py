"""CPU seconds of processes over time, all their threads included, from /proc (Linux only)."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.1


def cpu_s(pid: int) -> float | None:
    """CPU seconds that a process has used, in user and kernel mode; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Meter:
    """Samples named processes while it is open; asked afterwards about any span of time in between."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._samples: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        for name, pid in self._pids.items():
            if (used := cpu_s(pid)) is not None:
                self._samples[name].append((time.time() * 1000, used))

    def used_s(self, name: str, from_ms: float, to_ms: float) -> float:
        """CPU seconds that `name` used between two moments (epoch milliseconds)."""
        return self._at(name, to_ms) - self._at(name, from_ms)

    def _at(self, name: str, at_ms: float) -> float:
        samples = self._samples[name]
        place = bisect_left(samples, (at_ms, 0.0))
        if place == 0:
            return samples[0][1]
        if place == len(samples):
            return samples[-1][1]
        (before_ms, before), (after_ms, after) = samples[place - 1], samples[place]
        return before + (after - before) * (at_ms - before_ms) / (after_ms - before_ms)
