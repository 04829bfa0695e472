"""The protocol under faults: a state machine that sends events and requests, and stops, crashes, replaces and deceives
workers between any two steps."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamflow.definition.catalog import ChildSpec
from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, Command, Decide, RetryStep, SkipStep
from streamflow.engine.tasks import Task
from streamflow.errors import OperationError
from streamflow.simulation.driver import TOMBSTONE_RETENTION_MS, Simulation
from streamflow.simulation.log import Outgoing, Stored
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.tasks import Handed, Silent
from streamflow.simulation.worker import Partition, Worker
from tests.property.laws import InvariantChecker
from tests.property.protocol_definitions import CATALOG, CHECKS, CHECKS_2, KIDS, ORDER, PAYOUTS, SHIPMENTS, VISITS

# An ingress that has not committed may deliver again days later; the end of memory is tested with the mailbox's model.
_LONG_MS = 90 * 86_400_000
LIMITS = Limits(transitions=4, kept_events=3, claims=2, window_ms=_LONG_MS, trail_ms=_LONG_MS)
FAST_MS = 60_000
KEYS = ("k1", "k2", "k3")
PARTITIONS = st.integers(0, 5)  # of as many as there are, `placed`
WORKERS = st.sampled_from(("a", "b"))
COUNTS = st.sampled_from((1, 2, None))
DATA = {
    "placed": ({"who": "a", "must": 1}, {"who": "b"}),
    "paid": ({"amount": 5}, {"amount": 2}, {}),
    "visited": ({}, {"x": {"b": 1, "a": 2}}),
}


def done_outside(input: Any, task: Task) -> Any:
    """What operations do: the same for the same attempt, and of every kind."""
    fate = blake2b(f"{task.idempotency_key}{task.attempt}".encode(), digest_size=1).digest()[0] % 8
    if fate == 0:
        raise OperationError("busy", "later", retry_after_s=5.0)
    if fate == 1:
        raise OperationError("refused", "never", retryable=False)
    return (
        Silent(lost=task.attempt % 2 == 0)
        if fate == 2
        else Handed(20_000)
        if fate == 3
        else {"b": task.attempt, "a": input}
    )


OPERATIONS = {"pay": done_outside, "unpay": done_outside, "check": done_outside}


class Protocol(RuleBasedStateMachine):
    """Two partitions, two workers, seven definitions. `partition` is what a mutant replaces."""

    partition: ClassVar[Callable[[int, Worker], Partition]] = Partition

    @initialize()
    def begin(self) -> None:
        self.simulation = Simulation(
            partitions=2,
            source_partitions=2,
            workers=("a", "b"),
            limits=LIMITS,
            partition=type(self).partition,
            operations=OPERATIONS,
        )
        for definition in (ORDER, CHECKS, VISITS, SHIPMENTS):
            self.simulation.publish(definition, CATALOG)
        kids = ChildSpec(name="kids", version="1", sha=self.simulation.publish(KIDS, CATALOG))
        self.simulation.publish(PAYOUTS, CATALOG.model_copy(update={"definitions": [kids]}))
        self.referee = InvariantChecker(self.simulation)
        self.sent: list[tuple[str, str, str]] = []  # event, key, id
        self.held: dict[tuple[str, int], list[list[Stored]]] = {}
        self.snapshots: dict[tuple[str, int], dict[str, bytes]] = {}
        self.in_flight: list[Outgoing] = []
        self.requests = 0

    def placed(self, number: int) -> int:
        """The partition that a chosen number stands for."""
        return number % self.simulation.log.total

    # -- the world

    @rule(
        event=st.sampled_from(("placed", "placed", "paid", "paid", "visited")),
        key=st.sampled_from(KEYS),
        data=st.integers(0, 2),
    )
    def send(self, event: str, key: str, data: int) -> None:
        variants = DATA[event]
        id_ = f"{event}-{len(self.sent)}"
        self.sent.append((event, key, id_))
        self.simulation.send(event, variants[data % len(variants)], key=key, id=id_)

    @rule(place=st.integers(0, 20))
    def producer_sends_again(self, place: int) -> None:
        if self.sent:
            event, key, id_ = self.sent[place % len(self.sent)]
            self.sent.append((event, key, id_))
            self.simulation.send(event, DATA[event][0], key=key, id=id_)

    @rule(count=COUNTS)
    def ingress_reads(self, count: int | None) -> None:
        self.simulation.ingress.read(count)

    @rule()
    def ingress_reads_all(self) -> None:
        self.simulation.ingress.read()

    @rule()
    def ingress_commits(self) -> None:
        self.simulation.ingress.commit()

    @rule()
    def ingress_restarts(self) -> None:
        self.simulation.ingress.restart()

    @rule()
    def ingress_tells_watermarks(self) -> None:
        self.simulation.ingress.advance_watermarks()

    @rule()
    def new_version(self) -> None:
        self.simulation.publish(CHECKS_2, CATALOG)

    @rule(seconds=st.sampled_from((1, 10, 10, 31, 61, 2 * 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.simulation.clock.now_ms += seconds * 1000

    @rule()
    def deletions_expire(self) -> None:
        for changelog in self.simulation.log.changelogs:
            changelog.expire(self.simulation.clock.now_ms - TOMBSTONE_RETENTION_MS)

    @rule(place=st.integers(0, 10), what=st.sampled_from(("cancel", "retry", "skip", "skip")), number=PARTITIONS)
    def someone_asks(self, place: int, what: str, number: int) -> None:
        number = self.placed(number)
        heads = sorted(self.referee.folds[number].heads.items())
        if not heads:
            return
        run, head = heads[place % len(heads)]
        step = next((name for name, state in sorted(head.steps.items()) if state.status == "parked"), "risky")
        self.requests += 1
        id_ = f"request-{self.requests}"
        requests: dict[str, Command] = {
            "cancel": CancelRun(id_, run, "asked"),
            "retry": RetryStep(id_, run, step),
            "skip": SkipStep(id_, run, step),
        }
        self.simulation.append(requests[what])

    @rule(place=st.integers(0, 10), yes=st.booleans(), number=PARTITIONS)
    def someone_decides(self, place: int, yes: bool, number: int) -> None:
        number = self.placed(number)
        heads = sorted(self.referee.folds[number].heads.items())
        asked = [
            (run, name) for run, head in heads for name, s in head.steps.items() if s.status == "awaiting_approval"
        ]
        if asked:
            run, step = asked[place % len(asked)]
            self.requests += 1
            self.simulation.append(
                Decide(
                    id=f"request-{self.requests}",
                    run=run,
                    address=step,
                    decision="approved" if yes else "rejected",
                    by="someone",
                )
            )

    # -- task workers

    @rule()
    def tasks_are_done(self) -> None:
        self.simulation.tasks.work()

    @rule(back=st.integers(1, 5))
    def task_worker_restarts(self, back: int) -> None:
        self.simulation.tasks.restart(back)

    @rule(place=st.integers(0, 10))
    def somebody_calls_back(self, place: int) -> None:
        if waiting := list(self.simulation.tasks.open.values()):
            self.simulation.tasks.complete(waiting[place % len(waiting)], {"said": "so"})

    @rule(place=st.integers(0, 10), fails=st.booleans())
    def an_answer_comes_late_or_again(self, place: int, fails: bool) -> None:
        if calls := self.simulation.tasks.calls:
            task = calls[place % len(calls)]
            if fails:
                self.simulation.tasks.fail(task, "late")
            else:
                self.simulation.tasks.complete(task, {"late": task.attempt})

    # -- workers at work

    def partition_of(self, worker: str, number: int) -> Partition | None:
        found = self.simulation.workers[worker].partitions.get(number)
        return found if found is not None and found.open else None

    @rule(worker=WORKERS, number=PARTITIONS)
    def opens_further(self, worker: str, number: int) -> None:
        number = self.placed(number)
        hands = self.simulation.workers[worker]
        found = hands.partitions.get(number)
        if self.simulation.owners[number] == worker and (found is None or found.closed):
            found = hands.begin(number)
        if found is not None and not found.closed:
            found.open_further()

    @rule(number=PARTITIONS)
    def owner_opens(self, number: int) -> None:
        number = self.placed(number)
        self.simulation.open_partitions()

    def everyone(self) -> list[Partition]:
        """Every open partition, also those in the hands of workers that were replaced."""
        return [
            partition
            for worker in self.simulation.workers.values()
            for partition in list(worker.partitions.values())
            if partition.open
        ]

    @rule(worker=WORKERS, number=PARTITIONS, count=COUNTS)
    def one_takes(self, worker: str, number: int, count: int | None) -> None:
        number = self.placed(number)
        if partition := self.partition_of(worker, number):
            partition.take(partition.fetch(count))

    @rule(count=COUNTS)
    def all_take(self, count: int | None) -> None:
        for partition in self.everyone():
            partition.take(partition.fetch(count))

    @rule(worker=WORKERS, number=PARTITIONS, count=COUNTS)
    def one_sends(self, worker: str, number: int, count: int | None) -> None:
        number = self.placed(number)
        if partition := self.partition_of(worker, number):
            partition.send(count)

    @rule(worker=WORKERS, number=PARTITIONS, count=COUNTS)
    def one_publishes(self, worker: str, number: int, count: int | None) -> None:
        number = self.placed(number)
        if partition := self.partition_of(worker, number):
            partition.publish(count)

    @rule()
    def all_publish(self) -> None:
        for partition in self.everyone():
            partition.publish()

    @rule(worker=WORKERS)
    def one_worker_checkpoints_further(self, worker: str) -> None:
        for partition in self.everyone():
            if partition.worker.name == worker:
                self.checkpoint_further(partition)

    @rule()
    def all_checkpoint_further(self) -> None:
        for partition in self.everyone():
            self.checkpoint_further(partition)

    def checkpoint_further(self, partition: Partition) -> None:
        try:
            partition.checkpoint_further()
        except OperationError as error:
            assert error.code in ("fenced", "batch_refused")
            assert partition.closed

    @rule()
    def all_fire(self) -> None:
        for partition in self.everyone():
            partition.fire()
            partition.send()

    @rule(worker=WORKERS)
    def reads_definitions(self, worker: str) -> None:
        self.simulation.workers[worker].definitions.catch_up()

    @rule(
        rounds=st.integers(1, 3),
        sends=st.booleans(),
        checkpoints=st.integers(0, 3),
        ahead_ms=st.sampled_from((0, FAST_MS)),
    )
    def goes_well(self, rounds: int, sends: bool, checkpoints: int, ahead_ms: int) -> None:
        """Some work without trouble, so that stories get somewhere; a checkpoint may be left half done, and clocks may
        be fast."""
        self.simulation.ingress.read()
        for worker in self.simulation.workers.values():
            worker.fast_ms = ahead_ms
        for _ in range(rounds):
            for partition in self.simulation.open_partitions():
                partition.worker.definitions.catch_up()
                partition.take(partition.fetch())
                partition.fire()
                if sends:
                    partition.send()
                    partition.publish()
        for _ in range(checkpoints):
            self.all_checkpoint_further()

    # -- trouble

    @rule(worker=WORKERS, number=PARTITIONS, late=st.booleans())
    def crashes(self, worker: str, number: int, late: bool) -> None:
        number = self.placed(number)
        queued = self.simulation.workers[worker].crash(number)
        if late:
            self.in_flight += queued

    @rule()
    def what_was_in_flight_arrives(self) -> None:
        for output in self.in_flight:
            self.simulation.log.append(output)
        self.in_flight = []

    @rule(number=PARTITIONS, worker=WORKERS)
    def owner_changes(self, number: int, worker: str) -> None:
        number = self.placed(number)
        self.simulation.assign(number, worker)

    @rule(worker=WORKERS, number=PARTITIONS, count=COUNTS)
    def fetches_but_waits(self, worker: str, number: int, count: int | None) -> None:
        number = self.placed(number)
        if partition := self.partition_of(worker, number):
            self.held.setdefault((worker, number), []).append(partition.fetch(count))

    @rule(worker=WORKERS, number=PARTITIONS)
    def takes_what_waited(self, worker: str, number: int) -> None:
        number = self.placed(number)
        partition, waiting = self.partition_of(worker, number), self.held.get((worker, number))
        if partition and waiting:
            partition.take(waiting.pop(0))

    @rule(worker=WORKERS, number=PARTITIONS)
    def store_is_lost(self, worker: str, number: int) -> None:
        number = self.placed(number)
        if self.partition_of(worker, number) is None:
            self.simulation.workers[worker].crash(number)
            self.simulation.workers[worker].lose_store(number)

    @rule(worker=WORKERS, number=PARTITIONS)
    def store_is_copied(self, worker: str, number: int) -> None:
        number = self.placed(number)
        if (store := self.simulation.workers[worker].stores.get(number)) is not None:
            self.snapshots[worker, number] = dict(store.scan(""))

    @rule(worker=WORKERS, number=PARTITIONS)
    def store_is_an_old_one(self, worker: str, number: int) -> None:
        number = self.placed(number)
        if self.partition_of(worker, number) is None and (worker, number) in self.snapshots:
            self.simulation.workers[worker].crash(number)
            self.simulation.workers[worker].stores[number] = MemoryStore(self.snapshots[worker, number])

    @rule(down=st.booleans())
    def a_users_topic_takes_nothing(self, down: bool) -> None:
        self.simulation.log.down = {"shippeds", "noteds"} if down else set()

    @rule(worker=WORKERS, number=PARTITIONS)
    def a_users_topic_refuses_an_event(self, worker: str, number: int) -> None:
        number = self.placed(number)
        if partition := self.partition_of(worker, number):
            outbox = partition.core.emitted.outbox
            for topic in outbox.depths():
                batch = outbox.next(topic, 2)
                if batch is not None:
                    outbox.put_back(batch.entries)
                    partition.core.emitted.refused(batch.entries[:1], "refused")

    @rule(number=PARTITIONS, batch=st.integers(0, 2))
    def a_batch_of_the_next_cut_is_refused(self, number: int, batch: int) -> None:
        number = self.placed(number)
        self.simulation.log.changelogs[number].refuses.add(batch)

    @rule(after=st.booleans())
    def transactions_fail(self, after: bool) -> None:
        for partition in self.everyone():
            if partition.cut is None or partition.cut.is_committed or not partition.acknowledged:
                continue
            if after:
                self.checkpoint_further(partition)
            if partition.open:
                self.fail_checkpoint(partition)

    def fail_checkpoint(self, partition: Partition) -> None:
        partition.close()

    # -- the laws

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "referee"):
            self.referee.check()

    @rule()
    def comes_to_rest(self) -> None:
        """The trouble ends, the owners finish, and everything must be done. Watermarks that hold nothing back need two
        rounds of time."""
        self.simulation.log.down = set()
        for changelog in self.simulation.log.changelogs:
            changelog.refuses.clear()
        for worker in self.simulation.workers.values():
            worker.fast_ms = 0
        for (name, number), waiting in self.held.items():
            while waiting:
                if self.partition_of(name, number):
                    self.takes_what_waited(name, number)
                else:
                    waiting.clear()
        clock = self.simulation.clock
        for _ in range(8):
            self.simulation.run_until_quiet()
            self.referee.check()
            soon = [int(key[6:21]) for fold in self.referee.folds for key in fold.armed_up_to(clock.now_ms + 60_000)]
            if not soon:
                break
            # refused under a clock that was fast and is right again: sent when the old one would have
            late = max(soon) <= clock.now_ms
            clock.now_ms = clock.now_ms + FAST_MS if late else max(clock.now_ms, *soon)
        self.simulation.run_until_quiet()
        sent = list(self.sent)
        names = {"placed": ("order", "checks", "payouts")}
        self.referee.check_rest(
            (name, key, id_)
            for event, key, id_ in sent
            if sent.count((event, key, id_)) == 1
            for name in names.get(event, ())
        )

    def teardown(self) -> None:
        if hasattr(self, "referee"):
            self.comes_to_rest()


def a_mutant(partition: type[Partition], **members: Any) -> type[Protocol]:
    """The same machine with another kind of partition."""
    return type(f"{partition.__name__}Protocol", (Protocol,), {"partition": partition, **members})


class Growing(Protocol):
    """The same with new generations of partitions on the way."""

    @rule(times=st.sampled_from((1, 2)), opens=st.booleans())
    def grows(self, times: int, opens: bool) -> None:
        log = self.simulation.log
        if len(log.generations) < 3:
            self.simulation.grow(log.generations[-1][1] * times, opens=opens)
            self.referee.follow()

    @rule()
    def growth_is_repeated(self) -> None:
        self.simulation.open_generations()
