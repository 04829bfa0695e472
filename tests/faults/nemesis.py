"""The nemesis: what is broken, when, for how long. A schedule is drawn from a seed, printed, and can be played
again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from tests.faults.site import Site
from tests.proof.world import Worker

WORK_S = 3.0


@dataclass(frozen=True)
class Injection:
    """One entry of a schedule: the kind of fault, whom it hits, when (seconds after the work began), and for how
    long."""

    kind: str
    target: str
    at_s: float
    for_s: float

    def __str__(self) -> str:
        return f"{self.at_s:.2f} s {self.kind} {self.target} for {self.for_s:.2f} s"


@dataclass(frozen=True)
class Setting:
    """What a fault needs the world to be like from the beginning."""

    engines: int = 1
    static: bool = True
    work_s: float = WORK_S
    brokers: int = 1


class Fault:
    """A kind of fault. `inject` breaks, `heal` mends; both may ask `site` for anything. One object serves one
    experiment."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()  # root, tools
    setting: ClassVar[Setting] = Setting()
    targets: ClassVar[Sequence[str]] = ("",)
    span_s: ClassVar[tuple[float, float]] = (0.3, 1.5)
    mixes: ClassVar[bool] = True  # may come beside others
    # promises that are off the table under this fault, as the documentation says
    without: ClassVar[frozenset[str]] = frozenset()
    limits: ClassVar[str] = ""  # what of the broker's own bounds the recovery: session, election

    def __init__(self, chosen: random.Random) -> None:
        self.chosen = chosen

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        """What it needs to itself: injections that share a place follow each other, others come together. `broker`: it
        asks the broker for something, or has workers end in order."""
        return frozenset({target or "broker"})

    def prepare(self, site: Site) -> None:
        """Before the workers are started."""

    def inject(self, site: Site, target: str) -> None:
        raise NotImplementedError

    def heal(self, site: Site, target: str) -> None:
        """Mends what was broken."""

    def clean(self, site: Site) -> None:
        """After the experiment, whatever became of it."""


KINDS: dict[str, type[Fault]] = {}


def kind(fault: type[Fault]) -> type[Fault]:
    """Puts a fault among the known ones."""
    KINDS[fault.name] = fault
    return fault


def single(name: str, seed: int) -> list[Injection]:
    """A schedule of one injection."""
    fault, chosen = KINDS[name], random.Random(f"{name}/{seed}")
    return [
        Injection(
            name,
            chosen.choice(list(fault.targets)),
            round(chosen.uniform(0.5, 2.0), 3),
            round(chosen.uniform(*fault.span_s), 3),
        )
    ]


def mixed(seed: int, names: Iterable[str]) -> list[Injection]:
    """A schedule of three to six injections of kinds that may come together."""
    chosen = random.Random(f"mixed/{seed}")
    usable = sorted(name for name in names if KINDS[name].mixes)
    injections = []
    for _ in range(chosen.randint(3, 6)):
        name = chosen.choice(usable)
        fault = KINDS[name]
        injections.append(
            Injection(
                name,
                chosen.choice(list(fault.targets)),
                round(chosen.uniform(0.3, 5.0), 3),
                round(chosen.uniform(*fault.span_s), 3),
            )
        )
    return sorted(injections, key=lambda injection: injection.at_s)


def to_json(injections: Sequence[Injection]) -> str:
    return json.dumps([asdict(injection) for injection in injections])


def from_json(text: str) -> list[Injection]:
    return [Injection(**injection) for injection in json.loads(text)]


@dataclass
class Nemesis:
    """Plays a schedule against a site. Blows of one target never overlap: a later one waits until the earlier one is
    mended."""

    site: Site
    injections: Sequence[Injection]
    seed: int
    faults: dict[str, Fault] = field(default_factory=dict)
    injected_ms: list[float] = field(default_factory=list)
    healed_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for injection in self.injections:
            self.faults.setdefault(
                injection.kind, KINDS[injection.kind](random.Random(f"{injection.kind}/{self.seed}/how"))
            )

    def prepare(self) -> None:
        for fault in self.faults.values():
            fault.prepare(self.site)

    def play(self, say: Callable[[str], None]) -> None:
        """Returns when everything is mended."""
        began = time.monotonic()
        due = list(self.injections)
        broken: list[tuple[float, Injection]] = []
        while due or broken:
            now = time.monotonic() - began
            for until, injection in [one for one in broken if now >= one[0]]:
                say(f"mends {injection}")
                self.faults[injection.kind].heal(self.site, injection.target)
                self.healed_ms.append(time.time() * 1000)
                broken.remove((until, injection))
            taken = frozenset[str]().union(*(_places(injection) for _, injection in broken))
            for injection in [one for one in due if now >= one.at_s and not taken & _places(one)][:1]:
                say(str(injection))
                self.injected_ms.append(time.time() * 1000)
                self.faults[injection.kind].inject(self.site, injection.target)
                due.remove(injection)
                broken.append((time.monotonic() - began + injection.for_s, injection))
            time.sleep(0.005)

    def mend_all(self) -> None:
        for fault in self.faults.values():
            fault.clean(self.site)


def _places(injection: Injection) -> frozenset[str]:
    return KINDS[injection.kind].places(injection.target)


def victim(site: Site, target: str, chosen: random.Random) -> Worker:
    """A running worker of a role."""
    running = [worker for worker in site.of(target) if worker.wanted]
    return chosen.choice(running)
