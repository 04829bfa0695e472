"""Records that nobody of ours has written, on every topic that is shared, before and after everything has started."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2

from streamflow.cli.main import main
from streamflow.engine import commands as c
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.wire.codec import encode_command
from tests.attack import Attack, Seen
from tests.attack.processes import apart, peak_bytes
from tests.hostile_records import HEADERS, KEYS, VALUES
from tests.integration.forked import Forked
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.test_hostile_definitions import echo_among_hostile_records
from tests.integration.test_sidecar import sidecar

ROLES = ("commands", "tasks.default", "runs", "dead-letters")
_PROCESS_BYTES = 250 << 20  # of each process; about 100 MB without attacks
_RUN_S = 90.0
_FAR_MS = 1 << 52


def _kinds() -> Iterable[tuple[str, bytes | None, bytes | None, list[tuple[str, Any]]]]:
    """Name, key, value and headers of every kind."""
    for name, value in VALUES.items():
        yield name, b"k", value, []
    for name, key in KEYS.items():
        yield name, key, b"{}", []
    for name, headers in HEADERS.items():
        yield name, b"k", b'{"id": "of-headers"}', list(headers)


def _fill(bench: LaneBench, topics: Iterable[str], failed: Counter[str]) -> int:
    """Appends every kind to each partition of the topics; how many records the broker has taken."""
    taken = 0

    def delivered(error: Any, _message: Any) -> None:
        nonlocal taken
        if error is None:
            taken += 1
        else:
            failed[error.name()] += 1  # the broker's own refusal, such as a compacted topic's

    for topic in topics:
        partitions = bench.admin.list_topics(topic, timeout=10).topics[topic].partitions
        for _, key, value, headers in _kinds():
            for partition in partitions:
                bench.producer.produce(topic, value, key, headers=headers, partition=partition, on_delivery=delivered)
    far = c.Event(name="opened", id="far", time_ms=_FAR_MS, data={})
    for partition in range(bench.partitions):
        for command in (
            # Readable, and of what there is not: a version, an offset, a run, a topic, a time.
            c.StartRun(id="s1", definition="x", key="k", start=c.DefinitionRef("0" * 64, 1 << 60), event=far),
            c.StartRun(id="s2", definition="x" * 5000, key="\0", start=c.DefinitionRef("", -1), event=far),
            c.FireTimer(id="t1", run="00000000-main-x", address="s", due_ms=_FAR_MS),
            c.CancelRun(id="c1", run="ffffffff-main-x"),
            c.AdvanceWatermark(id="w1", topic="a-topic", partitions=0, at_ms={"0": _FAR_MS}),
        ):
            bench.append(partition, encode_command(command), b"k")
    bench.flush()
    return taken


def _records(seed: int) -> Seen:
    seen, failed = Seen(), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with EmbeddedBroker(place / "broker", progress=lambda _: None) as broker:
            _attacked(seen, failed, broker.bootstrap_servers, place, seed)
    seen.count("refused by the broker", failed)
    return seen


def _attacked(seen: Seen, failed: Counter[str], bootstrap: str, place: Path, seed: int) -> None:
    with make_lanes(bootstrap, place) as bench:
        folder, source = echo_among_hostile_records(bench, place, partitions=2)
        topics = [source, *(bench.topic(role) for role in ROLES)]
        taken = _fill(bench, topics, failed)
        told = ["--json", "--bootstrap", bootstrap, "--prefix", bench.prefix]
        codes: dict[str, int] = {}

        def call(*words: str) -> tuple[int, str, str]:
            out, said = io.StringIO(), io.StringIO()
            began = time.monotonic()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
                code = main([*words, *told])
            took_s = time.monotonic() - began
            called = " ".join(words[:2])
            codes[called] = code
            seen.require("Traceback" not in said.getvalue(), f"{called}: a traceback")
            seen.require(took_s < 30, f"{called} took {took_s:.0f} s")
            return code, out.getvalue(), said.getvalue()

        def works(round_: str, key: str) -> None:
            code, _, said = call("events", "send", "opened", "--data", json.dumps({"id": key}))
            seen.require(code == 0, f"{round_}: events send: {said[-500:]}")
            bench.wait(
                lambda: call("runs", "list", "--key", key, "--status", "completed")[1].count(key),
                f"the run of {key} to be completed",
                _RUN_S,
            )
            for words in (
                ("definitions", "list"),
                ("definitions", "show", "echo"),
                ("runs", "list"),
                ("runs", "approvals"),
                ("dead-letters", "list"),
                ("operations", "list"),
                ("lag",),
            ):
                code, out, said = call(*words)
                seen.require(code == 0, f"{round_}: {' '.join(words)} ends with {code}: {said[-500:]}")
                seen.require(len(out) < 5_000_000, f"{round_}: {' '.join(words)} prints {len(out)} characters")

        os.environ["STREAMFLOW_TOPICS__PARTITIONS"] = str(bench.partitions)
        code, _, said = call("definitions", "publish", str(folder))
        seen.require(code == 0, f"publish ends with {code}: {said[-500:]}")
        engine, tasks = bench.worker(), bench.task_worker()
        ingress = bench.launch(Forked("ingress", "ingress", place, bench.environment()))
        bench.wait_assigned(tasks)
        with sidecar(place, bench.environment() | {"STREAMFLOW_SIDECAR__PORT": "0"}) as (process, url):
            works("hostile records first", f"first-{seed}")
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=30) as asking:
                for path in ("/health", "/operations", "/approvals"):
                    answer = asking.get(path)
                    seen.require(answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:200]}")
            taken += _fill(bench, topics, failed)
            works("and again while all runs", f"second-{seed}")
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=30) as asking:
                answer = asking.post("/runs", json={"definition": "echo", "key": "K-3", "input": {}})
                seen.require(answer.status_code < 500, f"POST /runs: {answer.status_code} {answer.text[:200]}")
                seen.require(asking.get("/approvals").status_code == 200, "GET /approvals fails at the end")
            peaks = {worker.name: peak_bytes(worker._running().pid) for worker in (engine, tasks, ingress)}
            peaks["sidecar"] = peak_bytes(process.pid)
            process.send_signal(signal.SIGTERM)
            seen.require(process.wait(20) == 0, "the sidecar has ended by itself")
        for worker in (engine, tasks, ingress):
            seen.require("Traceback" not in worker.log.read_text(), f"{worker.name}: a traceback in its log")
        letters = [dict(one.headers() or ()) for one in bench.stranger.messages(bench.topic("dead-letters"))]
        reasons = Counter(
            str(reason, errors="replace")
            for letter in letters
            if (reason := letter.get("streamflow.dlq.reason")) and "streamflow.dlq.state" not in letter
        )
        for reason in ("bad_command", "misrouted", "unknown_definition"):
            seen.require(reason in reasons, f"no dead letter says {reason}")
        for process_name, peak in peaks.items():
            seen.require(peak < _PROCESS_BYTES, f"{process_name}: {peak} bytes of memory")
        seen.figures["records"] = f"{taken} of {len(list(_kinds()))} kinds on {len(topics) + 1} topics, twice"
        seen.count("dead letters", reasons)
        seen.figures["memory"] = ", ".join(f"{name} {peak / 2**20:.0f} MB" for name, peak in peaks.items())
        seen.figures["commands"] = ", ".join(f"{name} {code}" for name, code in codes.items())


ATTACKS = (
    Attack(
        name="hostile-records",
        done="records that nobody of ours wrote on definitions, commands, tasks, runs, dead-letters and a source",
        expected="publish, list, show, send, lag, engine, ingress, tasks and sidecar work as without; memory stays",
        make=apart(_records, limit_s=400, growth_bytes=200 << 20),
    ),
)
