"""Processes that are attacked: a program of Python's, its memory, a sidecar on a log in memory, and the product in a
process of its own."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attack import Seen

SIDECAR = """
import asyncio, os, sys
import uvicorn
from streamflow.settings import Settings, Sidecar, Topics
from streamflow.sidecar import app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
class Access(MemoryAccess):
    def __init__(self, settings):
        super().__init__()
    def wait_loaded(self):
        return self.directory
app.AccessTopic = Access
settings = Settings(topics=Topics(partitions=2), sidecar=Sidecar(port=0, head_s=2, body_s=2, connections=200))
app.KafkaLog = MemoryLog
listen = app._listen
def told(host, port):
    found = listen(host, port)
    print("attacked port", found.getsockname()[1], flush=True)
    return found
app._listen = told
asyncio.run(app.serve(settings, asyncio.Event()))
"""

_PORT = "attacked port "
_ROOM_BYTES = 2 << 30
APART = """
import sys
from tests.attack.processes import tell
tell(sys.argv[1], sys.argv[2], int(sys.argv[3]))
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
        port = next((line.removeprefix(_PORT) for line in process.stdout if line.startswith(_PORT)), None)
        assert port is not None, "the sidecar ended before it listened"
        # What it logs is read on, or it would stand still once the pipe is full.
        threading.Thread(target=process.stdout.read, name="sidecar-log", daemon=True).start()
        yield int(port), process.pid


def apart(function: Callable[[int], Seen], *, limit_s: float, growth_bytes: int) -> Callable[[int], Seen]:
    """Makes an attack of this package in a process of its own, which is killed after `limit_s` seconds: what hangs, or
    takes all memory, ends nobody else. That process may grow by `growth_bytes` from the beginning of the attack on, and
    is refused more than `_ROOM_BYTES`."""

    def make(seed: int) -> Seen:
        with program(APART, function.__module__, function.__name__, str(seed)) as process:
            try:
                out, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                return Seen(wrong=[f"it has not ended after {limit_s:g} s"], peak_bytes=peak_bytes(process.pid))
        if process.returncode != 0:
            return Seen(wrong=[f"its process ended with {process.returncode}"])
        told = json.loads(out.splitlines()[-1])
        grown = told["peak_bytes"] - told["before_bytes"]
        seen = Seen(figures=told["figures"], wrong=told["wrong"], peak_bytes=told["peak_bytes"])
        seen.figures["growth"] = f"{grown / 2**20:.0f} MB"
        seen.require(grown < growth_bytes, f"the memory grew by {grown} bytes; at most {growth_bytes} are right")
        return seen

    return make


def tell(module: str, function: str, seed: int) -> None:
    """Makes an attack in this process and prints what was seen, as `apart` reads it."""
    made = getattr(importlib.import_module(module), function)
    before = peak_bytes(os.getpid())
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_ROOM_BYTES, hard))
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            seen = made(seed)
    except (Exception, SystemExit, pytest.fail.Exception) as error:  # noqa: BLE001 - it is reported
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} in {place.name} ({Path(place.filename).name}:{place.lineno}): {error}"
        seen = Seen(wrong=[text[:2000]])
    told = {"figures": seen.figures, "wrong": seen.wrong, "before_bytes": before, "peak_bytes": peak_bytes(os.getpid())}
    print(json.dumps(told), flush=True)
    if threading.active_count() > 1:
        os._exit(0)  # a thread that hangs is what some attacks are about
