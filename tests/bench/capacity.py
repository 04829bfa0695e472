"""What `streamflow capacity` reckons with: processor time of each role by what it does, and what a waiting run costs in
memory, on disk and at a restore.

Two definitions that differ only in how many steps they have separate what a command costs from what a transition costs.
Processor time is measured rather than throughput, because other work on the machine changes it less.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from confluent_kafka import Producer

from streamflow.capacity.calibration import calibrated_us
from streamflow.engine import commands as c
from streamflow.kafka.publication import Published
from streamflow.runtime.store import RocksStore
from tests.bench.meter import JIT, Meter, cpu_s
from tests.bench.million import CATALOG, WAITING, rss_mb, starts
from tests.bench.report import Row
from tests.bench.stage import Stage, drained, logged, logged_ms, pid_of, wait_ready
from tests.bench.workload import append, catalog
from tests.proof.world import PARTITIONS, Failed, World, wait

STEPS = (1, 11)  # of the two definitions: 3 and 13 transitions a run
_CALL = """
name: bench-call
version: "1"
on: [{id: placed, event: bench.placed}]
steps:
  - {id: one, call: {operation: debug.echo, with: [{name: value, expr: trigger.amount}]}}
"""
_PAD = "x" * 120
# bytes of values of a waiting run, by key
_RECORDS = {
    "run/{run}": 360,
    "out/{run}/": 300,
    "out/{run}/totals": 90,
    "timer/{ms}/{run}/payment": 2,
    "mailbox/{run}": 120,
    "seen/{run}": 60,
}
_FAR = "2040-01-01T00:00:00Z"


def chain(steps: int) -> str:
    """A definition of that many steps, one after the other, which ends at once."""
    lines = [
        f"  - {{id: s{number}, {f'needs: [s{number - 1}], ' if number else ''}"
        f"set: [{{name: total, expr: 'trigger.amount * 2'}}]}}"
        for number in range(steps)
    ]
    return "\n".join(
        [f"name: bench-chain-{steps}", 'version: "1"', "on: [{id: placed, event: bench.placed}]", "steps:", *lines]
    )


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a run did not end."""
    with stage.world("capacity") as world:
        return [
            *_decisions(stage, world),
            *_calls(stage, world),
            *_waiting(stage, world),
            *_store(stage),
            _calibration(),
        ]


def _decisions(stage: Stage, world: World) -> list[Row]:
    runs, bootstrap, topic = stage.size(20_000), world.broker.bootstrap_servers, f"{world.prefix}commands"
    published = {steps: world.publish(chain(steps), catalog()) for steps in STEPS}
    engine = world.worker("engine")
    wait_ready(world, engine)
    empty = rss_mb(engine)
    used: dict[int, float] = {}
    broker: dict[int, float] = {}
    for steps in (STEPS[0], *STEPS):  # the first time warms up
        name = f"{steps}-{time.monotonic_ns()}"
        pids = {"engine": pid_of(engine), "broker": world.broker.pid}
        with Meter(pids) as meter:
            began = time.time() * 1000
            append(bootstrap, topic, _starts(f"bench-chain-{steps}", name, runs, published[steps]))
            drained(world)
            ended = time.time() * 1000
        used[steps] = meter.used_s("engine", began, ended) / runs * 1e6
        broker[steps] = (meter.used_s("broker", began, ended) - meter.used_s(JIT, began, ended)) / runs * 1e6
        stage.say(f"{steps} steps: {used[steps]:.0f} us of the engine and {broker[steps]:.0f} us of the broker a run")
    few, many = STEPS
    each = (used[many] - used[few]) / (many - few)
    each_broker = (broker[many] - broker[few]) / (many - few)
    return [
        _row("engine.transition", "engine CPU of a transition", each, "us"),
        _row("engine.command", "engine CPU of a command without its transitions", used[few] - each * (few + 2), "us"),
        _row("broker.transition", "broker CPU of a transition, one replica", each_broker, "us"),
        _row(
            "broker.command", "broker CPU of a command without transitions", broker[few] - each_broker * (few + 2), "us"
        ),
        _row("engine.empty", "memory of an engine worker without runs", empty, "MB"),
    ]


def _calls(stage: Stage, world: World) -> list[Row]:
    """One run for each event, with a call that does nothing."""
    events = stage.size(10_000)
    world.publish(_CALL, catalog(world.source) + "operations:\n  - {name: debug.echo}\n")
    ingress, tasks = world.worker("ingress"), world.worker("tasks")
    wait_ready(world, ingress)
    before = _ends(world, "runs")
    _send(world, "warm", events // 10)
    _wait_runs(world, before + 5 * (events // 10))
    memory = {"ingress": rss_mb(ingress), "tasks": rss_mb(tasks)}
    used = {worker.kind: cpu_s(pid_of(worker)) or 0.0 for worker in (ingress, tasks)}
    _send(world, "burst", events)
    _wait_runs(world, before + 5 * (events // 10 + events))
    spent = {worker.kind: (cpu_s(pid_of(worker)) or 0.0) - used[worker.kind] for worker in (ingress, tasks)}
    for worker in (ingress, tasks):
        worker.stop()
    return [
        _row("ingress.event", "ingress CPU of an event that starts a run", spent["ingress"] / events * 1e6, "us"),
        _row(
            "tasks.attempt",
            "CPU of a task worker for an attempt that does nothing",
            spent["tasks"] / events * 1e6,
            "us",
        ),
        _row("ingress.empty", "memory of an ingress worker", memory["ingress"], "MB"),
        _row("tasks.empty", "memory of a task worker", memory["tasks"], "MB"),
    ]


def _waiting(stage: Stage, world: World) -> list[Row]:
    runs, bootstrap, topic = stage.size(100_000), world.broker.bootstrap_servers, f"{world.prefix}commands"
    waiting = world.publish(WAITING, CATALOG)
    engine = world.workers["engine"]
    before = rss_mb(engine)
    append(bootstrap, topic, starts("wait", runs, c.DefinitionRef(waiting.sha, waiting.offset), _FAR))
    drained(world)
    after = rss_mb(engine)
    engine.stop()
    engine.delete_state()
    log_begins = engine.log.stat().st_size
    engine.start()
    wait(
        lambda: len(logged(engine, "partition_open", log_begins)) >= PARTITIONS,
        "every partition to be restored",
        600,
        every_s=0.5,
    )
    used = cpu_s(pid_of(engine)) or 0.0
    opened = logged(engine, "partition_open", log_begins)
    assigned = logged_ms(logged(engine, "partitions_assigned", log_begins)[-1])
    seconds = (max(map(logged_ms, opened)) - assigned) / 1000
    restored = sum(line["restored"] for line in opened)
    engine.stop()
    return [
        _row("state.memory", "memory of the engine for a waiting run", (after - before) / runs * 1e6, "B"),
        _row("restore.records", "records restored on an empty disk", restored / seconds, "1/s"),
        _row("restore.cpu", "engine CPU of a restored record, its start included", used / restored * 1e6, "us"),
    ]


def _store(stage: Stage) -> list[Row]:
    """Files and index of a store of waiting runs, whose values compress no better than random ids in hex do."""
    chosen, live, records = random.Random(1), 0, 0
    folder = stage.folder / "capacity-store"
    store = RocksStore(folder, write_buffer_bytes=1 << 20, block_cache_bytes=1 << 20)
    batch: dict[str, bytes | None] = {}
    for number in range(stage.size(30_000)):
        run = f"{chosen.getrandbits(32):08x}-main-{chosen.getrandbits(80):020x}"
        for key, size in _RECORDS.items():
            name = key.format(run=run, ms=f"{number:015d}")
            value = chosen.randbytes(size // 2).hex().encode()
            batch[name] = value
            live, records = live + len(name) + len(value), records + 1
        if len(batch) > 3000:
            store.write(batch)
            batch = {}
    store.write(batch)
    store._db.flush()
    index = store._db.property_int_value("rocksdb.estimate-table-readers-mem") or 0
    store.close()
    files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return [
        _row("state.files", "files of the store by keys and values", files / live, ""),
        _row("state.index", "memory of a record that is in files", index / records, "B"),
    ]


def _calibration() -> Row:
    return _row("calibration", "CPU of a command of the calibration workload", calibrated_us(), "us")


def _row(name: str, what: str, value: float, unit: str) -> Row:
    return Row("capacity", f"{name}: {what}", value, unit, better="less")


def _starts(definition: str, name: str, count: int, published: Published) -> Iterator[c.Deliver]:
    for number in range(count):
        key = f"{name}-{number}"
        event = c.Event(
            name="bench.placed",
            id=key,
            time_ms=int(time.time() * 1000),
            data={"kind": "placed", "id": key, "amount": number, "pad": _PAD},
        )
        yield c.Deliver(
            id=key,
            definition=definition,
            key=key,
            event=event,
            origin=c.Origin(topic_id=f"bench-{name}", partition=0, offset=number, committed=0),
            start=c.DefinitionRef(published.sha, published.offset),
            trigger="placed",
        )


def _send(world: World, name: str, count: int) -> None:
    producer = Producer(
        {"bootstrap.servers": world.broker.bootstrap_servers, "partitioner": "murmur2_random", "linger.ms": 5}
    )
    for number in range(count):
        key = f"{name}-{number}"
        value = b'{"kind":"placed","id":"%s","amount":%d,"pad":"%s"}' % (key.encode(), number, _PAD.encode())
        producer.produce(world.source, value, key.encode())
        producer.poll(0)
    if producer.flush(60):
        raise Failed("expected all events to be acknowledged but some were not")


def _ends(world: World, topic: str) -> int:
    return sum(high for _, high in world.stranger.ends(f"{world.prefix}{topic}").values())


def _wait_runs(world: World, transitions: int) -> None:
    def produced() -> bool:
        world.check()
        return _ends(world, "runs") >= transitions

    wait(produced, f"{transitions} transitions", 300, every_s=0.5)
