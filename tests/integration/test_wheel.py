"""The wheel as a stranger installs it: in an empty environment, used from an empty folder, without the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import eventually, needs_broker, only_full
from tests.integration.test_demo import left_running
from tests.integration.test_docs_commands import ELSEWHERE, Step, at_work, matches, steps_of

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    subprocess.run([UV, *build, "--out-dir", folder, PROJECT], check=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = ("pip", "install", "--quiet", "--constraint", PROJECT / "requirements.lock")
    subprocess.run([UV, *install, "--python", folder / "venv" / "bin" / "python", wheel], check=True)
    compiled(folder / "venv")
    return folder / "venv" / "bin"


def compiled(environment: Path) -> None:
    """Brings the bytecode of an environment's packages: the libraries' from this environment, where they are the same
    files (Python compares size and time), and streamflow's own. To compile all of it takes eight seconds."""
    here, there = (Path(sysconfig.get_path("purelib", vars={"base": str(base)})) for base in (sys.prefix, environment))
    for folder in here.rglob("__pycache__"):
        target = there / folder.relative_to(here)
        if target.parent.is_dir():
            shutil.copytree(folder, target, dirs_exist_ok=True)
    for package in ("streamflow", "streamflow_check"):
        subprocess.run([sys.executable, "-m", "compileall", "-q", there / package], check=True)


@pytest.fixture
def env(installed: Path, tmp_path: Path) -> dict[str, str]:
    """The variables of a person who has the wheel: no setting, no path into the repository."""
    needs_broker()
    own = {
        name: value
        for name, value in os.environ.items()
        if name in ("HOME", "JAVA_HOME", "LANG", "STREAMFLOW_CACHE", "XDG_CACHE_HOME")
    }
    (tmp_path / "temporary").mkdir()
    (tmp_path / "empty").mkdir()
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"
    return own | {"PATH": path, "TMPDIR": str(tmp_path / "temporary"), "COLUMNS": "200", "TZ": "UTC"}


def run(command: str, env: dict[str, str], folder: Path) -> str:
    """What a command line writes, to both outputs."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    return done.stdout


def holds(text: str, claims: Sequence[str]) -> None:
    assert "  NO " not in text
    for claim in claims:
        assert re.search(f"yes +{claim}", text), text


def test_the_demo_loses_nothing_and_shows_its_runs(installed: Path, env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as written:
        command = [str(installed / "streamflow"), "demo", "--orders", "24", "--keep"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path / "empty",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(lambda: process.poll() is not None or "stays until Ctrl-C" in log.read_text(), timeout=200)
            assert process.poll() is None, log.read_text()
            (address,) = set(re.findall(r"Open (http://\S+)/ in a browser", log.read_text()))
            assert '<div id="root">' in answer_of(f"{address}/runs")
            listed = f"{address}/api/v1/runs?status=completed&limit=200"
            eventually(lambda: len(json.loads(answer_of(listed))["rows"]) == 48, timeout=60)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()[-4000:]
    text = log.read_text()

    assert re.search(r"kill -9 \d+ +the engine is killed; [1-9]\d* orders are open", text), text
    assert re.search(r"back after \d+\.\d s", text), text
    assert "flowchart TD" in text
    assert re.search(r"remind +emitted payment.reminded: ", text), text
    holds(
        text,
        [
            "48 orders started 48 runs, one each",
            "48 started = 48 completed \\+ 0 open",
            "every run ended as it had to",
            "\\d+ transitions, numbered",
        ],
    )
    assert "Nothing was lost." in text
    assert left_running(tmp_path) == []
    assert [*(tmp_path / "temporary").iterdir(), *(tmp_path / "empty").iterdir()] == []


def answer_of(url: str) -> str:
    """What a page or the API answers."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


@only_full  # tests/faults plays a mix of the same blows
def test_a_short_drill_keeps_every_promise(env: dict[str, str], tmp_path: Path) -> None:
    command = "streamflow drill --break state --seconds 10 --seed 11 --json 2> drill.err"
    told = json.loads(run(command, env, tmp_path / "empty"))

    assert told["ok"]
    assert {promise["verdict"] for promise in told["promises"]} == {"kept"}
    assert {fault["fault"] for fault in told["faults"]} == {"state"}
    assert all(fault["standstill_s"] > 0 for fault in told["faults"])
    assert told["facts"]["events"] > 200
    assert told["facts"]["runs failed"] > 0  # a person has said no
    written = (tmp_path / "empty" / "drill.err").read_text()
    assert "seed 11" in written
    assert "kill -9 of an engine, and its state folder is deleted" in written
    assert left_running(tmp_path) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_five_minutes_of_the_readme(installed: Path, env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    log = tmp_path / "dev.log"
    with log.open("wb") as written:
        dev = [str(installed / "streamflow"), "dev"]
        process = subprocess.Popen(dev, cwd=folder, env=env, stdout=written, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: process.poll() is not None or at_work(log.read_text()), timeout=90)
            assert process.poll() is None, log.read_text()
            for step in five_minutes():
                actual = shown(step, env, folder)
                assert matches(step.expected, actual), f"$ {step.command}\n{actual}"
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()[-4000:]


def five_minutes() -> list[Step]:
    """The commands of the section, and the events from one's own systems after it."""
    lines = (PROJECT / "README.md").read_text().splitlines()
    first, last = lines.index("## Five minutes"), lines.index("## The topic `runs`")
    found = [step for step in steps_of(PROJECT / "README.md") if first < step.line <= last]
    copied = "streamflow examples copy order-fulfilment"
    assert f"`{copied}`" in "\n".join(lines[first:last])
    played = [step for step in found if step.command not in ELSEWHERE]
    return [Step(first, copied, "definitions/order-fulfilment written. ..."), *played]


def shown(step: Step, env: dict[str, str], folder: Path) -> str:
    """What a command of the page writes; one that looks is asked until it shows what is expected."""
    looks = step.command.startswith("streamflow runs show")
    written: list[str] = []

    def asked() -> bool:
        written.append(run(step.command, env, folder))
        return matches(step.expected, written[-1]) or not looks

    try:
        eventually(asked, timeout=40, every=0.3)
    except pytest.fail.Exception:
        pass  # the comparison that follows says it better
    return written[-1]
