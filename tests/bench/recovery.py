"""How soon the engine goes on: after kill -9 with its disk, and on an empty disk with a changelog of many waiting
runs."""

from __future__ import annotations

import time

from tests.bench.report import Row
from tests.bench.stage import Stage, drained, logged, logged_ms, program, stored, wait_ready
from tests.bench.workload import ONE_EVENT, TWO_COMMANDS, append, catalog, delivery, start
from tests.proof.world import PARTITIONS, World, wait

RATE = 200
_LONGEST_S = 120.0
_SETTLED_S = 3.0  # of load before the kill: past the first checkpoints
_IN_FLIGHT_MS = 50  # what the dead process had sent may still arrive; no new one moves a run so soon


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when the engine does not come back."""
    rows: list[Row] = []
    for static in (True, False):
        rows += _after_kill(stage, static)
    return rows + _restore(stage)


def _after_kill(stage: Stage, static: bool) -> list[Row]:
    kind = "static member" if static else "dynamic member"
    with stage.world(f"kill-{kind.partition(' ')[0]}") as world:
        world.publish(ONE_EVENT, catalog(world.source))
        options = {"instance_id": "bench"} if static else {}
        engine, ingress = world.worker("engine", **options), world.worker("ingress")
        wait_ready(world, engine, ingress)
        sender = program("paced", world.broker.bootstrap_servers, world.source, RATE, _LONGEST_S, "r")
        try:
            wait(lambda: world.stranger.held(f"{world.prefix}runs"), "the first transition")
            time.sleep(_SETTLED_S)
            killed_ms = time.time() * 1000
            engine.kill()
            engine.restart()
            _wait_all_move(world)
        finally:
            sender.kill()
            sender.communicate()
        moved = _first_by_partition(world, killed_ms + _IN_FLIGHT_MS)
    stage.say(
        f"{kind}: {min(moved) - killed_ms:.0f} ms to the first transition, {max(moved) - killed_ms:.0f} ms until "
        "every partition moved"
    )
    return [
        Row(
            "recovery", f"kill -9 to the first transition, {kind}", (min(moved) - killed_ms) / 1000, "s", better="less"
        ),
        Row(
            "recovery",
            f"kill -9 until every partition moved, {kind}",
            (max(moved) - killed_ms) / 1000,
            "s",
            better="less",
        ),
    ]


def _wait_all_move(world: World) -> None:
    runs = f"{world.prefix}runs"
    time.sleep(_IN_FLIGHT_MS / 1000)
    before = world.stranger.ends(runs)

    def moved() -> bool:
        world.check()
        return all(high > before[partition][1] for partition, (_, high) in world.stranger.ends(runs).items())

    wait(moved, "every partition to move again", _LONGEST_S / 2, every_s=0.2)


def _first_by_partition(world: World, after_ms: float) -> list[float]:
    first: dict[int, float] = {}
    for record in stored(world, "runs"):
        if record.at_ms > after_ms:
            first[record.partition] = min(record.at_ms, first.get(record.partition, record.at_ms))
    return list(first.values())


def _restore(stage: Stage) -> list[Row]:
    runs = stage.size(100_000)
    with stage.world("restore") as world:
        published = world.publish(TWO_COMMANDS, catalog())
        bootstrap, topic = world.broker.bootstrap_servers, f"{world.prefix}commands"
        append(bootstrap, topic, (start(number, published.sha, published.offset) for number in range(runs)))
        engine = world.worker("engine")
        drained(world)
        engine.stop()
        engine.delete_state()
        saved = stored(world, "state", committed=True)
        append(bootstrap, topic, (delivery(number) for number in range(PARTITIONS * 20)))  # some for every partition
        log_begins, began_ms = engine.log.stat().st_size, time.time() * 1000
        engine.start()
        _wait_all_move(world)
        moved = _first_by_partition(world, began_ms)
        assigned_ms = logged_ms(logged(engine, "partitions_assigned", log_begins)[-1])
        opened_ms = max(map(logged_ms, logged(engine, "partition_open", log_begins)))
    seconds = (opened_ms - assigned_ms) / 1000
    stage.say(f"{len(saved)} records of {runs} waiting runs restored in {seconds:.1f} s")
    return [
        Row("recovery", f"restore of {runs:,} waiting runs into an empty folder", seconds, "s", better="less"),
        Row("recovery", "records restored", len(saved) / seconds, "1/s"),
        Row("recovery", "bytes restored", sum(record.size for record in saved) / seconds / 1e6, "MB/s"),
        Row(
            "recovery",
            "empty folder: start of the process to the first transition",
            (min(moved) - began_ms) / 1000,
            "s",
            better="less",
        ),
        Row(
            "recovery",
            "empty folder: start of the process until every partition moved",
            (max(moved) - began_ms) / 1000,
            "s",
            better="less",
        ),
    ]
