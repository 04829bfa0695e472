"""A demo that is interrupted or killed leaves nothing running. `test_wheel.py` plays the whole of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import eventually, needs_broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

PROJECT = Path(__file__).parents[2]


def demo(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    needs_broker()
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STREAMFLOW_") or name == "STREAMFLOW_CACHE"
    }
    command = [sys.executable, "-m", "streamflow.cli.main", "demo", *options]
    env = own | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_running(folder: Path) -> list[str]:
    """Processes that were started with anything in `folder`, or with the folder for temporary files that the demo
    had."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            words = line + (process / "environ").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        if str(folder).encode() in words and int(process.name) != os.getpid():
            found.append(f"{process.name} {line[:300].decode()}")
    return found


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, asked: signal.Signals) -> None:
    process = demo(tmp_path)
    try:
        eventually(lambda: len(left_running(tmp_path)) > 3, timeout=60)
        process.send_signal(asked)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()

    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    process = demo(tmp_path)
    eventually(lambda: len(left_running(tmp_path)) > 3, timeout=60)

    process.kill()
    process.communicate()

    eventually(lambda: left_running(tmp_path) == [], timeout=60)
