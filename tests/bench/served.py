"""Runs a sidecar for a benchmark, in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.proof.world import ROOT, Failed, World, wait

_PATIENCE_S = 60.0
_END_S = 30.0


class Served(NamedTuple):
    """A running sidecar."""

    url: str
    pid: int


@contextmanager
def served(
    world: World, environment: Mapping[str, str], options: Sequence[str] = (), core: int | None = None
) -> Iterator[Served]:
    """A sidecar with these environment variables and command-line options, on `core` alone (None: any), while the block
    lasts. Raises Failed when it does not listen."""
    log = world.folder / "sidecar.log"
    command = [sys.executable, "-m", "streamflow.cli.main", "sidecar", "--port", "0", "--parent", str(os.getpid())]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*command, *options],
            cwd=world.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "STREAMFLOW_LOG_FORMAT": "json", **environment},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
    try:
        yield Served(wait(lambda: _url(log, process), "the sidecar to listen", _PATIENCE_S), process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(log: Path, process: subprocess.Popen[bytes]) -> str | None:
    if (code := process.poll()) is not None:
        raise Failed(f"expected the sidecar to run but it ended with {code}:\n{log.read_text()[-4000:]}")
    for line in log.read_text().splitlines():
        if line.startswith("{") and (said := json.loads(line)).get("event") == "sidecar_listening":
            return str(said["url"])
    return None
