"""A million waiting runs in one worker: its memory, its restore on an empty disk, and 100,000 timers that fall due at
once beside new work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from streamflow.engine import commands as c
from tests.bench.report import Row
from tests.bench.stage import (
    ARRIVALS,
    Stage,
    answer,
    drained,
    logged,
    logged_ms,
    percentile,
    pid_of,
    program,
    stored,
    wait_ready,
)
from tests.bench.workload import ONE_EVENT, append, catalog
from tests.proof.world import Worker, World, wait

RATE = 200
WAITING = """
name: bench-waiting
version: "1"
on: [{id: placed, event: bench.placed}]
steps:
  - {id: pause, delay: {until: timestamp(trigger.until)}}
"""
CATALOG = """
events:
  - name: bench.placed
    topics: [bench]
    match: {path: kind, equals: placed}
    id: {path: id}
    key: {path: id}
    schema: {type: object, properties: {id: {type: string}, until: {type: string}, context: {type: string}}}
"""
_CONTEXT = "x" * 420  # with the id and the time, 500 bytes of JSON
_FAR = "2040-01-01T00:00:00Z"
_LOAD_S = 45.0  # within which the runs whose timers fall due at once are decided, on two cores


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a timer does not fire or the engine does not come back."""
    far, due = stage.size(900_000), stage.size(100_000)
    with stage.world("million") as world:
        world.publish(ONE_EVENT, catalog(world.source))
        waiting = world.publish(WAITING, CATALOG)
        bootstrap, topic = world.broker.bootstrap_servers, f"{world.prefix}commands"
        engine, ingress = world.worker("engine"), world.worker("ingress")
        wait_ready(world, engine, ingress)
        empty = rss_mb(engine)
        began = time.monotonic()
        append(bootstrap, topic, starts("far", far, c.DefinitionRef(waiting.sha, waiting.offset), _FAR))
        drained(world)
        loaded_s = time.monotonic() - began
        held = rss_mb(engine)
        stage.say(f"{far} runs wait; the worker has {held:.0f} MB")

        due_ms = (time.time() + (_LOAD_S / 10 if stage.quick else _LOAD_S)) * 1000
        until = datetime.fromtimestamp(due_ms / 1000, UTC).isoformat(timespec="milliseconds")
        append(bootstrap, topic, starts("due", due, c.DefinitionRef(waiting.sha, waiting.offset), until))
        wait(lambda: time.time() * 1000 > due_ms - 2000, "the time to come near", 120)
        sender = program("paced", bootstrap, world.source, RATE, 30.0, "new")
        drained_ms = _all_fired(world, due)
        answer(sender, 60)
        drained(world)
        fired = [record.at_ms for record in stored(world, "runs") if record.type == "DelayElapsed"]
        arrived = {record.key: record.at_ms for record in stored(world, ARRIVALS)}
        ended = {
            record.key: record.at_ms
            for record in stored(world, "runs")
            if record.type == "RunCompleted" and record.key in arrived
        }
        beside = [ended[key] - at_ms for key, at_ms in arrived.items() if at_ms < drained_ms]
        stage.say(f"{due} timers fired in {(max(fired) - due_ms) / 1000:.1f} s")

        engine.stop()
        engine.delete_state()
        log_begins = engine.log.stat().st_size
        engine.start()
        wait(
            lambda: len(logged(engine, "partition_open", log_begins)) >= 12,
            "every partition to be restored",
            600,
            every_s=0.5,
        )
        assigned = logged_ms(logged(engine, "partitions_assigned", log_begins)[-1])
        restore_s = (max(map(logged_ms, logged(engine, "partition_open", log_begins))) - assigned) / 1000
        restored = sum(line["restored"] for line in logged(engine, "partition_open", log_begins))
        again = rss_mb(engine)
        engine.stop()
        ingress.stop()
    return [
        Row("million", f"{far:,} runs decided from their commands", far / loaded_s, "1/s"),
        Row("million", "memory of the worker without runs", empty, "MB", better="less"),
        Row("million", f"memory of the worker with {far:,} waiting runs", held, "MB", better="less"),
        Row(
            "million",
            f"{due:,} timers due at once: from their time to the last that fired",
            (max(fired) - due_ms) / 1000,
            "s",
            better="less",
        ),
        Row("million", "the earliest of them after its time", min(fired) - due_ms, "ms"),
        Row("million", f"p50 of new runs at {RATE}/s meanwhile", percentile(beside, 0.5), "ms", better="less"),
        Row("million", f"p99 of new runs at {RATE}/s meanwhile", percentile(beside, 0.99), "ms", better="less"),
        Row("million", f"restore on an empty disk, {restored:,} records", restore_s, "s", better="less"),
        Row("million", "memory of the worker after the restore", again, "MB", better="less"),
    ]


def starts(name: str, count: int, start: c.DefinitionRef, until: str) -> Iterator[c.Deliver]:
    for number in range(count):
        key = f"{name}-{number}"
        event = c.Event(
            name="bench.placed",
            id=key,
            time_ms=int(time.time() * 1000),
            data={"id": key, "until": until, "context": _CONTEXT},
        )
        yield c.Deliver(
            id=key,
            definition="bench-waiting",
            key=key,
            event=event,
            origin=c.Origin(topic_id=f"bench-{name}", partition=0, offset=number, committed=0),
            start=start,
            trigger="placed",
        )


def _all_fired(world: World, count: int) -> float:
    """Waits until everything is decided after so many timers; when that was, in epoch milliseconds."""
    runs = f"{world.prefix}runs"
    before = sum(high for _, high in world.stranger.ends(runs).values())

    def fired() -> bool:
        world.check()
        return sum(high for _, high in world.stranger.ends(runs).values()) - before >= 2 * count

    wait(fired, f"{count} timers to fire", 300, every_s=0.5)
    return time.time() * 1000


def rss_mb(worker: Worker) -> float:
    """Resident memory of a worker's process, in MB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid_of(worker)}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1000
