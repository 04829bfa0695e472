"""What a scenario is given, and what it leaves behind for the judge and the report."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.proof import loans
from tests.proof.loans import Line
from tests.proof.world import Worker, World


@dataclass
class Case:
    """A world with its log. `kills` counts what was done to it; `expected` are the outcomes by key; `facts` go into the
    report, `notes` below its table."""

    world: World
    log: Sequence[Line]
    chosen: random.Random
    expected: Mapping[str, str]
    kills: int = 0
    faults: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def kill(self, worker: Worker) -> None:
        worker.kill()
        self.kills += 1
        self.world.say(f"killed {worker.name} ({self.kills})")


@dataclass
class Gate:
    """Lets a log go in `parts`, one after another."""

    total: int
    parts: int
    open: int = 1

    def __call__(self, sent: int) -> bool:
        return self.open >= self.parts or sent < self.total * self.open / self.parts

    def next(self) -> None:
        self.open += 1

    def reached(self, sent: int) -> bool:
        """Whether everything that may go has gone."""
        return sent >= self.total if self.open >= self.parts else not self(-(-sent // 1000) * 1000)


Run = Callable[[Case], None]


@dataclass(frozen=True)
class Scenario:
    """`own_broker`: what happens to the broker must not happen to others. `source` is the topic that its events are
    sent to."""

    run: Run
    own_broker: bool = False
    source: str = loans.TOPIC
