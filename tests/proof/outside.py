"""Runs that call a ledger, three times each, while task workers, engine, ingress and broker are killed in an order from
the seed.

Every expected key is in the ledger, each has exactly one accepted result, and calls exceed keys only by what was called
and not committed as ended when a task worker was killed. A kill of anything else repeats no call.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from streamflow.kafka.groups import positions
from streamflow.wire.lane_position import decode_position
from tests.proof import calls
from tests.proof.case import Case, Gate
from tests.proof.ledger import Ledger
from tests.proof.loans import Line
from tests.proof.world import Failed, Worker, World, wait

TOPIC = "orders"
ORDERS = 2500
KILLS = 12

CATALOG = """
events:
  - {name: order.placed, topics: [TOPIC], start: earliest, match: {path: type, equals: placed}, id: {path: id}, key: {path: order}}
"""  # noqa: E501


def ledger_kills(case: Case) -> None:
    """Two engines, two task workers and ingress, some of them static members, killed twelve times between them and the
    broker."""
    world = case.world
    keys = [f"order-{number}" for number in range(ORDERS)]
    case.log = [
        Line(key.encode(), json.dumps({"id": f"placed-{key}", "type": "placed", "order": key}).encode()) for key in keys
    ]
    case.expected = dict.fromkeys(keys, calls.STEPS[-1])
    with Ledger(world.folder / "ledger", delay_ms=case.chosen.choice([5, 50, 150])) as ledger:
        calls.publish_calls(world.settings, calls.definition(ledger.url), CATALOG.replace("TOPIC", world.source))
        workers = _workers(case, ledger)
        repeatable = _kill_often(case, ledger, workers)
        wait(lambda: _done(world, ledger), "every key to be called", timeout_s=300, every_s=0.5)
        wait(
            lambda: _accepted(world) == ORDERS * len(calls.STEPS),
            "every result to be accepted",
            timeout_s=120,
            every_s=1.0,
        )
        world.drain()
        runs = world.stranger.runs(calls.NAME).runs
        account = ledger.account()
        case.faults += calls.judge_calls(world.stranger, ledger, runs, repeatable)
    case.facts |= {
        "calls": sum(account.calls.values()),
        "keys": len(account.keys),
        "repeatable": repeatable,
        "copies": _copies(world),
    }
    case.notes.append(
        f"{case.facts['calls']} calls for {case.facts['keys']} keys; {repeatable} attempts were in flight at kills of "
        "their workers"
    )


def _workers(case: Case, ledger: Ledger) -> list[Worker]:
    world = case.world
    lanes = json.dumps({"default": {"in_flight": 40, "session_timeout_s": 3}})
    found = [world.worker("ingress", instance_id="ingress")]
    for number in range(2):
        static = {"instance_id": f"engine-{number}"} if case.chosen.random() < 0.7 else {}
        found.append(world.worker("engine", f"engine-{number}", session_timeout_s="3", **static))
    for number in range(2):
        static = {"instance_id": f"tasks-{number}"} if case.chosen.random() < 0.5 else {}
        found.append(
            world.worker(
                "tasks", f"tasks-{number}", lanes=lanes, allow_hosts=json.dumps([ledger.host]), drain_s="5", **static
            )
        )
    return found


def _kill_often(case: Case, ledger: Ledger, workers: Sequence[Worker]) -> int:
    """Kills at moments from the seed, each while there is work, and returns how many calls that may have repeated."""
    world, gate, repeatable = case.world, Gate(len(case.log), KILLS + 1), 0
    world.send(case.log, gate)
    victims: list[Worker | None] = [case.chosen.choice([*workers, *workers[-2:], None]) for _ in range(KILLS)]
    for victim in victims:
        more = case.chosen.randrange(50, ORDERS * len(calls.STEPS) // (2 * KILLS))
        wanted = len(ledger.account().keys) + more
        wait(partial(_moved, world, ledger, gate, wanted), f"{more} more calls", timeout_s=120, every_s=0.2)
        if victim is None:
            # A worker that starts without a broker says so and ends: that is for whoever supervises it.
            wait(partial(_all_up, world, workers), "all workers to be up", every_s=0.2)
            _kill_broker(case)
        else:
            case.kill(victim)
            if victim.kind == "tasks":
                ledger.catch_up()
                ended = _ended(world)
                repeatable += len(ledger.account().keys) - ended
            victim.restart()
        gate.next()
    return repeatable


def _all_up(world: World, workers: Sequence[Worker]) -> bool:
    """Whether each, since its last start, has been given its share."""
    world.check()
    given = {"engine": '"partitions_assigned"', "tasks": '"lane_assigned"', "ingress": '"sources_assigned"'}
    return all(worker.said(given[worker.kind]) for worker in workers)


def _kill_broker(case: Case) -> None:
    broker = case.world.broker
    at = broker.bootstrap_servers
    broker.kill()
    case.kills += 1
    case.world.say(f"killed the broker ({case.kills})")
    broker.start()
    if broker.bootstrap_servers != at:
        raise Failed(f"expected the broker back at {at} but somebody took its port in between; run this again")


def _moved(world: World, ledger: Ledger, gate: Gate, wanted: int) -> bool:
    world.check()
    return len(ledger.account().keys) >= wanted or _idle(world, gate)


def _idle(world: World, gate: Gate) -> bool:
    """Whether everything that may go has gone and been worked on."""
    progress = world.progress()
    return gate.reached(progress.sent) and progress.drained and _ended(world) >= progress.sent * len(calls.STEPS)


def _done(world: World, ledger: Ledger) -> bool:
    world.check()
    return len(ledger.account().keys) >= ORDERS * len(calls.STEPS)


def _accepted(world: World) -> int:
    world.check()
    return len(calls.accepted(world.stranger.messages(f"{world.prefix}runs")))


def _ended(world: World) -> int:
    """Attempts that are committed as ended."""
    return _counted(world, "completed")


def _copies(world: World) -> int:
    return _counted(world, "copies")


def _counted(world: World, outcome: str) -> int:
    group = f"{world.prefix}tasks.default"
    found = (decode_position(*position) for position in positions(world.settings, [group])[group].values())
    return sum(position.counts.get(outcome, 0) for position in found if position is not None)
