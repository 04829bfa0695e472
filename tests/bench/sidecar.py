"""Small reads of one sidecar on one core, while transitions are written and projected: one run, its newest transitions,
lists, and whether it answers.

The clients, the broker and the history worker have the other core. Processor time is measured beside the rate: other
work on the machine changes it less.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamflow.history.database import closing
from streamflow.history.store import open_store
from streamflow.history.writer import positions
from streamflow.settings import History, Settings
from tests.bench.histories import TRANSITIONS, append, long_history, run_of
from tests.bench.meter import Meter
from tests.bench.report import Row
from tests.bench.served import served
from tests.bench.stage import Stage, answer, pid_of, program
from tests.bench.stage import percentile as share_of
from tests.proof.world import PARTITIONS, ROOT, Failed, World, wait

RUNS = 10_000
AIM = 2000.0  # reads a second on one core
WRITTEN = 1000  # transitions a second meanwhile
MOST_WRITTEN = 5000  # transitions a second that the history worker keeps up with, on one core
LAG_S = 2.0
LONG = 9_999_999  # the number of the run with many transitions
LONG_RUN = 20_000
OPEN_MS = 1000.0
_CONNECTIONS = 16
_RATE = "100000000"  # requests a minute of the key: what is measured is not to be refused


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a read was not answered."""
    runs = stage.size(RUNS)
    with _cores() as core, stage.world("sidecar") as world:
        store = world.folder / "history.db"
        worker = world.worker("history", path=str(store))
        key = _key(world)
        _append(world, 0, runs, 0)
        _append_long(world)
        _wait_projected(world, store)
        told = {"STREAMFLOW_HISTORY__PATH": str(store), "STREAMFLOW_ACCESS__REQUESTS_PER_MINUTE": _RATE}
        with served(world, environment(world) | told, core=core) as sidecar:
            address = sidecar.url
            stage.say(f"{runs} runs are projected")
            paths = stage.folder / "paths.json"
            paths.write_text(json.dumps(reads(runs)))
            _read(address, key, 2.0, paths)  # the first ones open connections
            rows = _measured(stage, world, sidecar.pid, pid_of(worker), address, key, paths, runs)
            rows += _kept_up(stage, world, pid_of(worker), address, key, 2 * runs)
            return rows + _long(address, key)


def reads(runs: int) -> dict[str, list[str]]:
    """The paths that are asked for, by kind: each kind as often."""
    chosen = [run_of(number) for number in range(0, runs, max(1, runs // 500))]
    return {
        "a run": [f"/api/v1/runs/{run}" for run in chosen],
        "its transitions": [f"/api/v1/runs/{run}/transitions?limit=100&newest_first=true" for run in chosen],
        "a list": [
            "/api/v1/runs?limit=20",
            "/api/v1/runs?limit=20&status=completed",
            *(f"/api/v1/runs?key=K{number}" for number in range(0, runs, max(1, runs // 100))),
        ],
        "health": ["/api/v1/health"],
    }


def _measured(
    stage: Stage, world: World, sidecar: int, worker: int, address: str, key: str, paths: Path,
    runs: int,
) -> list[Row]:  # fmt: skip
    more = max(1, int(WRITTEN * (stage.seconds + 3) / TRANSITIONS))
    writing = _writing(world, runs, more, WRITTEN)
    assert writing.stdout is not None
    writing.stdout.readline()  # it begins
    with Meter({"sidecar": sidecar, "history": worker}) as meter:
        said = _read(address, key, stage.seconds, paths)
    behind = _ask(address, key, "/history")
    answer(writing, 60)
    world.check()
    began, ended = said["began_ms"], said["ended_ms"]
    count = sum(said["statuses"].values())
    used_us = meter.used_s("sidecar", began, ended) / count * 1e6
    taken = [one for of_kind in said["taken"].values() for one in of_kind]
    rows = [
        Row("sidecar", f"reads/s, {WRITTEN} transitions/s written", count / (ended - began) * 1000, "1/s", aim=AIM),
        Row("sidecar", "reads/s of processor time, one core", 1e6 / used_us, "1/s", aim=AIM),
        Row("sidecar", "CPU of the sidecar for a read", used_us, "us", aim=1e6 / AIM, better="less"),
        *(Row("sidecar", f"p{share * 100:.0f} of a read", share_of(taken, share), "ms", better="less")
          for share in (0.5, 0.99)),
        *(Row("sidecar", f"p50 of {kind}", share_of(found, 0.5), "ms", better="less")
          for kind, found in said["taken"].items()),
        Row("sidecar", "history behind meanwhile", behind["seconds"], "s", aim=LAG_S, better="less"),
        Row("sidecar", "CPU of the history worker", meter.used_s("history", began, ended) / (ended - began) * 1e5,
            "% of a core", better="less"),
    ]  # fmt: skip
    stage.say(f"{count} reads, {count / (ended - began) * 1000:.0f}/s, {used_us:.0f} us each")
    return rows


def _kept_up(stage: Stage, world: World, worker: int, address: str, key: str, first: int) -> list[Row]:
    """How far the history store is behind while many transitions are written and nobody reads."""
    more = max(1, int(MOST_WRITTEN * stage.seconds / TRANSITIONS))
    writing = _writing(world, first, more, MOST_WRITTEN)
    assert writing.stdout is not None
    began_ms = json.loads(writing.stdout.readline())["began_ms"]
    behind = []
    with Meter({"history": worker}) as meter:
        while writing.poll() is None:
            behind.append(_ask(address, key, "/history")["seconds"])
            time.sleep(0.2)
        ended_ms = time.time() * 1000
    said = answer(writing, 60)
    seconds = (said["ended_ms"] - began_ms) / 1000
    world.check()
    stage.say(f"{said['sent'] / seconds:.0f} transitions/s: at most {max(behind):.2f} s behind, {len(behind)} looks")
    name = f"{MOST_WRITTEN} transitions/s written"
    used = meter.used_s("history", began_ms, ended_ms) / (ended_ms - began_ms) * 1e5
    return [
        Row("sidecar", f"history behind at most, {name}", max(behind), "s", aim=LAG_S, better="less"),
        Row("sidecar", f"CPU of the history worker, {name}", used, "% of a core", aim=100.0, better="less"),
        Row("sidecar", "transitions/s that were written", said["sent"] / seconds, "1/s", aim=0.99 * MOST_WRITTEN),
    ]


def _append_long(world: World) -> None:
    sent = append(world.broker.bootstrap_servers, f"{world.prefix}runs", long_history(LONG, LONG_RUN))
    if sent != LONG_RUN:
        raise Failed(f"expected {LONG_RUN} transitions to be acknowledged but {sent} were")


def _long(address: str, key: str) -> list[Row]:
    """How long the questions of a page about a long run take, one after the other, when nobody asked before."""
    run, rows = run_of(LONG), []
    for name, path in (
        ("newest transitions", f"/runs/{run}/transitions?limit=100&newest_first=true"),
        ("steps", f"/runs/{run}"),
        ("Gantt", f"/runs/{run}/gantt"),
        ("state", f"/runs/{run}/state"),
    ):
        began = time.perf_counter()
        _ask(address, key, path)
        rows.append((name, (time.perf_counter() - began) * 1000))
    whole = sum(taken for _, taken in rows)
    return [
        *(Row("sidecar", f"{name} of a run of {LONG_RUN} transitions", taken, "ms", better="less")
          for name, taken in rows),
        Row("sidecar", "all of these", whole, "ms", aim=OPEN_MS, better="less"),
    ]  # fmt: skip


def _read(address: str, key: str, seconds: float, paths: Path) -> dict[str, Any]:
    return answer(program("reads", address, key, _CONNECTIONS, seconds, paths), seconds + 120)


def _append(world: World, first: int, runs: int, rate: int) -> None:
    answer(_writing(world, first, runs, rate), 300)


def _writing(world: World, first: int, runs: int, rate: int) -> subprocess.Popen[str]:
    return program("histories", world.broker.bootstrap_servers, f"{world.prefix}runs", first, runs, rate)


def environment(world: World) -> dict[str, str]:
    """The settings of a command in this world."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": world.broker.bootstrap_servers,
        "STREAMFLOW_TOPICS__PREFIX": world.prefix,
        "STREAMFLOW_TOPICS__PARTITIONS": str(PARTITIONS),
        "STREAMFLOW_LOG_FORMAT": "json",
    }


def _key(world: World) -> str:
    """An API key of an admin of this world."""
    for arguments in (
        ["users", "add", "bench", "--service", "--role", "admin"],
        ["keys", "add", "bench", "--for", "bench"],
    ):
        command = [sys.executable, "-m", "streamflow.cli.main", "access", *arguments]
        done = subprocess.run(command, env=environment(world), cwd=world.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"expected {' '.join(arguments)} to work but {done.stderr}")
    return done.stdout.strip().splitlines()[-1]


@contextlib.contextmanager
def _cores() -> Iterator[int]:
    """The core of the sidecar, which this process and those that it starts leave alone while the block lasts."""
    cores = os.sched_getaffinity(0)
    last = max(cores)
    os.sched_setaffinity(0, cores - {last} or cores)
    try:
        yield last
    finally:
        os.sched_setaffinity(0, cores)


def _ask(address: str, key: str, path: str) -> Any:
    request = urllib.request.Request(f"{address}/api/v1{path}", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as found:
        return json.loads(found.read())


def _wait_projected(world: World, store: Path) -> None:
    """Waits until the history store has everything."""
    ends = sum(high for _, high in world.stranger.ends(f"{world.prefix}runs").values())

    def done() -> bool:
        world.check()
        with closing(open_store(Settings(history=History(path=store)))) as database:
            found = positions(database).items()
        return sum(at.offset for (topic, _), (_, at) in found if topic == "runs") >= ends

    wait(done, "the history to be projected", 300, every_s=0.5)
