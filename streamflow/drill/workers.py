"""The drill's own worker processes: started, hit by faults, restarted, and stopped when the drill ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamflow.errors import OperationError

ENTRY: tuple[str, ...] = (sys.executable, "-m", "streamflow.cli.main")  # the command line whose workers are drilled

_JOINED = {
    role: f'"event": "{event}"'.encode()
    for role, event in (("engine", "partitions_assigned"), ("ingress", "sources_assigned"), ("tasks", "lane_assigned"))
}
_AGAIN_S = 1.0
_MANY = 5  # ends by itself, after which a worker is given up
_GRACE_S = 30.0
_TAIL = 1500


@dataclass
class Worker:
    """One worker. `wanted`: it is to run; `fell`: how often it ended by itself while it was."""

    name: str
    role: str
    folder: Path  # of its store
    log: Path
    env: Mapping[str, str]
    wanted: bool = False
    fell: list[int] = field(default_factory=list)  # exit codes
    _process: subprocess.Popen[bytes] | None = None
    _fell_at: float = 0.0
    _log_at: int = 0  # where the log of its last process begins

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Raises OperationError if no process can be made."""
        command = [*ENTRY, "worker", self.role, "--parent", str(os.getpid())]
        try:
            with self.log.open("ab") as log:
                self._log_at = log.tell()
                self._process = subprocess.Popen(
                    command,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C at the terminal is for the drill
                )
        except OSError as error:
            raise OperationError(
                "worker_start_failed", f"expected to start a worker but {error.strerror}. Check memory and limits."
            ) from error
        self.wanted = True

    def kill(self) -> None:
        """As a crash would (kill -9); also a stopped one."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def terminate(self) -> None:
        """Asks it to end in order; returns at once."""
        self.wanted = False
        self._send(signal.SIGTERM)

    def lose_state(self) -> None:
        """Deletes its local store."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def tend(self) -> bool:
        """Starts it again if it ended by itself; True if it did just now. Raises OperationError when it does so over
        and over."""
        if not self.wanted or self._process is None or (code := self._process.poll()) is None:
            return False
        now = time.monotonic()
        if not self._fell_at:
            self._fell_at = now
            self.fell.append(code)
            if len(self.fell) >= _MANY:
                raise OperationError(
                    "worker_falls",
                    f"expected {self.name} to run but it ended {_MANY} times by itself; its last lines:\n{self.tail()}",
                )
            return True
        if now - self._fell_at > _AGAIN_S:
            self._fell_at = 0.0
            self.start()
        return False

    def tail(self) -> str:
        """The end of what it has said."""
        return self.log.read_text(errors="replace")[-_TAIL:] if self.log.exists() else ""

    @property
    def joined(self) -> bool:
        """Whether its group has given it something to do since it was last started, be it nothing."""
        with self.log.open("rb") as log:
            log.seek(self._log_at)
            return _JOINED[self.role] in log.read()

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class Workers:
    """All of them. `start` is called from one thread that lives as long as they: the kernel ties them to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[Worker] = []

    def start(self, name: str, role: str, env: Mapping[str, str]) -> Worker:
        """A new worker with its own store and log."""
        state = self.folder / f"{name}-state"
        worker = Worker(name, role, state, self.folder / f"{name}.log", {**env, "STREAMFLOW_STATE_DIR": str(state)})
        self.all.append(worker)
        worker.start()
        return worker

    def of(self, role: str) -> list[Worker]:
        """The running workers of a role."""
        return [worker for worker in self.all if worker.role == role and worker.wanted]

    @property
    def complete(self) -> bool:
        """Whether all that are to run have joined their groups."""
        return all(worker.joined for worker in self.all if worker.wanted)

    def leave(self, workers: Sequence[Worker]) -> Iterator[None]:
        """Asks some to end in order, and waits for it: iterate. By force after a while."""
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + _GRACE_S
        while any(worker.alive for worker in workers) and time.monotonic() < deadline:
            yield
        for worker in workers:
            worker.kill()

    def end(self) -> None:
        """Ends all of them at once."""
        for worker in self.all:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
