"""A partition in a worker's hands, stopped, crashed and replaced between any two of its steps."""

from __future__ import annotations

import pytest

from streamflow.errors import EngineFault, OperationError
from streamflow.simulation.driver import TOMBSTONE_RETENTION_MS, Simulation
from streamflow.simulation.worker import POSITION, Partition
from tests.builders import a_catalog, a_definition

WAIT = {"id": "pay", "wait": {"events": [{"id": "paid", "event": "paid"}], "within": "10s"}}
DELAY = {"id": "later", "delay": {"for": "10s"}}
CATALOG = a_catalog("placed", "paid")


@pytest.fixture
def simulation() -> Simulation:
    made = Simulation(workers=("a", "b"))
    made.publish(a_definition(WAIT), CATALOG)
    for key in ("k1", "k2", "k3"):
        made.send("placed", {}, key=key)
    made.ingress.read()
    return made


def opened(simulation: Simulation) -> Partition:
    (partition,) = simulation.open_partitions()
    partition.worker.definitions.catch_up()
    return partition


def test_a_crash_before_the_checkpoint_is_replayed_identically(simulation: Simulation) -> None:
    partition = opened(simulation)
    partition.take(partition.fetch(2))
    partition.send(3)
    simulation.workers["a"].crash(0)
    simulation.run_until_quiet()
    copies = [record.value for record in simulation.log.topics["runs"].records()]
    assert len(copies) == 9
    assert len(set(copies)) == 6
    assert simulation.own().counts.applied == 3 + 1  # and a watermark


def test_a_zombie_sends_copies_but_commits_nothing(simulation: Simulation) -> None:
    zombie = opened(simulation)
    zombie.take(zombie.fetch(2))
    zombie.capture()
    simulation.assign(0, "b")
    opened(simulation)
    simulation.run_until_quiet()
    zombie.send()
    with pytest.raises(OperationError, match="fenced"):
        zombie.commit()
    assert zombie.closed
    assert len({record.value for record in simulation.log.topics["runs"].records()}) == 6
    assert simulation.log.changelogs[0].committed == len(simulation.log.topics["commands"].records())


def test_a_new_owner_without_a_store_restores_everything_from_the_changelog(simulation: Simulation) -> None:
    simulation.run_until_quiet()
    before = dict(opened(simulation).store.scan(""))
    simulation.assign(0, "b")
    after = dict(opened(simulation).store.scan(""))
    assert after == before
    assert opened(simulation).applied == len(simulation.log.topics["commands"].records()) - 1


def test_a_store_that_is_behind_reads_only_what_it_lacks(simulation: Simulation) -> None:
    simulation.run_until_quiet()
    store = opened(simulation).store
    position = int(store.get(POSITION) or 0)
    assert simulation.log.changelogs[0].since(position) == {}
    simulation.assign(0, "b")
    simulation.send("paid", {}, key="k1")
    simulation.run_until_quiet()
    assert 0 < len(simulation.log.changelogs[0].since(position)) < len(simulation.log.changelogs[0].records)
    simulation.assign(0, "a")
    assert opened(simulation).applied == len(simulation.log.topics["commands"].records()) - 1


def test_a_store_older_than_deletions_are_kept_is_thrown_away(simulation: Simulation) -> None:
    simulation.run_until_quiet()
    simulation.assign(0, "b")
    simulation.advance("8d")
    simulation.send("placed", {}, key="k9")
    simulation.run_until_quiet()
    assert simulation.log.changelogs[0].expire(simulation.clock.now_ms + 1) > 0
    assert simulation.clock.now_ms > TOMBSTONE_RETENTION_MS
    simulation.assign(0, "a")
    partition = opened(simulation)
    content = simulation.log.changelogs[0].state()
    assert {key: value for key, value in partition.store.scan("") if not key.startswith("!")} == content


def test_a_hole_is_answered_by_a_seek_and_an_overlap_is_trimmed(simulation: Simulation) -> None:
    partition = opened(simulation)
    first, second, third = partition.fetch()
    assert partition.take([second, third]) == 0
    assert (partition.position, partition.applied) == (0, -1)
    assert partition.take([first, second]) == 2
    assert partition.take([first, second, third]) == 1
    assert partition.take([first]) == 0
    assert partition.applied == 2


def test_a_checkpoint_waits_for_the_outputs_that_it_covers_and_for_no_others(simulation: Simulation) -> None:
    partition = opened(simulation)
    partition.take(partition.fetch(1))
    assert partition.checkpoint_further()
    partition.take(partition.fetch(1))
    assert not partition.checkpoint_further()
    partition.send(2)
    assert partition.acknowledged
    assert len(partition.outbox) == 2
    assert partition.checkpoint_further()
    assert simulation.log.changelogs[0].committed == 1
    assert partition.checkpoint_further()
    assert partition.cut is None
    assert partition.dirty


def test_a_refused_batch_of_a_cut_closes_the_partition_and_writes_nothing(simulation: Simulation) -> None:
    partition = opened(simulation)
    partition.take(partition.fetch())
    partition.send()
    partition.capture()
    simulation.log.changelogs[0].refuses.add(1)
    with pytest.raises(OperationError, match="batch_refused"):
        partition.commit()
    assert partition.closed
    assert simulation.log.changelogs[0].records == {}
    simulation.run_until_quiet()
    assert len(simulation.runs()) == 3


@pytest.mark.parametrize("lost", [0, 1, -1])
def test_a_cut_of_which_the_broker_lost_a_batch_is_served_by_nobody(simulation: Simulation, lost: int) -> None:
    simulation.run_until_quiet()
    for number in range(6):
        simulation.send("placed", {}, key=f"more-{number}")
    simulation.ingress.read()
    partition = opened(simulation)
    partition.take(partition.fetch())
    partition.send()
    partition.capture()
    assert partition.cut is not None
    batches = partition.cut.transaction()
    assert len(batches) > 1
    del batches[lost]
    simulation.log.changelogs[0].commit(partition.epoch, batches, partition.cut.applied, simulation.clock.now_ms)
    simulation.assign(0, "b")
    with pytest.raises(EngineFault, match="changelog_torn"):
        opened(simulation)


def test_a_start_waits_until_its_worker_has_read_the_definitions(simulation: Simulation) -> None:
    (partition,) = simulation.open_partitions()
    partition.worker.definitions.position = 0
    assert partition.take(partition.fetch()) == 0
    assert (partition.position, partition.applied) == (0, -1)
    partition.worker.definitions.catch_up()
    assert partition.take(partition.fetch()) == 3


def test_a_timer_of_a_fast_clock_is_sent_again_once_it_is_time() -> None:
    simulation = Simulation()
    simulation.publish(a_definition(DELAY), CATALOG)
    for key in ("k1", "k2", "k3"):
        simulation.send("placed", {}, key=key)
    simulation.workers["worker"].fast_ms = 5000
    simulation.run_until_quiet()
    simulation.clock.now_ms += 6000
    simulation.run_until_quiet()
    assert simulation.own().reasons == {"early": 3}
    simulation.advance("10s")
    assert sum(t.type == "DelayElapsed" for t in simulation.transitions()) == 3
    assert min(t.at_ms for t in simulation.transitions() if t.type == "DelayElapsed") == simulation.clock.now_ms - 6000


def test_a_timer_waits_for_ingress(simulation: Simulation) -> None:
    partition = opened(simulation)
    simulation.run_until_quiet()
    simulation.clock.now_ms += 10_000
    for _ in range(3):
        partition.fire()
        partition.send()
        partition.take(partition.fetch())
    assert partition.overlay.own.reasons == {}
    assert partition.next_timer_ms() is None
    simulation.run_until_quiet()
    assert sum(t.type == "WaitTimedOut" for t in simulation.transitions()) == 3


def test_an_ingress_that_begins_again_sends_known_commands(simulation: Simulation) -> None:
    simulation.ingress.restart()
    simulation.run_until_quiet()
    assert simulation.own().counts.duplicate == 3
    assert len(simulation.runs()) == 3
