"""The checker against real workers on a real broker: what they do keeps every promise, and a bug planted in one is
caught and named."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamflow.engine import commands as c
from streamflow_check.__main__ import main
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment, Input, ledger_of
from streamflow_check.judge import judge
from streamflow_check.promises import Report
from tests.checker.planted import BUGS, planted
from tests.integration.lanes import LaneBench, ledger, make_lanes
from tests.integration.workers import Bench, Worker, bench
from tests.proof import calls
from tests.proof.ledger import Ledger
from tests.proof.world import ROOT

__all__ = ["bench", "ledger"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

DELAYS = """
name: delays
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - {id: pause, delay: {for: DELAY}}
  - {id: bye, needs: [pause], print: {text: '"bye"'}}
"""


def verdict(bench: Bench, **changes: object) -> Report:
    with Broker(bench.servers["bootstrap.servers"], bench.prefix) as broker:
        return judge(broker, Experiment(**changes))  # type: ignore[arg-type]


def starts(bench: Bench, start: c.DefinitionRef, count: int, name: str = "order") -> list[str]:
    runs = [bench.start(start, f"{name}-{number}") for number in range(count)]
    bench.flush()
    return runs


def work(bench: Bench, worker: Worker) -> None:
    """Thirty runs, of which ten end."""
    start = bench.publish()
    runs = starts(bench, start, 30)
    for number in range(10):
        bench.deliver(f"order-{number}", flush=False)
    bench.flush()
    bench.wait(lambda: bench.transitions(runs[9]) and bench.transitions(runs[-1]), "the runs to be told")
    bench.wait_saved()


def dies(bench: Bench, worker: Worker) -> None:
    """The bug ends the process; it is started again and finishes."""
    start = bench.publish()
    starts(bench, start, 30)
    process = worker._process
    assert process is not None
    bench.workers.remove(worker)  # that it ends is what is waited for
    bench.wait(lambda: process.poll() is not None, "the planted bug to end the worker")
    bench.workers.append(worker)
    worker._process = None
    bench.restart(worker)
    starts(bench, start, 10, "later")
    bench.wait_saved()


def restarts(bench: Bench, worker: Worker) -> None:
    """Stopped in order; more comes meanwhile; started again."""
    start = bench.publish()
    starts(bench, start, 10, "early")
    bench.wait_saved()
    worker.stop()
    starts(bench, start, 10, "late")
    bench.restart(worker)
    bench.wait_saved()


def replays(bench: Bench, worker: Worker) -> None:
    """Killed before its first checkpoint, and started again."""
    runs = starts(bench, bench.publish(), 10)
    bench.wait(lambda: all(bench.transitions(run) for run in runs), "the runs to be told")
    worker.kill()
    bench.restart(worker)
    bench.wait(
        lambda: all(len(bench.transitions(run)) > len(bench.history(run)) for run in runs),
        "everything to be told again",
    )
    worker.stop()


def rebalances(bench: Bench, worker: Worker) -> None:
    """Another worker joins, and takes a half."""
    starts(bench, bench.publish(), 20)
    bench.wait_saved()
    other = bench.worker("other", instance_id=None)
    bench.wait(
        lambda: any(len(line["partitions"]) == 1 for line in bench.lines(worker, "partitions_assigned")),
        "the worker to have one partition",
    )
    bench.wait(lambda: len(bench.lines(worker, "partition_open")) > 2, "it to be open again")
    starts(bench, bench.publish(), 5, "more")
    bench.wait_saved()
    other.stop()


def delays(bench: Bench, worker: Worker) -> None:
    """A delay of ten minutes."""
    start = bench.publish(DELAYS.replace("DELAY", "10m"))
    run = bench.start(start, "patient", "delays")
    bench.wait_history(run, "RunCompleted")
    bench.wait_saved()


Story = Callable[[Bench, Worker], None]
CAUGHT: dict[str, tuple[str, Story, dict[str, Any]]] = {
    "store-ahead": ("state-is-fold", dies, {}),
    "seq-dropped": ("one-chain", work, {}),
    "copy-forged": ("identical-copies", work, {}),
    "version-changed": ("pinned-version", work, {}),
    "record-skipped": ("counts-add-up", restarts, {}),
    "batch-kept": ("counts-add-up", rebalances, {"instance_id": None}),
    "fields-reordered": ("identical-copies", replays, {"checkpoint_s": 60, "checkpoint_idle_s": 60}),
    "timer-early": ("timers-on-time", delays, {}),
    "counts-wrong": ("counts-add-up", work, {}),
    "command-swallowed": ("events-accounted", work, {}),
}


OPTIONS = {story.__name__: options for _, story, options in CAUGHT.values()}
# What unit tests plant in lists too; `make checker` plants them in workers.
LONG = {"seq-dropped", "copy-forged", "version-changed", "counts-wrong"}
ALL = os.environ.get("STREAMFLOW_FAULTS") == "1"


def test_every_planted_bug_is_looked_for() -> None:
    assert CAUGHT.keys() == BUGS.keys() - {"none", "result-twice"}


@pytest.mark.parametrize("bug", [bug for bug in CAUGHT if ALL or bug not in LONG])
def test_a_planted_bug_is_caught_and_named(bench: Bench, bug: str) -> None:
    promise, story, options = CAUGHT[bug]
    worker = bench.worker(kind=planted(bug), **options)
    story(bench, worker)
    if worker.wanted:
        worker.stop()
    report = verdict(bench)
    assert promise in report.broken_promises, report.table()


@pytest.mark.parametrize("story", [restarts, replays, rebalances], ids=lambda story: story.__name__)
def test_the_same_stories_without_a_bug_keep_every_promise(bench: Bench, story: Story) -> None:
    worker = bench.worker(kind=planted("none"), **OPTIONS.get(story.__name__, {}))
    story(bench, worker)
    if worker.wanted:
        worker.stop()
    report = verdict(bench)
    assert report.ok, report.table()


def test_kills_timers_refusals_and_dead_letters_keep_every_promise_and_the_command_line_agrees(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start, slow = bench.publish(), bench.publish(DELAYS.replace("DELAY", "400ms"))
    worker = bench.worker()
    runs = starts(bench, start, 40)
    waits = [bench.start(slow, f"slow-{number}", "delays") for number in range(5)]
    bench.wait(lambda: len(bench.transitions()) > 60, "some transitions")
    worker.kill()
    for number in range(20):
        bench.deliver(f"order-{number}", flush=False)
    bench.append(0, b"{rubbish")
    bench.send(
        c.CancelRun("cancel-1", runs[30], "asked"),
        c.CancelRun("cancel-2", runs[30], "asked again"),
        c.CancelRun("cancel-3", f"{0:08x}-none"),
    )
    starts(bench, start, 10)  # again
    bench.restart(worker)
    for run in waits:
        bench.wait_history(run, "RunCompleted")
    bench.wait_saved()
    worker.kill()
    shutil.rmtree(worker.state)
    bench.restart(worker)
    bench.send(c.CancelRun("cancel-4", runs[31]))
    bench.wait_history(runs[31], "RunCancelled")
    bench.wait_saved()
    worker.stop()
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text(
        "".join(json.dumps({"command": id_}) + "\n" for id_ in ("cancel-1", "cancel-2", "cancel-3", "start-order-7"))
    )
    line = [
        "--bootstrap",
        bench.servers["bootstrap.servers"],
        "--prefix",
        bench.prefix,
        "--json",
        "--quiet",
        "--inputs",
        str(inputs),
    ]
    code = main([*line, "--cli", f"{sys.executable} -m streamflow.cli.main"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0, told
    looked = {promise["promise"]: promise["looked"] for promise in told["promises"]}
    assert looked["cli-agrees"] >= 45
    assert looked["acknowledged-input"] == 4
    assert looked["dead-letters-whole"] >= 3
    assert looked["timers-on-time"] == 15
    assert told["facts"]["runs cancelled"] == 2


def test_an_acknowledged_command_that_is_lost_is_missed(bench: Bench) -> None:
    report = verdict(bench, inputs=(Input(command="never-sent"),))
    assert report.broken_promises == ["acknowledged-input"]


@pytest.fixture
def lanes(bootstrap: str, tmp_path: Path) -> Iterator[LaneBench]:
    with make_lanes(bootstrap, tmp_path) as made:
        yield made


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def sidecar(lanes: LaneBench) -> Iterator[str]:
    """A sidecar that asks for a token; where it is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        **lanes.environment(),
        "STREAMFLOW_SIDECAR__TOKEN": "env:TOKEN",
        "TOKEN": "secret",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "streamflow.cli.main", "sidecar", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lanes.wait(lambda: _listens(port), "the sidecar to listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_calls_through_a_kill_keep_every_promise_and_one_that_the_ledger_does_not_have_is_missed(
    lanes: LaneBench, ledger: Ledger
) -> None:
    engine, tasks = lanes.worker(), lanes.task_worker(allow=(ledger.host,))
    start = lanes.publish_calls(calls.definition(ledger.url))
    runs = [lanes.start(start, f"order-{number}", calls.NAME) for number in range(15)]
    lanes.wait(lambda: len(ledger.account().keys) > 10, "some calls")
    tasks.kill()
    lanes.restart(tasks)
    for run in runs:
        lanes.wait_history(run, "RunCompleted")
    lanes.wait_done("default")
    lanes.wait_saved()
    tasks.stop()
    engine.stop()
    told = ledger_of(ledger.log)
    with sidecar(lanes) as api:
        report = verdict(lanes, ledger=told, api=f"{api}/api/v1/runs/{{run}}/transitions", api_token="secret")
    assert report.ok, report.table()
    assert report.findings["api-agrees"].looked == 3
    assert {name: report.findings[name].looked for name in ("one-result", "calls-sent", "ledger-complete")} == {
        "one-result": 90,
        "calls-sent": 45,
        "ledger-complete": 45,
    }
    del told[f"{runs[7]}/second"]
    assert verdict(lanes, ledger=told).broken_promises == ["ledger-complete"]


def test_a_result_that_an_engine_takes_twice_is_caught_and_named(lanes: LaneBench) -> None:
    worker = lanes.worker(kind=planted("result-twice"))
    run = lanes.start(lanes.publish_calls(calls.definition("http://nowhere")), "order-1", calls.NAME)
    lanes.wait_history(run, "CallRequested")
    for number in range(2):
        lanes.send(
            c.CompleteAttempt(id=f"complete-{number}", run=run, address="first", attempt=1, output={"n": number})
        )
    lanes.wait_saved()
    worker.stop()
    assert "one-result" in verdict(lanes).broken_promises
