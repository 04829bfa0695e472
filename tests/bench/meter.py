"""CPU seconds of processes over time, all their threads included, from /proc (Linux only)."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.1
JIT = "broker's JIT compiler"
_COMPILERS = ("C1 CompilerThre", "C2 CompilerThre")


def cpu_s(pid: int) -> float | None:
    """CPU seconds that a process has used, in user and kernel mode; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Compiler:
    """CPU seconds of a Java process's compiler threads: much in the first minute of a broker, nothing later. Threads
    that ended still count."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._used: dict[str, float] = {}

    def cpu_s(self) -> float | None:
        for task in self._tasks.glob("*"):
            try:
                name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if name.startswith(_COMPILERS):
                fields = rest.split()
                self._used[task.name] = (int(fields[11]) + int(fields[12])) / _TICKS
        return sum(self._used.values())


class Meter:
    """Samples named processes while it is open; asked afterwards about any span of time in between.

    Of a process named `broker` it also keeps `JIT`, which is part of it."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._sources: dict[str, Callable[[], float | None]] = {name: partial(cpu_s, pid) for name, pid in pids.items()}
        if "broker" in pids:
            self._sources[JIT] = Compiler(pids["broker"]).cpu_s
        self._samples: dict[str, list[tuple[float, float]]] = {name: [] for name in self._sources}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        for name, source in self._sources.items():
            if (used := source()) is not None:
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
