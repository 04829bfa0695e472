"""Sources, ingress (also restarted, late, or knowing other versions), people and time around one engine; checkpoints,
crashes and replays."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tests.model.mailbox.spec import Spec
from tests.model.mailbox.words import (
    CLAIMS,
    LONGEST,
    WINDOW,
    WINDOWS,
    Act,
    Broken,
    Command,
    Definition,
    Deliver,
    Engine,
    Event,
    Fact,
    Wait,
)

Op = tuple[str, int, int, int]  # its name, and three numbers below 960 to choose by
Show = Callable[[int, int, Command, list[Fact]], None]
Make = Callable[[Mapping[str, Definition], int], Engine]  # definitions, and how many claims a command may make

OPS = {
    "send": 14,
    "begin": 9,
    "end": 3,
    "cancel": 1,
    "fire": 1,
    "move": 1,
    "time": 4,
    "tick": 1,
    "go_on": 4,
    "copy": 1,
    "reread": 1,
    "commit": 2,
    "zombie": 2,
    "reset": 1,
    "checkpoint": 1,
    "crash": 1,
}


def random_ops(seed: int, count: int) -> list[Op]:
    rng = random.Random(seed * 7919 + 1)
    names = rng.choices(list(OPS), list(OPS.values()), k=count)
    return [(name, rng.randrange(960), rng.randrange(960), rng.randrange(960)) for name in names]


def random_definitions(rng: random.Random, *, chains: bool = False) -> dict[str, Definition]:
    """Definitions A and B with two versions each. With `chains`, waits may follow each other without a command, and
    none begins twice."""

    def wait(place: int) -> Wait:
        clauses = tuple((rng.choice("oppq"), rng.choice((None, None, "tag"))) for _ in range(rng.choice((1, 1, 2))))
        return Wait(
            clauses=clauses,
            take=rng.choice(("one", "one", "every")),
            since=rng.choice(("run", "run", "here")),
            keep=rng.choice((0, 0, 3, 6, 12)),
            within=rng.choice((0, 0, 5, 20)),
            loop=rng.random() < 0.4 and not chains,
            after=place - 1 if chains and place and rng.random() < 0.5 else None,
        )

    def plan() -> tuple[Wait, ...]:
        return tuple(wait(place) for place in range(rng.choice((1, 2, 3))))

    return {
        name: Definition(
            policy=rng.choice(("many", "many", "one", "join")),
            trigger="o",
            plans=(plan(), plan()),
            windows=(rng.choice(WINDOWS), rng.choice(WINDOWS)),
        )
        for name in "AB"
    }


class World:
    """One engine, and everything around it that `seed` and the operations choose."""

    def __init__(self, seed: int, make: Make, show: Show | None = None, *, chains: bool = False) -> None:
        self.definitions = random_definitions(random.Random(seed), chains=chains)
        self.engine, self.spec, self.show = make(self.definitions, CLAIMS[seed % 2]), Spec(self.definitions), show
        self.log: list[tuple[int, Command]] = []
        self.facts: list[list[Fact]] = []
        self.outbox: list[Act] = []
        self.saved = self.clock = 0
        self.records: tuple[list[tuple[Event, str]], list[tuple[Event, str]]] = ([], [])
        self.position, self.committed, self.ever_committed = [0, 0], [0, 0], [0, 0]

    def append(self, command: Command) -> None:
        """A command arrives in the log, and is decided."""
        offset = len(self.log)
        self.log.append((self.clock, command))
        applied = self.engine.apply(offset, self.clock, command)
        assert applied is not None
        facts, follow_ups = applied
        self.facts.append(facts)
        self.outbox += follow_ups
        if self.show:
            self.show(offset, self.clock, command, facts)
        due = self.engine.continue_due(command.box)
        self.spec.check(offset, self.clock, command, facts, self.ever_committed, due)

    # -- ingress

    def _offer(self, partition: int, offset: int, committed: int, knows: int) -> None:
        """One record, matched by an ingress that knows: 0 definition B alone, 1 the first versions, 2 and more all."""
        event, key = self.records[partition][offset]
        for name, definition in self.definitions.items():
            plans = definition.plans[: 1 if knows < 2 else 2] if knows or name == "B" else ()
            waits = [wait for plan in plans for wait in plan if any(each == event.name for each, _ in wait.clauses)]
            start = len(plans) - 1 if plans and event.name == definition.trigger else None
            if not waits and start is None:
                continue
            keep, copies = (
                max((wait.keep for wait in waits if wait.take == take), default=0) for take in ("one", "every")
            )
            window = definition.windows[len(plans) - 1] or WINDOW
            self.append(Deliver(name, key, event, (partition, offset, committed), start, keep, copies, window))

    def _ingest(self, partition: int, knows: int) -> None:
        while self.position[partition] < len(self.records[partition]):
            self.position[partition] += 1
            self._offer(partition, self.position[partition] - 1, self.committed[partition], knows)

    # -- operations

    def step(self, op: str, x: int, y: int, z: int) -> None:
        """Play one operation. Raises Broken."""
        getattr(self, f"_{op}")(x, y, z)

    def _send(self, x: int, y: int, z: int) -> None:
        partition = int(x % 3 > 0)
        event = Event(
            name="opq"[x % 3],
            source="st"[y % 8 == 6],
            id=None if y % 8 == 7 else y % 7,
            at=self.clock + z // 3 % 4 - 1,
            data=z % 3,
        )
        self.records[partition].append((event, "KL"[x // 3 % 4 == 3]))
        self._ingest(partition, z // 12 % 4 if z // 48 % 2 else 2)

    def _time(self, x: int, y: int, z: int) -> None:
        self.clock += 25 if x % 16 == 0 else 1 + x % 5

    def _tick(self, x: int, y: int, z: int) -> None:
        self.append(Act("tick"))

    def _go_on(self, x: int, y: int, z: int) -> None:
        if self.outbox:
            self.append(self.outbox.pop(x % len(self.outbox)))

    def _copy(self, x: int, y: int, z: int) -> None:
        self.append(Act("continue", "AB"[x % 2], "KL"[y % 2]))

    def _commit(self, x: int, y: int, z: int) -> None:
        partition = x % 2
        self.committed[partition] = self.position[partition]
        self.ever_committed[partition] = max(self.ever_committed[partition], self.position[partition])

    def _reread(self, x: int, y: int, z: int) -> None:
        self.position[x % 2] = self.committed[x % 2]
        self._ingest(x % 2, y % 3)

    def _reset(self, x: int, y: int, z: int) -> None:
        self.position[x % 2] = self.committed[x % 2] = 0
        self._ingest(x % 2, 2)

    def _zombie(self, x: int, y: int, z: int) -> None:
        partition = x % 2
        if records := self.records[partition]:
            offset = len(records) - 1 - y % min(3, len(records))
            self._offer(partition, offset, min(offset, self.ever_committed[partition], z % 8), x // 2 % 3)

    def _run(self, kind: str, x: int, arg: int | None = None) -> None:
        if self.spec.runs:
            name = list(self.spec.runs)[x % len(self.spec.runs)]
            run = self.spec.runs[name]
            self.append(Act(kind, run.definition, run.key, name, 1 - run.version if kind == "move" else arg))

    def _begin(self, x: int, y: int, z: int) -> None:
        self._run("begin", x, y % 3)

    def _end(self, x: int, y: int, z: int) -> None:
        self._run("end", x)

    def _cancel(self, x: int, y: int, z: int) -> None:
        self._run("cancel", x)

    def _fire(self, x: int, y: int, z: int) -> None:
        self._run("fire", x, y % 3)

    def _move(self, x: int, y: int, z: int) -> None:
        self._run("move", x)

    def _checkpoint(self, x: int, y: int, z: int) -> None:
        self.engine.checkpoint()
        self.saved = len(self.log)

    def _crash(self, x: int, y: int, z: int) -> None:
        """Another owner: the store is lost, the changelog is not. It is given some commands twice."""
        before = self.engine
        self.engine = before.reopened()
        for offset in range(max(0, self.saved - 2), len(self.log)):
            done = self.engine.apply(offset, *self.log[offset])
            if (done is None and offset >= self.saved) or (done is not None and done[0] != self.facts[offset]):
                raise Broken("a replay differs")
            if done is not None:
                self.outbox += done[1]
        if before.state() != self.engine.state():
            raise Broken("a replay gives another state")

    # -- the end

    def drain(self) -> None:
        """Everything ends and time passes: nothing may be left but counts."""
        for turn in range(400):
            if self.outbox:
                self._go_on(0, 0, 0)
            elif self.spec.runs:
                self._end(0, 0, 0)
            else:
                self.clock += LONGEST // 6
                self._tick(0, 0, 0)
            if turn > 60 and not self.outbox and self.engine.is_at_rest():
                break
        else:
            raise Broken("something is left for ever")
        ended = sum(sum(outcomes.values()) for outcomes in self.spec.ended.values())
        if ended != self.engine.counted() or any(self.spec.kept.values()):
            raise Broken("the counts do not add up")
