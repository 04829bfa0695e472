"""What every part of the benchmark stands on: how big it is to be, a broker and a prefix of its own, and reading times
off the topics."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.proof.world import PARTITIONS, ROOT, Failed, Say, Worker, World, wait

ARRIVALS = "arrivals"  # the source topic, without its prefix
_PATIENCE_S = 120.0


class Span(NamedTuple):
    """From the first to the last append, in the broker's epoch milliseconds."""

    first_ms: int
    last_ms: int

    @property
    def seconds(self) -> float:
        return max(1, self.last_ms - self.first_ms) / 1000


@dataclass(frozen=True)
class Stage:
    """`quick` asks for a small version of everything, `seconds` for how long each paced measurement lasts."""

    folder: Path
    quick: bool
    seconds: float
    say: Say

    def size(self, whole: int) -> int:
        """How many of something, of which a whole measurement takes `whole`."""
        return max(1, whole // 10) if self.quick else whole

    @contextlib.contextmanager
    def world(self, name: str, source: str = ARRIVALS) -> Iterator[World]:
        """A fresh broker, with the fixed topics and a source topic whose records carry the time of their append."""
        folder = self.folder / name
        with (
            EmbeddedBroker(folder / "broker") as broker,
            TimedWorld(broker, folder / "world", self.say, source) as world,
        ):
            yield world


class TimedWorld(World):
    """A world whose source topic tells when a record was appended."""

    def __enter__(self) -> TimedWorld:
        admin.apply(self.settings)
        make_topic(self, self.source)
        return self


def make_topic(world: World, name: str) -> None:
    """A topic of 12 partitions with LogAppendTime."""
    client = AdminClient({"bootstrap.servers": world.broker.bootstrap_servers, "log_level": 0})
    for future in client.create_topics(
        [NewTopic(name, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"})]
    ).values():
        future.result()


def pid_of(worker: Worker) -> int:
    return worker._running().pid


def drained(world: World) -> None:
    """Waits until everything is read, decided and saved. It asks rarely: asking costs the broker what is to be
    measured."""
    left, moved = None, time.monotonic()
    while True:
        world.check()
        progress = world.progress()
        if progress.drained:
            return
        if progress != left:
            left, moved = progress, time.monotonic()
        if time.monotonic() - moved > _PATIENCE_S:
            raise Failed(f"expected everything to be decided but nothing has moved for {_PATIENCE_S:.0f} s: {progress}")
        time.sleep(0.5)


def logged(worker: Worker, event: str, since: int = 0) -> list[dict[str, Any]]:
    """The worker's log lines of one event, from byte `since` of its log on."""
    with worker.log.open("rb") as log:
        log.seek(since)
        lines = log.read().splitlines()
    return [
        line
        for raw in lines
        if raw.startswith(b"{") and event.encode() in raw and (line := json.loads(raw))["event"] == event
    ]


def logged_ms(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp() * 1000


def wait_ready(world: World, *workers: Worker) -> None:
    """Waits until these workers hold all partitions."""

    def ready() -> bool:
        world.check()
        return all(
            len(logged(worker, "partition_open")) >= PARTITIONS
            if worker.kind == "engine"
            else any(line["partitions"] for line in logged(worker, "sources_assigned"))
            for worker in workers
        )

    wait(ready, "the workers to hold their partitions", _PATIENCE_S)


class Stored(NamedTuple):
    """What is measured of a record: where and when it was appended, its key, the bytes of key, value and headers, and
    its `ce_type`."""

    partition: int
    at_ms: int
    key: str
    size: int
    type: str


def stored(world: World, topic: str, committed: bool = False) -> list[Stored]:
    """Every record of a topic of this world, named without its prefix."""
    return [_stored(message) for message in world.stranger.messages(f"{world.prefix}{topic}", committed)]


def _stored(message: Any) -> Stored:
    key, headers = message.key() or b"", message.headers() or []
    size = len(key) + len(message.value() or b"") + sum(len(name) + len(value) for name, value in headers)
    kind = dict(headers).get("ce_type", b"").decode().removeprefix("streamflow.")
    return Stored(message.partition(), message.timestamp()[1], key.decode(), size, kind)


def latencies(world: World) -> dict[str, list[float]]:
    """Milliseconds from the append of every event to that of its run's last transition, by the name of its series.
    Raises Failed when one has no run."""
    arrived = {record.key: record.at_ms for record in stored(world, ARRIVALS)}
    last: dict[str, int] = defaultdict(int)
    for record in stored(world, "runs"):
        last[record.key] = max(last[record.key], record.at_ms)
    if missing := arrived.keys() - last.keys():
        raise Failed(
            f"expected a run of every event but {len(missing)} of {len(arrived)} have none, such as {min(missing)}"
        )
    taken: dict[str, list[float]] = defaultdict(list)
    for key, at_ms in arrived.items():
        taken[key.partition("-")[0]].append(last[key] - at_ms)
    return taken


def span(records: Sequence[Stored]) -> Span:
    """Raises Failed when there are none."""
    if not records:
        raise Failed("expected records to take the time of but there are none")
    times = [record.at_ms for record in records]
    return Span(min(times), max(times))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def program(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a program of the benchmark in a process of its own."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str], timeout_s: float) -> dict[str, Any]:
    """What a program of the benchmark says at its end. Raises Failed when it fails."""
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed(f"expected {_name(process)} to end within {timeout_s:.0f} s") from None
    if process.returncode != 0:
        raise Failed(f"expected {_name(process)} to end well but it gave {process.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _name(process: subprocess.Popen[str]) -> str:
    return " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)
