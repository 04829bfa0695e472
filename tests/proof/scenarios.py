"""What is done to the system while the log runs through it. Each scenario is a function of a case: a world, a log and
seeded choices.

The log is sent in parts: a part is let go when the trouble before it has happened, so that every kill finds work on its
way. Kills come when a topic has grown by a number of records from the seed, not after a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from tests.proof import hot, outside
from tests.proof.case import Case, Gate, Scenario
from tests.proof.disk import open_transaction
from tests.proof.world import Failed, Worker, World, wait

_PAUSE_S = 30.0


def plain(case: Case) -> None:
    """The whole log once."""
    _start(case.world)
    case.world.send(case.log)
    case.world.drain()


def twice(case: Case) -> None:
    """The whole log, and when it is done the whole log again."""
    _start(case.world)
    for _ in range(2):
        case.world.send(case.log)
        case.world.drain()


def doubled(case: Case) -> None:
    """Each event twice in a row."""
    _start(case.world)
    case.world.send([line for line in case.log for _ in range(2)])
    case.world.drain()


def kills_static(case: Case) -> None:
    """Engine and ingress killed five times each, static members: they are back at once."""
    world = case.world
    world.publish_loans()
    ingress, engine = world.worker("ingress", instance_id="ingress"), world.worker("engine", instance_id="engine")
    _kill_often(case, [ingress] * 5 + [engine] * 5)


def one_kill_each(case: Case) -> None:
    """Ingress and engine killed once each, static members."""
    world = case.world
    world.publish_loans()
    _kill_often(case, [world.worker("ingress", instance_id="ingress"), world.worker("engine", instance_id="engine")])


def kills_two_engines(case: Case) -> None:
    """Two engines, static members, killed six times between them; ingress five times; each event twice in a row."""
    world = case.world
    world.publish_loans()
    ingress = world.worker("ingress", instance_id="ingress")
    engines = [world.worker("engine", f"engine-{n}", instance_id=f"engine-{n}") for n in range(2)]
    case.log = [line for line in case.log for _ in range(2)]
    _kill_often(case, [ingress] * 5 + engines * 3)


def kills_dynamic(case: Case) -> None:
    """Two engines without instance ids, killed six times between them; ingress five times: partitions wander with every
    kill."""
    world = case.world
    world.publish_loans()
    ingress = world.worker("ingress", session_timeout_s="3")
    engines = [world.worker("engine", f"engine-{n}", session_timeout_s="3") for n in range(2)]
    _kill_often(case, [ingress] * 5 + engines * 3)


def state_deleted(case: Case) -> None:
    """The engine killed in mid-run, its state folder deleted, and started again."""
    world, gate = case.world, Gate(len(case.log), 2)
    world.publish_loans()
    world.worker("ingress")
    engine = world.worker("engine", instance_id="engine")
    world.send(case.log, gate)
    _wait_growth(case, "runs", 0.2, gate)
    case.kill(engine)
    engine.delete_state()
    engine.restart()
    gate.next()
    world.drain()


def empty_takeover(case: Case) -> None:
    """A killed and restarted on its own disk, left to save, killed again; B takes over on an empty folder."""
    world, gate = case.world, Gate(len(case.log), 3)
    world.publish_loans()
    world.worker("ingress")
    a = world.worker("engine", "engine-a", session_timeout_s="3")
    world.send(case.log, gate)
    _wait_growth(case, "runs", 0.15, gate)
    case.kill(a)
    before = world.progress().decided
    a.restart()
    gate.next()
    world.wait_progress(lambda progress: progress.decided > before, "a checkpoint of the restarted worker")
    _wait_growth(case, "runs", 0.15, gate)
    case.kill(a)
    world.worker("engine", "engine-b", session_timeout_s="3")
    gate.next()
    world.drain()


def broker_killed(case: Case) -> None:
    """The broker killed three times in mid-run and started again on its data."""
    world, parts = case.world, 4
    gate = Gate(len(case.log), parts)
    _start(world, engines=2)
    world.send(case.log, gate)
    for _ in range(parts - 1):
        _wait_growth(case, "runs", 0.15, gate)
        world.broker.kill()
        case.kills += 1
        gate.next()
        at = world.broker.bootstrap_servers
        world.broker.start()
        if world.broker.bootstrap_servers != at:
            raise Failed(f"expected the broker back at {at} but somebody took its port in between; run this again")
        world.say("the broker is back")
    world.drain()


def broker_paused(case: Case) -> None:
    """The broker stopped for 30 s while a checkpoint's transaction is open: proven by what its disk holds then."""
    world, gate = case.world, Gate(len(case.log), 2)
    _start(world, engines=2)
    world.send(case.log, gate)
    _wait_growth(case, "runs", 0.15, gate)
    deadline = time.monotonic() + 60
    while True:
        world.broker.pause()
        if found := open_transaction(world.broker.data_dir, f"{world.prefix}state"):
            break
        world.broker.resume()
        world.check()
        if time.monotonic() > deadline:
            raise Failed("expected to meet the broker with an open transaction but in 60 s there was none")
        time.sleep(case.chosen.uniform(0.001, 0.05))
    world.say(f"the broker is paused for {_PAUSE_S:.0f} s with an open transaction in {found}")
    case.kills += 1
    case.facts["open_transactions"] = found
    gate.next()
    time.sleep(_PAUSE_S)
    world.broker.resume()
    world.drain()


def zombie(case: Case) -> None:
    """An engine stopped past its session's end; the other takes over; the first goes on, and believes for a while that
    it still owns its half."""
    world, gate = case.world, Gate(len(case.log), 5)
    _, first, _ = _start(world, engines=2)
    world.send(case.log, gate)
    for _ in range(2):
        _wait_growth(case, "runs", 0.1, gate)
        first.pause()
        case.kills += 1
        world.say(f"paused {first.name}")
        gate.next()
        held = world.wait_progress(
            lambda progress: gate.reached(progress.sent) and progress.drained,
            "the other worker to take over and finish its part",
        )
        world.say(f"{first.name} goes on; the other has decided {held.decided}")
        gate.next()
        first.resume()
    world.drain()


SCENARIOS: dict[str, Scenario] = {
    "plain": Scenario(plain),
    "twice": Scenario(twice),
    "doubled": Scenario(doubled),
    "kills-static": Scenario(kills_static),
    "kills-two-engines": Scenario(kills_two_engines),
    "kills-dynamic": Scenario(kills_dynamic),
    "state-deleted": Scenario(state_deleted),
    "empty-takeover": Scenario(empty_takeover),
    "broker-killed": Scenario(broker_killed, own_broker=True),
    "broker-paused": Scenario(broker_paused, own_broker=True),
    "zombie": Scenario(zombie),
    "hot-publishing": Scenario(hot.hot_publishing, source=hot.TOPIC),
    "ledger": Scenario(outside.ledger_kills, own_broker=True, source=outside.TOPIC),
}


def _start(world: World, engines: int = 1) -> list[Worker]:
    world.publish_loans()
    return [world.worker("ingress"), *(world.worker("engine", f"engine-{number}") for number in range(engines))]


def _wait_growth(case: Case, topic: Literal["commands", "runs"], most: float, gate: Gate) -> None:
    """Waits until `topic` has grown by a number of records from the seed, up to the share `most` of all it will hold;
    or until there is nothing left to do."""
    world, per_run = case.world, {"commands": 3, "runs": 6}[topic]
    wanted = case.chosen.randrange(1, int(len(case.expected) * per_run * most))
    name = f"{world.prefix}{topic}"
    begin = world.stranger.held(name)
    asked = time.monotonic()

    def reached() -> bool:
        nonlocal asked
        world.check()
        if world.stranger.held(name) - begin >= wanted:
            return True
        if time.monotonic() - asked < 1:
            return False
        asked = time.monotonic()
        progress = world.progress()
        return progress.drained and gate.reached(progress.sent)

    wait(reached, f"{topic} to grow by {wanted}", timeout_s=120, every_s=0.005)


def _kill_often(case: Case, victims: Sequence[Worker]) -> None:
    """Kills the victims in an order from the seed, each at work; three in ten stay down until the next one has been
    killed too."""
    world, order = case.world, list(victims)
    case.chosen.shuffle(order)
    gate = Gate(len(case.log), len(order) + 1)
    world.send(case.log, gate)
    down: list[Worker] = []
    for victim in order:
        if not down:
            _wait_growth(case, "commands" if victim.kind == "ingress" else "runs", 1 / gate.parts, gate)
        if victim in down:
            victim.restart()
            down.remove(victim)
        case.kill(victim)
        down.append(victim)
        gate.next()
        if len(down) > 1 or case.chosen.random() < 0.7:
            while down:
                down.pop().restart()
    for victim in down:
        victim.restart()
    world.drain()
