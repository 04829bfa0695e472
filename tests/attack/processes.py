"""Processes that are attacked: a program of Python's, its memory, and a sidecar on a log in memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SIDECAR = """
import asyncio, os, sys
import uvicorn
from streamflow.settings import Settings, Sidecar, Topics
from streamflow.sidecar import app
from tests.sidecar_log import MemoryLog
settings = Settings(topics=Topics(partitions=2), sidecar=Sidecar(port=0, head_s=2, body_s=2, connections=200))
app.KafkaLog = MemoryLog
listen = app._listen
def told(host, port):
    found = listen(host, port)
    print(found.getsockname()[1], flush=True)
    return found
app._listen = told
asyncio.run(app.serve(settings, asyncio.Event()))
"""


def peak_bytes(pid: int) -> int:
    """The largest resident memory that the process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


@contextlib.contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of Python that runs `text`; it is ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("STREAMFLOW_")},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def sidecar() -> Iterator[tuple[int, int]]:
    """A sidecar's port and process id. Its deadlines are 2 s, and it has at most 200 connections."""
    with program(SIDECAR) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
