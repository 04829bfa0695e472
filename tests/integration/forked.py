"""Workers forked from a process that has imported everything, so that a test does not pay for Python's imports."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.proof.world import Worker

_nursery = multiprocessing.get_context("forkserver")
_LOADED = (
    "tests.integration.workers",
    "tests.integration.ingress_bench",
    "agents.engine",
    "agents.ingress",
    "agents.tasks",
    "streamflow.cli.main",
    "streamflow.cli.worker",
    "streamflow.cli.definitions",
)
_nursery.set_forkserver_preload([*_LOADED])


def fork(work: Callable[..., int | None], environment: Mapping[str, str], log: Path, *arguments: Any) -> Child:
    """A process that calls `work`, a function of a module, with this environment, and writes into `log`."""
    process = _nursery.Process(target=_begin, args=(work, dict(environment), str(log), *arguments), daemon=True)
    process.start()
    return Child(process)


def _begin(work: Callable[..., int | None], environment: dict[str, str], log: str, *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    place = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(place, 1)
    os.dup2(place, 2)
    sys.exit(work(*arguments))


def streamflow(line: list[str]) -> int | None:
    """What a forked `streamflow worker` does."""
    code: int | None = import_module("streamflow.cli.main").main(line)
    return code


class Forked(Worker):
    """As Worker, forked from a process that has imported everything: the two seconds that Python takes for that are
    most of a start.

    Forked workers share one hash seed; a plain Worker has its own."""

    def start(self) -> Forked:
        line = ["worker", self.kind, *self.options]
        self._process = fork(streamflow, self._environment, self.log, line)  # type: ignore[assignment]
        return self


def altered(alter: Callable[[Path], None]) -> type[Forked]:
    """A kind of worker whose process calls `alter`, a function of a module, with its state folder before it begins."""

    class Altered(Forked):
        def start(self) -> Forked:
            line = ["worker", self.kind, *self.options]
            self._process = fork(_altered, self._environment, self.log, alter, line)  # type: ignore[assignment]
            return self

    return Altered


def _altered(alter: Callable[[Path], None], line: list[str]) -> int | None:
    alter(Path(os.environ["STREAMFLOW_STATE_DIR"]))
    return streamflow(line)


class Child:
    """A forked process with the methods of a Popen that Worker uses."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
