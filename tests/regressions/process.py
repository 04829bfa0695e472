"""A worker process of any tree, started, killed and measured from outside."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Kind = Literal["engine", "ingress", "tasks"]

_PR_SET_PDEATHSIG = 1
_STOP_S = 60.0
_MIB = 1 << 20


class Process:
    """One worker. It dies with this program."""

    def __init__(
        self, command: Sequence[str], name: str, folder: Path, environment: Mapping[str, str], memory_mb: int
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.state = Path(environment["STREAMFLOW_STATE_DIR"])
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._before,
            )

    @property
    def ended(self) -> str:
        """Its exit code and last lines when it ended by itself; else nothing."""
        if self._process is None or (code := self._process.poll()) is None:
            return ""
        return f"{code}: {self.tail()}"

    @property
    def peak_mb(self) -> int:
        """The largest memory that it ever had, in MiB; 0 where the machine has no /proc."""
        return self._status("VmHWM") // 1024

    @property
    def cpu_s(self) -> float:
        """The seconds of processor time that it has used."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Asks it to end in order; by force after a minute."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def pause(self) -> None:
        """Keeps it from running without ending it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused worker go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.end()

    def end(self) -> None:
        """Ends it, however; harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def delete_state(self) -> None:
        """Throws its local stores away."""
        shutil.rmtree(self.state, ignore_errors=True)

    def said(self, event: str) -> int:
        """How often its log has an event; for evidence only."""
        return self.log.read_text(errors="replace").count(f'"{event}"')

    def tail(self, size: int = 300) -> str:
        return self.log.read_text(errors="replace")[-size:].strip()

    def _status(self, name: str) -> int:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)

    def _before(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._memory_mb:
            resource.setrlimit(resource.RLIMIT_AS, (self._memory_mb * _MIB, self._memory_mb * _MIB))
