"""Workers as child processes: started, watched, restarted when they die, and stopped when this process ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from streamflow.errors import OperationError
from streamflow.settings import Settings

Hear = Callable[[str, str], None]  # the worker's name, a line of its log

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_S = 30.0  # a worker that lived so long begins with the shortest wait again
GRACE_S = 15.0
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Worker:
    """One child process. `starts` counts them; `again_at` is when it is to be started again (monotonic), None while it
    runs."""

    name: str
    role: str
    env: Mapping[str, str]
    process: subprocess.Popen[str]
    began: float
    starts: int = 1
    quick_deaths: int = 0
    again_at: float | None = None


def environment(settings: Settings, bootstrap: str) -> dict[str, str]:
    """The environment of children that are to have these settings, on this Kafka. What is in a settings file they read
    from there."""
    return {
        **os.environ,
        "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "STREAMFLOW_ENVIRONMENT": settings.environment,
        "STREAMFLOW_TOPICS__PREFIX": settings.topics.prefix,
        "STREAMFLOW_TOPICS__PARTITIONS": str(settings.topics.partitions),
        "STREAMFLOW_STATE_DIR": str(settings.state_dir),
        "PYTHONUNBUFFERED": "1",
    }


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when `parent` dies, by whatever end. Called by the child: our own processes have
    threads, and between fork and exec a process with threads may do next to nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@dataclass(slots=True)
class Workers:
    """Child workers. `start` and `tend` are called from one thread that lives as long as they: the kernel ties them to
    it."""

    env: Mapping[str, str]
    hear: Hear
    workers: dict[str, Worker] = field(default_factory=dict)
    _listeners: list[threading.Thread] = field(default_factory=list)

    def start(self, name: str, role: str, **env: str) -> Worker:
        """Starts a worker of `role` under its own name."""
        with _undisturbed():
            process = self._launch(name, role, env)
            worker = self.workers[name] = Worker(name, role, env, process, time.monotonic())
        return worker

    def tend(self) -> None:
        """Starts again who died and has waited long enough. To be called often."""
        for worker in self.workers.values():
            now = time.monotonic()
            if worker.again_at is None and (code := worker.process.poll()) is not None:
                worker.quick_deaths = 0 if now - worker.began > _STEADY_S else worker.quick_deaths + 1
                wait_s = _BACKOFF_S[min(max(0, worker.quick_deaths - 1), len(_BACKOFF_S) - 1)]
                worker.again_at = now + wait_s
                self.hear(worker.name, f"{ended(code)}; it starts again in {wait_s:g} s")
            if worker.again_at is not None and now >= worker.again_at:
                with _undisturbed():
                    worker.process = self._launch(worker.name, worker.role, worker.env)
                worker.began, worker.again_at = now, None
                worker.starts += 1

    def stop(self) -> None:
        """Ends all of them in order, by force after the grace time, and waits until they have ended."""
        running = [worker.process for worker in self.workers.values() if worker.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        try:
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            # Also after an impatient second Ctrl-C.
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for listener in self._listeners:
                listener.join(2)
            self.workers.clear()

    def _launch(self, name: str, role: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        words = ["sidecar"] if role == "sidecar" else ["worker", role]
        command = [sys.executable, "-m", "streamflow.cli.main", *words, "--parent", str(os.getpid())]
        try:
            process = subprocess.Popen(
                command,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C at the terminal is ours to pass on, once
            )
        except OSError as error:
            raise OperationError(
                "worker_start_failed", f"expected to start a worker but {error.strerror}. Check memory and limits."
            ) from error
        assert process.stdout is not None
        listener = threading.Thread(
            target=self._listen, args=(name, process.stdout), name=f"log of {name}", daemon=True
        )
        listener.start()
        self._listeners.append(listener)
        return process

    def _listen(self, name: str, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.hear(name, line.rstrip("\n"))


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block: a child that is started but not yet known could not be
    ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _frame: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for asked in caught:
            signal.raise_signal(asked)


def ended(code: int) -> str:
    """How a process ended, in words."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
