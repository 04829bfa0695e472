"""No wait times out while its event is in the log: watermarks of ingress, as the engine holds them, against a world in
which brokers' clocks differ and jump, others keep transactions open, partitions lose their leaders, ingress workers
come and go, and topics are created late.

The law: when a partition of `commands` says that an event is read up to a time, every record of the event's topics that
was appended before that time, by the clock of the broker of that very partition, stands in it before."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from streamflow.core.source_topics import FirstPosition, SourceBinding
from streamflow.core.source_watermarks import Progress, SourceWatermarks
from streamflow.engine.commands import AdvanceWatermark
from streamflow.engine.state import Watermark
from streamflow.engine.watermarks import advance_watermark, reached
from streamflow.ids import PartitionId

LATE = "late"  # a topic that does not exist at first
TOPICS = {"a": 2, "b": 1, LATE: 1}
BINDING = SourceBinding(
    {"paid": ("a", "b"), "signed": (LATE,)},
    frozenset({"paid", "signed"}),
    {topic: FirstPosition(earliest=False, published_ms=0) for topic in TOPICS},
)
COMMANDS = (0, 1)
METADATA_MS = 3000  # until every broker knows a new topic


class Broken(Exception):
    """The law does not hold."""


@dataclass
class Source:
    """One partition of a topic: the real time at which each record was appended."""

    appended_ms: list[int] = field(default_factory=list)
    open_from: int | None = None  # where somebody's open transaction begins
    leaderless: bool = False

    @property
    def stable(self) -> int:
        return len(self.appended_ms) if self.open_from is None else self.open_from


@dataclass
class Commands:
    """One partition of `commands`, with its broker's clock."""

    ahead_ms: int = 0
    latest_ms: int = 0
    readings: list[tuple[int, int]] = field(default_factory=list)  # (real time, partition time), ascending
    known: set[tuple[PartitionId, int]] = field(default_factory=set)  # records whose commands are in it
    watermarks: dict[str, Watermark] = field(default_factory=dict)

    def now(self, real_ms: int) -> int:
        """Partition time: the broker's clock, which never counts backwards."""
        self.latest_ms = max(self.latest_ms, real_ms + self.ahead_ms)
        self.readings.append((real_ms, self.latest_ms))
        return self.latest_ms


class Worker:
    """One ingress."""

    def __init__(self) -> None:
        self.marks = SourceWatermarks(2)
        self.times: dict[int, int] = {}
        self.next: dict[PartitionId, int] = {}
        self.asking: dict[int, int] | None = None  # the times before the ends were asked for
        self.held: dict[int, list[tuple[PartitionId, int]]] = {number: [] for number in COMMANDS}
        self.missed = True

    def progress(self) -> list[Progress]:
        return [Progress(topic, "id", number, at) for (topic, number), at in sorted(self.next.items())]


class World:
    def __init__(self, seed: int, wrong: str) -> None:
        self.chance = random.Random(seed)
        self.wrong = wrong
        self.now_ms = 1_000_000
        self.sources = {(topic, number): Source() for topic, count in TOPICS.items() for number in range(count)}
        self.created_ms: int | None = None
        self.commands = {number: Commands(ahead_ms=self.chance.choice([0, 3_600_000, -900_000])) for number in COMMANDS}
        self.blocked: set[int] = set()
        self.committed = dict.fromkeys(self.sources, 0)
        self.workers = [Worker(), Worker()]
        self.assign()

    def exists(self, topic: str) -> bool:
        return topic != LATE or self.created_ms is not None

    # -- what happens

    def step(self) -> None:
        self.now_ms += self.chance.choice([1, 20, 300, 2000])
        happens = self.chance.choices(
            [self.append, self.transaction, self.leader, self.clock, self.assign, self.create, self.block],
            [12, 3, 1, 1, 1, 1, 2],
        )[0]
        happens()
        worker = self.chance.choice(self.workers)
        self.chance.choice([self.read, self.read, self.ask, self.answer, self.answer, self.tell, self.tell, self.look])(
            worker
        )

    def append(self) -> None:
        place = self.chance.choice([place for place in self.sources if self.exists(place[0])])
        self.sources[place].appended_ms.append(self.now_ms)

    def transaction(self) -> None:
        source = self.chance.choice(list(self.sources.values()))
        source.open_from = len(source.appended_ms) if source.open_from is None else None

    def leader(self) -> None:
        source = self.chance.choice(list(self.sources.values()))
        source.leaderless = not source.leaderless

    def clock(self) -> None:
        self.commands[self.chance.choice(COMMANDS)].ahead_ms += self.chance.choice([-3_600_000, -5000, 5000, 600_000])

    def create(self) -> None:
        if self.created_ms is None and self.chance.random() < 0.3:
            self.created_ms = self.now_ms

    def block(self) -> None:
        self.blocked ^= {self.chance.choice(COMMANDS)}

    def assign(self) -> None:
        """A rebalance: everything is committed as far as it may be, and read from there."""
        for worker in self.workers:
            for place, at in worker.next.items():
                held = [offset for waiting in worker.held.values() for where, offset in waiting if where == place]
                self.committed[place] = max(self.committed[place], min([at, *held]))
            worker.next, worker.asking = {}, None
            worker.held = {number: [] for number in COMMANDS}
            worker.marks.opened()
        for place in self.sources:
            self.chance.choice(self.workers).next[place] = self.committed[place]

    # -- what ingress does

    def send(self, worker: Worker, to: int, records: list[tuple[PartitionId, int]]) -> None:
        self.commands[to].known.update(records)
        worker.times[to] = max(worker.times.get(to, 0), self.commands[to].now(self.now_ms))

    def read(self, worker: Worker) -> None:
        for to in COMMANDS:
            if to not in self.blocked and worker.held[to]:
                self.send(worker, to, worker.held[to])
                worker.held[to] = []
        for place in worker.next:
            source = self.sources[place]
            if source.leaderless or not self.exists(place[0]):
                continue
            upto = min(source.stable, worker.next[place] + self.chance.randint(0, 4))
            records = [(place, offset) for offset in range(worker.next[place], upto)]
            worker.next[place] = max(worker.next[place], upto)
            for to in COMMANDS:
                if to in self.blocked or worker.held[to]:
                    worker.held[to] += records
                else:
                    self.send(worker, to, records)

    def ask(self, worker: Worker) -> None:
        worker.asking = dict(worker.times)

    def answer(self, worker: Worker) -> None:
        if worker.asking is None:
            return
        ends = {
            place: source.stable if self.wrong == "last_stable_offset" else len(source.appended_ms)
            for place, source in self.sources.items()
            if not source.leaderless and self.exists(place[0])
        }
        times = worker.times if self.wrong == "times_after_the_ends" else worker.asking
        if self.wrong == "times_after_the_ends":
            times = {to: self.commands[to].now(self.now_ms) + 400 for to in times}
        if self.wrong == "one_brokers_time_for_all" and times:
            times = dict.fromkeys(COMMANDS, max(times.values()))
        worker.marks.asked(times, ends, worker.progress())
        worker.asking = None

    def tell(self, worker: Worker) -> None:
        known = self.created_ms is not None and not worker.missed
        partitions = {topic: count for topic, count in TOPICS.items() if topic != LATE or known}
        if not known and self.wrong != "missing_is_unknown":
            partitions[LATE] = 0
        held = {to: frozenset(place for place, _ in waiting) for to, waiting in worker.held.items() if waiting}
        if self.wrong == "held_commands_ignored":
            held = {}
        sources = [one for one in worker.progress() if one.topic != LATE or known]
        targets = (
            COMMANDS if self.wrong == "held_commands_ignored" else [to for to in COMMANDS if to not in self.blocked]
        )
        for to, command in worker.marks.advance(BINDING, 1, sources, partitions, targets, held):
            worker.times[to] = max(worker.times.get(to, 0), self.commands[to].now(self.now_ms))
            self.apply(to, command)

    def look(self, worker: Worker) -> None:
        """Whether the late topic exists, as a broker knows it that may be a little behind."""
        created = self.created_ms
        lag_ms = 60_000 if self.wrong == "metadata_forever_behind" else self.chance.randint(0, METADATA_MS)
        worker.missed = created is None or self.now_ms - created < lag_ms
        worker.marks.missing(dict(worker.times), [LATE] if worker.missed else [])

    # -- what the engine believes

    def apply(self, to: int, command: AdvanceWatermark) -> None:
        partition = self.commands[to]
        partition.watermarks = advance_watermark(partition.watermarks, command)
        for event, topics in BINDING.topics.items():
            until_ms = reached(partition.watermarks, event)
            for place, source in self.sources.items():
                if place[0] not in topics:
                    continue
                for offset, at_ms in enumerate(source.appended_ms):
                    if self.partition_time(partition, at_ms) < until_ms and (place, offset) not in partition.known:
                        raise Broken(f"{event} is read up to {until_ms}, and {place} {offset} of {at_ms} is not")

    def partition_time(self, partition: Commands, real_ms: int) -> int:
        """What the partition's broker had shown at most by then; anything more it showed later."""
        earlier = [shown for at, shown in partition.readings if at <= real_ms]
        return max(earlier, default=0)


def play(seed: int, wrong: str = "", steps: int = 150) -> World:
    world = World(seed, wrong)
    for _ in range(steps):
        world.step()
    return world


def test_no_record_is_passed_over() -> None:
    moved = 0
    for seed in range(400):
        try:
            world = play(seed)
        except Broken as broken:
            pytest.fail(f"seed {seed}: {broken}")
        known = [partition.watermarks for partition in world.commands.values()]
        moved += sum(reached(watermarks, event) > 0 for watermarks in known for event in BINDING.topics)
    assert moved > 300  # and they do move


@pytest.mark.parametrize(
    "wrong",
    [
        "last_stable_offset",
        "times_after_the_ends",
        "one_brokers_time_for_all",
        "held_commands_ignored",
        "metadata_forever_behind",
    ],
)
def test_what_would_pass_one_over_is_found(wrong: str) -> None:
    for seed in range(400):
        try:
            play(seed, wrong)
        except Broken:
            return
    pytest.fail(f"{wrong} was not found")
