"""A demo that is interrupted or killed leaves nothing running, and the one of authoring ends with a run. The other one
is played whole in `test_wheel.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import eventually, needs_broker, only_full

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


@pytest.mark.timeout(400)
@only_full  # tests/web/test_authoring.py goes the same way on the pages
def test_a_conversation_ends_with_a_run_that_handled_an_event(tmp_path: Path) -> None:
    """By the installed command, from an empty folder: what it tells is what it did."""
    needs_broker()
    own = {name: os.environ[name] for name in ("HOME", "JAVA_HOME", "PATH", "STREAMFLOW_CACHE") if name in os.environ}
    done = subprocess.run(
        [Path(sys.executable).with_name("streamflow"), "demo", "authoring"],
        cwd=tmp_path,
        env=own | {"TMPDIR": str(tmp_path), "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=380,
    )
    told = " ".join(done.stdout.split())

    assert done.returncode == 0, done.stdout + done.stderr
    assert "What happens when the analyst says no?" in told
    assert "refused Nothing was kept, because of new problems" in told
    assert "changed from `30m` to `1h`" in told
    assert "approved by bob, written by local, assistant" in told
    assert "review approved by carol" in told
    assert 'emitted payment.decided: {"by": "analyst", "decision": "approved", "payment": "P-2"' in told
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@only_full  # test_wheel.py interrupts one too
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
