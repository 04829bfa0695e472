"""Growth: the laws hold with new generations of partitions on the way, whatever breaks; and nobody who looks at the
runs of a key can tell whether, or when, the installation grew."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from hashlib import blake2b
from typing import Any

import pytest

from streamflow.definition.catalog import ChildSpec
from streamflow.engine import decide, starts
from streamflow.engine.commands import AdvanceWatermark, Deliver
from streamflow.engine.generations import Forwarded, require_mailbox_here
from streamflow.engine.mailbox import delivery
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import RunStarted
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.ingress import Ingress
from streamflow.simulation.log import COMMANDS, Outgoing
from streamflow.wire.codec import decode_command
from tests.conftest import examples
from tests.property.laws import LawBroken
from tests.property.protocol import DATA, KEYS, LIMITS, Growing
from tests.property.protocol_definitions import CATALOG, CHECKS, KIDS, ORDER, PAYOUTS, SHIPMENTS, VISITS
from tests.property.test_laws import explore
from tests.property.walk import walk

STORY = (
    "grows",
    "growth_is_repeated",
    "send",
    "producer_sends_again",
    "ingress_reads_all",
    "ingress_tells_watermarks",
    "crashes",
    "what_was_in_flight_arrives",
    "owner_changes",
    "all_fire",
    "someone_decides",
)


def test_laws_hold_while_partitions_are_added() -> None:
    explore(Growing, examples(30))


def test_laws_hold_on_walks_that_grow_and_crash() -> None:
    for seed in range(examples(40)):
        walk(Growing, seed, 80, STORY)


# -- what growth must not be seen by


def done_outside(input: Any, task: Task) -> Any:
    """What operations do: the same for the same item of the same key. Without retries: their pauses follow from the
    run's id."""
    if blake2b(f"{task.key}{task.address}{task.item}".encode(), digest_size=1).digest()[0] % 8 == 0:
        raise OperationError("refused", "never", retryable=False)
    return {"a": input}


OPERATIONS = {"pay": done_outside, "unpay": done_outside, "check": done_outside}


def history(seed: int, *, grows: bool) -> tuple[dict[tuple[str, str], list[Any]], Counter[str], int]:
    """What a random day with `seed` does to each key of each definition, how deliveries ended, and how many commands
    were forwarded."""
    chance, growth = random.Random(seed), random.Random(seed + 1)
    world = Simulation(partitions=2, source_partitions=2, limits=LIMITS, operations=OPERATIONS)
    for definition in (ORDER, CHECKS, VISITS, SHIPMENTS):
        world.publish(definition, CATALOG)
    kids = ChildSpec(name="kids", version="1", sha=world.publish(KIDS, CATALOG))
    world.publish(PAYOUTS, CATALOG.model_copy(update={"definitions": [kids]}))
    world.run_until_quiet()
    for number in range(40):
        if grows and growth.random() < 0.1 and len(world.log.generations) < 3:
            world.grow(world.log.generations[-1][1] * growth.choice((1, 2)))
        name, key = chance.choice(("placed", "paid", "paid", "visited")), chance.choice(KEYS)
        id_ = f"{name}-{chance.randrange(30)}" if chance.random() < 0.5 else f"{name}-n{number}"
        asks = chance.random() < 0.1
        if asks:
            world.start("checks", {"who": "a", "must": 1}, key=key, id=f"request-{chance.randrange(5)}")
        else:
            world.send(name, chance.choice(DATA[name]), key=key, id=id_)
        if chance.random() < 0.3:
            world.advance(chance.choice(("1s", "10s", "31s", "61s")))
        elif asks or name == "placed" or chance.random() < 0.7:
            # runs that start in the same millisecond have their timers in the order of their ids, which is any
            world.run_until_quiet()
            world.clock.now_ms += 1
    world.advance("2d")
    runs: dict[tuple[str, str], list[Any]] = defaultdict(list)
    by_run: dict[str, list[Any]] = {}
    for transition in sorted(world.transitions(), key=lambda one: (one.run, one.seq)):
        if isinstance(transition.data, RunStarted):
            by_run[transition.run] = []
            event = transition.data.event
            ours = "-main-" in event.id  # made of the id of the run that emitted it or asks for the child
            facts: Any = (transition.data.trigger, event.name, "" if ours else event.id, event.data)
            runs[transition.definition, transition.key].append((transition.at_ms, by_run[transition.run]))
        else:
            facts = None
        kind = type(transition.data).__name__
        what = (kind, transition.scope, transition.step, transition.attempt, transition.at_ms, facts)
        by_run[transition.run].append(what)
    shown = {place: sorted(found, key=repr) for place, found in runs.items()}
    ended: Counter[str] = Counter()
    for name in ("order", "checks", "visits", "shipments", "payouts", "kids"):
        ended += world.deliveries(name)
    forwarded = sum(own.successor.forwarded for own in map(world.own, range(world.log.total)) if own.successor)
    return shown, ended, forwarded


def compare(seeds: range) -> int:
    """The commands that were forwarded in all. Raises LawBroken for a key whose runs growth has changed."""
    forwarded = 0
    for seed in seeds:
        (one, one_ended, _), (other, other_ended, moved) = history(seed, grows=False), history(seed, grows=True)
        forwarded += moved
        for place in one.keys() | other.keys():
            if one.get(place) != other.get(place):
                raise LawBroken("growth is not seen", f"seed {seed}, {place}: {one.get(place)} but {other.get(place)}")
        if one_ended != other_ended:
            raise LawBroken("growth is not seen", f"seed {seed}: {one_ended - other_ended}, {other_ended - one_ended}")
    return forwarded


def test_nobody_sees_when_partitions_were_added() -> None:
    assert compare(range(examples(30))) > 100


# -- each rule is needed


def play(seeds: range) -> None:
    compare(seeds)
    for seed in seeds:
        walk(Growing, seed, 80, STORY)


def test_what_a_person_asks_for_is_done_once_although_it_is_forwarded_again() -> None:
    world = Simulation(partitions=1)
    world.publish(CHECKS, CATALOG)
    world.grow(2)
    world.send("placed", {"who": "b"}, key="k1")
    world.run_until_quiet()
    (run,) = world.runs()
    number = next(place for place in (1, 2) if world.own(place).parked)
    world.retry(run, "risky")
    first, later = world.open_partitions()[0], world.open_partitions()[number]
    assert first.take(first.fetch()) == 1
    first.send()
    assert later.take(later.fetch()) == 1
    world.workers["worker"].crash(0)  # before a checkpoint: it decides and forwards again
    world.run_until_quiet()
    assert [type(one.data).__name__ for one in world.history(run)].count("StepRetried") == 1
    assert world.own(number).reasons == {"forwarded": 1}


def test_a_mailbox_with_open_runs_or_kept_events_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def forwards_whatever_is_here(builder: Any, box: Mailbox) -> None:
        if builder.successor is not None:
            raise Forwarded

    for module in (delivery, starts):
        monkeypatch.setattr(module, "require_mailbox_here", forwards_whatever_is_here)
    with pytest.raises(LawBroken):
        play(range(200))


def test_an_event_that_the_first_generation_remembers_is_no_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwarded before the memories are asked, an event that started a run would start another one."""
    real = delivery.deliver

    def forwards_first(builder: Any, contents: Any, own: Any, command: Any) -> Any:
        require_mailbox_here(builder, builder.mailbox(command.definition, command.key))
        return real(builder, contents, own, command)

    monkeypatch.setitem(decide._DECIDE, Deliver, forwards_first)
    with pytest.raises(LawBroken):
        play(range(200))


def test_a_watermark_comes_behind_the_events_that_were_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent to the later generation directly, it would overtake them, and a wait would time out whose event is there."""
    assert "WaitSatisfied" in paid_while_the_first_generation_is_behind()
    real = Ingress._append

    def overtakes(self: Ingress, number: int, key: str, value: bytes) -> None:
        to = getattr(decode_command(value), "to", None)
        real(self, number if to is None or to < 0 else to, key, value)

    monkeypatch.setattr(Ingress, "_append", overtakes)
    assert "WaitTimedOut" in paid_while_the_first_generation_is_behind()


def paid_while_the_first_generation_is_behind() -> list[str]:
    """A run of the second generation waits 30 s for a payment. It comes in time, and is not decided before that."""
    world = Simulation(partitions=1)
    world.publish(ORDER, CATALOG)
    world.grow(2)
    world.send("placed", {"who": "a"}, key="k1")
    world.run_until_quiet()
    (run,) = world.runs()
    world.clock.now_ms += 20_000
    world.send("paid", {"amount": 5}, key="k1")
    world.ingress.read()
    world.ingress.commit()
    world.clock.now_ms += 20_000
    for _ in range(2):
        world.ingress.advance_watermarks()
    _, *later = world.open_partitions()
    for _ in range(3):
        for partition in later:
            partition.take(partition.fetch())
            partition.fire()
            partition.send()
    world.run_until_quiet()
    return [type(one.data).__name__ for one in world.history(run)]


def test_the_answer_to_a_request_names_the_run_that_the_sender_knows() -> None:
    """The id of a run is made of the place where its sender has the request acknowledged, whichever partition starts
    it; so is the answer to the same request later."""
    world = Simulation(partitions=2)
    world.publish(CHECKS, CATALOG)
    world.grow(4)
    world.grow(4)
    run = world.start("checks", {"who": "a", "must": 1}, key="k1", id="r1")
    world.run_until_quiet()
    assert world.head(run) is not None
    world.start("checks", {"who": "a", "must": 1}, key="k1", id="r1")
    world.run_until_quiet()
    (letter,) = world.dead_letters()
    assert (letter["code"], letter["run"]) == ("run_exists", run)
    assert sum(own.successor.forwarded for own in map(world.own, range(6)) if own.successor) == 4


def test_what_enters_by_a_later_generation_is_refused() -> None:
    """A sender whose setting has all partitions would pass by what the first generation remembers."""
    world = Simulation(partitions=1)
    world.publish(CHECKS, CATALOG)
    world.grow(2)
    run = world.start("checks", {"who": "b"}, key="k1", id="r1")
    (start,) = [one for one in world.log.topics[COMMANDS].records() if b"r1" in (one.value or b"")]
    world.run_until_quiet()
    for number in (1, 2):
        world.log.append(Outgoing(COMMANDS, number, start.key, start.value))
    world.run_until_quiet()
    assert world.runs() == [run]
    assert [letter["reason"] for letter in world.dead_letters()] == ["misrouted", "misrouted"]


def test_a_watermark_for_the_next_generation_goes_to_its_partition_alone() -> None:
    world = Simulation(partitions=2)
    world.publish(ORDER, CATALOG)
    world.grow(4)
    world.grow(8)
    world.send("placed", {"who": "a"}, key="k1")
    world.advance("20s")
    told: dict[int, set[int]] = defaultdict(set)
    for record in world.log.topics[COMMANDS].records():
        command = decode_command(record.value or b"")
        if isinstance(command, AdvanceWatermark) and command.to is not None and command.to >= 0:
            told[record.partition].add(command.to)
    later = set(range(6, 14))
    assert [told[number] - later for number in range(2, 6)] == [{2}, {3}, {4}, {5}]
    assert [told[number] for number in range(6, 14)] == [{number} for number in range(6, 14)]
