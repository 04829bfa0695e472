"""Three trivial external steps a run, each by way of a lane and its worker: as fast as it goes, and at a steady 10
runs/s.

Beside it the bare loops of the same hops: one process that passes records on to a lane's topic, one that passes them
back, three times.
"""

from __future__ import annotations

import time
from collections import Counter

from confluent_kafka import Producer

from tests.bench.meter import JIT, Meter
from tests.bench.report import Row
from tests.bench.stage import (
    ARRIVALS,
    Span,
    Stage,
    answer,
    latencies,
    make_topic,
    percentile,
    pid_of,
    program,
    span,
    stored,
    wait_ready,
)
from tests.proof.world import Failed, World, wait

STEPS = 3
AIM_CPU_S = 1.0  # of all processes, for 1,000 runs
THREE_CALLS = """
name: bench-calls
version: "1"
on: [{id: placed, event: bench.placed}]
steps:
  - {id: one, call: {operation: debug.echo, with: [{name: value, expr: trigger.amount}]}}
  - {id: two, needs: [one], call: {operation: debug.echo, with: [{name: value, expr: trigger.amount}]}}
  - {id: three, needs: [two], call: {operation: debug.echo, with: [{name: value, expr: trigger.amount}]}}
"""
CATALOG = """
events:
  - name: bench.placed
    topics: [{topic}]
    start: earliest
    match: {{path: kind, equals: placed}}
    id: {{path: id}}
    key: {{path: id}}
    schema: {{type: object, properties: {{id: {{type: string}}, amount: {{type: integer}}}}}}
operations:
  - {{name: debug.echo}}
"""
_WARM_UP = ("warm", 200, 5.0)
_RATE = 10


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a run did not end."""
    runs = stage.size(6000)
    with stage.world("calls") as world:
        world.publish(THREE_CALLS, CATALOG.format(topic=world.source))
        workers = [world.worker("engine"), world.worker("ingress"), world.worker("tasks")]
        wait_ready(world, *workers[:2])
        pids = {
            "engine": pid_of(workers[0]),
            "ingress": pid_of(workers[1]),
            "tasks": pid_of(workers[2]),
            "broker": world.broker.pid,
        }
        answer(
            program("paced", world.broker.bootstrap_servers, world.source, _WARM_UP[1], _WARM_UP[2], _WARM_UP[0]), 60
        )
        _all_ended(world, int(_WARM_UP[1] * _WARM_UP[2]))

        stage.say(f"{runs} runs as fast as they go")
        with Meter(pids) as meter:
            _burst(world, runs)
            _all_ended(world, int(_WARM_UP[1] * _WARM_UP[2]) + runs)
        fast = _span(world, "burst")
        stage.say(f"{runs / fast.seconds:.0f} runs/s")
        used = {name: meter.used_s(name, *fast) / runs * 1000 for name in (*pids, JIT)}

        stage.say(f"{_RATE} runs/s for {stage.seconds:.0f} s")
        with Meter(pids) as paced_meter:
            said = answer(
                program("paced", world.broker.bootstrap_servers, world.source, _RATE, stage.seconds, "slow"),
                stage.seconds + 60,
            )
        slow = {
            name: paced_meter.used_s(name, said["began_ms"], said["ended_ms"]) / said["sent"] * 1000 for name in pids
        }
        _all_ended(world, int(_WARM_UP[1] * _WARM_UP[2]) + runs + said["sent"])
        taken = latencies(world)

        idle_s = 3.0 if stage.quick else 20.0
        time.sleep(1 if stage.quick else 12)  # what is rare when nothing comes is seen only then
        stage.say(f"nothing for {idle_s:.0f} s")
        with Meter(pids) as idle_meter:
            began = time.time()
            time.sleep(idle_s)
            ended = time.time()
        idle = {
            name: idle_meter.used_s(name, began * 1000, ended * 1000) / (ended - began) * 100 for name in (*pids, JIT)
        }
        for worker in workers:
            worker.stop()
        beside, beside_cpu = _bare(stage, world, runs)

    rows = [
        Row("calls", "runs/s with three external steps", runs / fast.seconds, "1/s", beside=runs / beside.seconds),
        *(
            Row(
                "calls",
                f"CPU of {name} per 1,000 runs, as fast as it goes",
                used[name],
                "s",
                beside_cpu.get(name),
                better="less",
            )
            for name in (*pids, JIT)
        ),
        Row(
            "calls",
            "CPU of all but the JIT per 1,000 runs",
            sum(used[n] for n in pids) - used[JIT],
            "s",
            sum(beside_cpu.values()),
            AIM_CPU_S,
            better="less",
        ),
    ]
    rows += [
        Row(
            "calls",
            f"p{share * 100:.0f} at {_RATE} runs/s, append to last transition",
            percentile(taken["slow"], share),
            "ms",
            better="less",
        )
        for share in (0.5, 0.99)
    ]
    rows += [
        Row("calls", f"CPU of {name} per 1,000 runs at {_RATE} runs/s", slow[name], "s", better="less") for name in pids
    ]
    rows += [
        Row("calls", f"CPU of {name} when idle", share, "% of a core", better="less") for name, share in idle.items()
    ]
    rows.append(
        Row(
            "calls",
            "CPU of all but the JIT when idle",
            sum(idle[name] for name in pids) - idle[JIT],
            "% of a core",
            aim=5.0,
            better="less",
        )
    )
    return rows


def _burst(world: World, runs: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": world.broker.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "log_level": 0,
        }
    )
    for number in range(runs):
        producer.produce(
            world.source, b'{"kind":"placed","id":"burst-%d","amount":%d}' % (number, number), b"burst-%d" % number
        )
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise Failed("expected all events to be acknowledged but some were not")


def _all_ended(world: World, runs: int) -> None:
    """Waits until so many runs have ended; it asks for ends of topics only, and rarely."""
    transitions = runs * (2 + 2 * STEPS)

    def produced() -> int:
        world.check()
        return sum(high for _, high in world.stranger.ends(f"{world.prefix}runs").values())

    wait(lambda: produced() >= transitions, f"{transitions} transitions", 300, every_s=0.5)
    kinds = Counter(record.type for record in stored(world, "runs"))
    if kinds["RunCompleted"] != runs:
        raise Failed(f"expected {runs} runs to complete but found {dict(kinds)}")


def _span(world: World, series: str) -> Span:
    """From the first event of a series to the last transition of its runs."""
    records = [
        record for topic in (ARRIVALS, "runs") for record in stored(world, topic) if record.key.startswith(f"{series}-")
    ]
    return span(records)


def _bare(stage: Stage, world: World, runs: int) -> tuple[Span, dict[str, float]]:
    """The same number of records over the same hops, without any engine."""
    topics = [f"{world.prefix}bare.{kind}" for kind in ("commands", "tasks", "out")]
    for topic in topics:
        make_topic(world, topic)
    hops = [
        program("bare_calls", role, world.broker.bootstrap_servers, *topics, runs, STEPS)
        for role in ("engine", "tasks")
    ]
    with Meter({"engine": hops[0].pid, "tasks": hops[1].pid, "broker": world.broker.pid}) as meter:
        answer(program("bare_calls", "start", world.broker.bootstrap_servers, *topics, runs, STEPS), 60)
        for hop in hops:
            answer(hop, 120)
    found = span([record for topic in ("bare.commands", "bare.out") for record in stored(world, topic)])
    return found, {name: meter.used_s(name, *found) / runs * 1000 for name in ("engine", "tasks", "broker")}
