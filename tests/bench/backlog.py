"""Commands from a backlog: the engine, and beside it the bare loop on the same commands with outputs of the same number
and size.

Both are timed from the first to the last append of what they produce, in the broker's time; how long a start takes is a
figure of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from tests.bench.meter import JIT, Meter
from tests.bench.report import Row
from tests.bench.stage import Span, Stage, Stored, answer, drained, make_topic, pid_of, program, span, stored
from tests.bench.workload import TRANSITIONS_PER_RUN, TWO_COMMANDS, append, catalog, commands
from tests.proof.world import Failed, World

AIM = 8000.0  # commands a second, on two cores
_KEY_BYTES = 7  # of a key of the bare loop, on average
_NOMINAL = (3.0, 600, 3.0, 150)  # outputs of a command and their bytes, records of the changelog and theirs


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a run did not end."""
    runs = stage.size(30_000)
    with stage.world("backlog") as world:
        published = world.publish(TWO_COMMANDS, catalog())
        topic = f"{world.prefix}commands"
        count = append(world.broker.bootstrap_servers, topic, commands(runs, published.sha, published.offset))
        stage.say(f"{count} commands wait")
        # a broker that has just started takes much longer for everything
        _bare(stage, world, "warm-up", count, *_NOMINAL)

        began_ms = time.time() * 1000
        engine = world.worker("engine")
        with Meter({"engine": pid_of(engine), "broker": world.broker.pid}) as meter:
            drained(world)
        engine.stop()
        produced, saved = stored(world, "runs"), stored(world, "state", committed=True)
        _check(produced, runs)
        ours = span(produced)
        stage.say(f"engine: {count / ours.seconds:.0f} commands/s")

        figures = [
            figure
            for records in (produced, saved)
            for figure in (len(records) / count, _bytes(records) // len(records) - _KEY_BYTES)
        ]
        theirs, beside = _bare(stage, world, "measured", count, *figures)

    def each_us(seconds: float) -> float:
        return seconds / count * 1e6

    return [
        Row("backlog", "commands/s", count / ours.seconds, "1/s", beside=count / theirs.seconds, aim=AIM),
        Row(
            "backlog",
            "engine CPU per command",
            each_us(meter.used_s("engine", *ours)),
            "us",
            each_us(beside.used_s("bare", *theirs)),
            better="less",
        ),
        Row(
            "backlog",
            "broker CPU per command",
            each_us(meter.used_s("broker", *ours)),
            "us",
            each_us(beside.used_s("broker", *theirs)),
            better="less",
        ),
        Row(
            "backlog",
            f"of it, {JIT}",
            each_us(meter.used_s(JIT, *ours)),
            "us",
            each_us(beside.used_s(JIT, *theirs)),
            better="less",
        ),
        Row("backlog", "transitions per command", len(produced) / count, ""),
        Row("backlog", "bytes of transitions per command", _bytes(produced) / count, "B", better="less"),
        Row("backlog", "changelog records per command", len(saved) / count, "", better="less"),
        Row("backlog", "bytes of changelog per command", _bytes(saved) / count, "B", better="less"),
        Row(
            "backlog",
            "from the start of the process to the first transition",
            (ours.first_ms - began_ms) / 1000,
            "s",
            better="less",
        ),
    ]


def _bare(stage: Stage, world: World, name: str, count: int, *figures: float) -> tuple[Span, Meter]:
    topics = [f"bare.{kind}.{name}" for kind in ("out", "state")]
    for topic in topics:
        make_topic(world, f"{world.prefix}{topic}")
    full = [f"{world.prefix}{topic}" for topic in ("commands", *topics)]
    process = program(
        "bare", "loop", world.broker.bootstrap_servers, name, *full, count, *figures, stage.folder / f"bare-{name}"
    )
    with Meter({"bare": process.pid, "broker": world.broker.pid}) as meter:
        answer(process, 300)
    return span(stored(world, topics[0])), meter


def _check(produced: list[Stored], runs: int) -> None:
    kinds = Counter(record.type for record in produced)
    if kinds["RunCompleted"] != runs or len(produced) != runs * TRANSITIONS_PER_RUN:
        raise Failed(
            f"expected {runs} runs to complete in {runs * TRANSITIONS_PER_RUN} transitions but found {dict(kinds)}"
        )


def _bytes(records: Iterable[Stored]) -> int:
    return sum(record.size for record in records)
