"""What metrics and tracing cost a command, as a share of the CPU that an engine worker uses for one.

What they add is measured in this process, by a partition that takes turns: some commands with them, as many without,
and again, so that other work on the machine, the size of the state and the order of memory fall on both alike. Two
partitions, and more so two workers, differ by more than what is measured. The exporting thread counts; the receiver is
another process. What a command costs altogether is measured of a real worker without either."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from msgspec.structs import replace

from streamflow.cli.worker import GC_THRESHOLD
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.core.tracing import Span, Tracer
from streamflow.definition.compile import plan_of
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.plan import Plan
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine import commands as c
from streamflow.engine.builder import Limits
from streamflow.engine.trace import Sampling
from streamflow.ids import command_place
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.runtime.decision_spans import DecisionSpans
from streamflow.runtime.store import RocksStore
from streamflow.settings import Settings, Tracing
from streamflow.tracing import otlp  # noqa: F401 - so that no measurement pays for its import
from streamflow.tracing.exporter import exported_spans
from streamflow.wire.codec import encode_command
from streamflow.wire.decoding import Record
from tests.bench.meter import Meter
from tests.bench.report import Row
from tests.bench.stage import Stage, drained, pid_of, span, stored
from tests.bench.workload import TWO_COMMANDS, append, catalog, commands
from tests.proof.world import wait

PAIRS = 9
LIMIT_PERCENT = 5.0
_CHECKPOINT = 16  # turns
_TURN = 250  # commands; both of a run's commands fall into turns of the same side
_TOPIC_ID = "bench"
_Command = tuple[bytes, bytes]  # the key and the value of its record


class _Definitions:
    """One content, which is always there."""

    def __init__(self, content: bytes) -> None:
        self._content = content.decode()
        self._plan = plan_of(content)

    def content(self, start: c.DefinitionRef) -> str | None:
        return self._content

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        return self._plan

    def readable(self, start: c.DefinitionRef) -> bool:
        return True


class _Case(NamedTuple):
    """What a process does beside its work."""

    what: str
    ratio: float | None  # of traces that are recorded; None: no tracing
    is_measured: bool  # whether it has metrics
    aim: float | None = None  # per cent at most


_BARE = _Case("nothing", None, False)
_CASES = (
    _Case("metrics", None, True, LIMIT_PERCENT),
    _Case("metrics and tracing, as the settings sample", Tracing().sample_ratio, True, LIMIT_PERCENT),
    _Case("metrics and tracing, 1 % of the traces recorded", 0.01, True),
    _Case("tracing, every trace recorded", 1.0, False),
)


def measure(stage: Stage) -> list[Row]:
    """How much more CPU a command takes."""
    whole_us = _worker_us(stage)
    content = canonical(parse_definition(TWO_COMMANDS), parse_catalog(catalog()))
    definitions, runs = _Definitions(content), stage.size(10_000)
    plain = list(commands(runs, sha256_of(content), 0))
    bare = _encoded(plain)
    pairs = 3 if stage.quick else PAIRS
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)  # as in a worker
    rows = [Row("overhead", "engine's CPU for a command, without either", whole_us, "us", better="less")]
    try:
        for case in _CASES:
            with _exporter(case) as exporter:
                sampled = bare if case.ratio is None else _encoded(_sampled(plain, Sampling(case.ratio)))
                pair = _Pair(case, exporter, bare, sampled, definitions, stage.folder / "overhead")
                found = [pair.more_s() * 1e6 for _ in range(pairs + 1)][1:]  # the first one connects
            stage.say(f"{case.what}: {', '.join(f'{one:+.1f}' for one in found)} us a command")
            more_us = median(found)
            rows += [
                Row("overhead", case.what, more_us, "us", better="less"),
                Row(
                    "overhead",
                    f"{case.what}, of the engine's CPU for a command",
                    more_us / whole_us * 100,
                    "%",
                    aim=case.aim,
                    better="less",
                ),
            ]
    finally:
        gc.set_threshold(*thresholds)
    return rows


def _worker_us(stage: Stage) -> float:
    """CPU of an engine worker for a command of a backlog, in microseconds."""
    runs = stage.size(10_000)
    with stage.world("overhead") as world:
        published = world.publish(TWO_COMMANDS, catalog())
        topic = f"{world.prefix}commands"
        count = append(world.broker.bootstrap_servers, topic, commands(runs, published.sha, published.offset))
        engine = world.worker("engine")
        with Meter({"engine": pid_of(engine)}) as meter:
            drained(world)
        engine.stop()
        used_us = meter.used_s("engine", *span(stored(world, "runs"))) / count * 1e6
    stage.say(f"a worker without metrics and tracing: {used_us:.0f} us a command")
    return used_us


class _Exporter(NoMetrics):
    """What exports the spans of a case: how many hops it was given and has made spans of, how many spans these are and
    how many it is done with, and its CPU seconds."""

    def __init__(self) -> None:
        self.taken = self.made = self.spans = self.done = 0
        self.tracer: Tracer | None = None

    def take(self, spans: Iterable[Span]) -> None:
        """See `Tracer`."""
        assert self.tracer is not None
        self.taken += 1
        self.tracer.take(self._counted(spans))

    def _counted(self, spans: Iterable[Span]) -> Iterator[Span]:
        for one in spans:
            self.spans += 1
            yield one
        self.made += 1

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """See `Metrics`."""
        self.done += int(value)

    def cpu_s(self) -> float:
        """CPU seconds of its thread, when everything is exported."""
        wait(lambda: self.made == self.taken and self.done == self.spans, "the spans to be exported")
        threads = [one.ident for one in threading.enumerate() if one.name == "spans" and one.ident is not None]
        return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in threads)


@contextmanager
def _exporter(case: _Case) -> Iterator[_Exporter]:
    exporter = _Exporter()
    with _receiver(case.ratio is not None) as endpoint:
        settings = Settings(tracing=Tracing(endpoint=endpoint, queue_spans=1_000_000, timeout_s=60))
        with exported_spans(settings, "engine", exporter) as exporter.tracer:
            yield exporter


class _Pair(NamedTuple):
    """The same commands with a case and without it. Which of them has a turn first changes the cost, so each is first
    equally often."""

    case: _Case
    exporter: _Exporter
    bare: list[_Command]
    sampled: list[_Command]  # the same, as the case has them
    definitions: _Definitions
    folder: Path

    def more_s(self) -> float:
        """How many more CPU seconds a command takes with the case, the export of the last span included."""
        began = self.exporter.cpu_s()
        found = sum(self._deciding_s(first=first) for first in (False, True))
        # each of the two passes had half of its commands with the case
        return (found + (self.exporter.cpu_s() - began)) / len(self.bare)

    def _deciding_s(self, *, first: bool) -> float:
        """More CPU seconds of the thread that decides, in one pass; `first`: whether it begins with the case."""
        store = RocksStore(self.folder, write_buffer_bytes=16 << 20, block_cache_bytes=32 << 20)
        now_ms = int(time.time() * 1000)
        core = _core(
            store,
            self.definitions,
            now_ms,
            ProcessMetrics(Process.ENGINE) if self.case.is_measured else None,
            self.exporter if self.case.ratio is not None else None,
        )
        switch, spent = _Switch(core), {False: 0.0, True: 0.0}
        for turn in range(len(self.bare) // _TURN):
            side = (turn % 4 in (1, 2)) != first
            switch.turn(on=side)
            began = time.thread_time()
            _take(core, self.sampled if side else self.bare, turn * _TURN, now_ms)
            spent[side] += time.thread_time() - began
            switch.turn(on=True)
            if turn % _CHECKPOINT == _CHECKPOINT - 1 and (checkpoint := core.capture()) is not None:
                checkpoint.committed()
                store.write(checkpoint.records())
                core.saved()
        store.close()
        shutil.rmtree(self.folder)
        return spent[True] - spent[False]


class _Switch:
    """Lets a partition decide with what it was made with, or as one that was made without metrics and tracing."""

    def __init__(self, core: PartitionCore) -> None:
        self._core = core
        self._with = core.metrics, core._measured, core._traced

    def turn(self, *, on: bool) -> None:
        core = self._core
        core.metrics, core._measured, core._traced = self._with if on else (NoMetrics(), None, None)


@contextmanager
def _receiver(is_wanted: bool) -> Iterator[str | None]:
    if not is_wanted:
        yield None
        return
    command = [sys.executable, "-m", "tests.servers.otlp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdin is not None
        assert receiver.stdout is not None
        try:
            yield receiver.stdout.readline().strip()
        finally:
            receiver.stdin.close()


def _encoded(found: Iterable[c.Deliver]) -> list[_Command]:
    return [(command.key.encode(), encode_command(command)) for command in found]


def _sampled(plain: list[c.Deliver], sampling: Sampling) -> Iterator[c.Deliver]:
    """The commands as ingress makes them when it samples."""
    for command in plain:
        origin = command.origin
        place = command_place(origin.topic_id, origin.partition, origin.offset)
        yield replace(command, trace=sampling.enter(None, place))


def _core(
    store: RocksStore, definitions: _Definitions, now_ms: int, metrics: Metrics | None, tracer: Tracer | None
) -> PartitionCore:
    core = PartitionCore(
        Place(number=0, partitions=1, topic_id=_TOPIC_ID, lanes=frozenset(), limits=Limits()),
        store,
        definitions,
        now_ms=now_ms,
        topic_of=lambda event: event,
        metrics=metrics,
        clock=time.perf_counter,
        traced=None if tracer is None else DecisionSpans(tracer, _TOPIC_ID, "engine", lambda event: event),
    )
    core.begin(0)
    return core


def _take(core: PartitionCore, found: list[_Command], begin: int, now_ms: int) -> None:
    """Decide a turn's commands, from the one at `begin`, as a host does."""
    core.fire(now_ms)
    for offset in range(begin, begin + _TURN):
        key, value = found[offset]
        core.take(Record("commands", 0, offset, now_ms, key, value), now_ms)
        if core.outputs:
            core.acknowledged(core.interval, len(core.outputs))
            core.outputs.clear()
