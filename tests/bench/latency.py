"""From the append of an event to the append of its run's last transition, through ingress and engine, at three rates;
CPU of every process."""

from __future__ import annotations

import time

from tests.bench.meter import JIT, Meter
from tests.bench.report import Row
from tests.bench.stage import Stage, answer, drained, latencies, percentile, pid_of, program, wait_ready
from tests.bench.workload import ONE_EVENT, catalog
from tests.proof.world import World

RATES = (2000, 200, 10)  # downwards, so that the broker's compiler has come to rest where little happens
_FIRST = ("first", 50, 2.0)  # name, rate, seconds: the first events after a start
_WARM_UP = ("warm", 2000, 5.0)  # a broker that has just started takes much longer for everything


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when an event gave no run."""
    rows: list[Row] = []
    with stage.world("latency") as world:
        world.publish(ONE_EVENT, catalog(world.source))
        engine, ingress = world.worker("engine"), world.worker("ingress")
        wait_ready(world, engine, ingress)
        pids = {"engine": pid_of(engine), "ingress": pid_of(ingress), "broker": world.broker.pid}
        for series in (_FIRST, _WARM_UP):
            _send(world, *series)
            drained(world)
        used: dict[int, dict[str, float]] = {}
        for rate in RATES:
            stage.say(f"{rate} events/s for {stage.seconds:.0f} s")
            with Meter(pids) as meter:
                said = _send(world, f"r{rate}", rate, stage.seconds)
            thousands = said["sent"] / 1000
            used[rate] = {
                name: meter.used_s(name, said["began_ms"], said["ended_ms"]) / thousands for name in (*pids, JIT)
            }
            drained(world)
        idle_s = 3.0 if stage.quick else 15.0
        stage.say(f"nothing for {idle_s:.0f} s")
        with Meter(pids) as meter:
            began = time.time()
            time.sleep(idle_s)
            ended = time.time()
        idle = {name: meter.used_s(name, began * 1000, ended * 1000) / (ended - began) * 100 for name in pids}
        taken = latencies(world)
        for worker in (engine, ingress):
            worker.stop()
    rows.append(
        Row("latency", "worst of the first 100 events after a start", max(taken[_FIRST[0]]), "ms", better="less")
    )
    for rate in reversed(RATES):
        values = taken[f"r{rate}"]
        rows += [
            Row("latency", f"p{share * 100:.0f} at {rate}/s", percentile(values, share), "ms", better="less")
            for share in (0.5, 0.99)
        ]
        rows.append(Row("latency", f"max at {rate}/s", max(values), "ms", better="less"))
        rows += [
            Row("latency", f"CPU of {name} per 1,000 events at {rate}/s", used[rate][name], "s", better="less")
            for name in pids
        ]
        rows.append(Row("latency", f"of it, {JIT}", used[rate][JIT], "s", better="less"))
        rows.append(
            Row(
                "latency",
                f"CPU of all but that per 1,000 events at {rate}/s",
                sum(used[rate][name] for name in pids) - used[rate][JIT],
                "s",
                better="less",
            )
        )
    rows += [
        Row("latency", f"CPU of {name} when idle", share, "% of a core", better="less") for name, share in idle.items()
    ]
    return rows


def _send(world: World, name: str, rate: float, seconds: float) -> dict[str, float]:
    return answer(program("paced", world.broker.bootstrap_servers, world.source, rate, seconds, name), seconds + 60)
