"""One server process: started under streamflow's watchdog, ready when it answers, stopped by its id, and gone when we
are gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from streamflow.kafka.embedded import watchdog

_GRACE_S = 3
_READY_S = 60.0
_TAIL_BYTES = 2048


class ServerMissing(RuntimeError):
    """A server is not installed; the text says what to do."""


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def temporary_folder(name: str) -> Path:
    """A new folder that every user may enter: PostgreSQL runs as its own when we are root."""
    folder = Path(tempfile.mkdtemp(prefix=f"streamflow-{name}-"))
    folder.chmod(0o755)
    return folder


def remove_folder(folder: Path) -> None:
    """Removes it. A server that was just killed may still write."""
    shutil.rmtree(folder, ignore_errors=True)


class Process:
    """A running server. `start` may be called again after `stop`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool],
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        ready_s: float = _READY_S,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._ready = ready
        self._stop_signal = stop_signal
        self._ready_s = ready_s
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self, environment: dict[str, str] | None = None) -> None:
        """Starts it, and waits until it answers."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-I", "-S", watchdog.__file__, str(_GRACE_S), *self._command]
            variables = None if environment is None else os.environ | environment
            self._watchdog = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=variables,
                cwd=self._log.parent,
            )
        assert self._watchdog.stdout is not None
        first = self._watchdog.stdout.readline()
        if not first:
            self.stop()
            raise RuntimeError(f"{self._command[0]} did not start:\n{self.tail()}")
        self.pid = int(first)
        deadline = time.monotonic() + self._ready_s
        while not self._ready():
            if self._watchdog.poll() is not None or time.monotonic() > deadline:
                why = "ended" if self._watchdog.poll() is not None else f"was not ready after {self._ready_s:.0f} s"
                self.stop()
                raise RuntimeError(f"{self._command[0]} {why}:\n{self.tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it by its stop signal, or by force some seconds later."""
        self.end(self._stop_signal)

    def end(self, number: signal.Signals) -> None:
        """Sends it `number`, and waits until it is gone; kills it if it takes long."""
        running, self._watchdog = self._watchdog, None
        if running is None:
            return
        if self.pid and running.poll() is None:
            os.kill(self.pid, number)
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            running.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            pass  # the watchdog is told next
        running.stdin.close()
        running.wait(_GRACE_S + 10)
        running.stdout.close()

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if self._log.exists() else ""
