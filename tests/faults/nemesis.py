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
class Blow:
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
        """What it needs to itself: blows that share a place follow each other, others come together. `broker`: it asks
        the broker for something, or has workers end in order."""
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


def single(name: str, seed: int) -> list[Blow]:
    """A schedule of one blow."""
    fault, chosen = KINDS[name], random.Random(f"{name}/{seed}")
    return [
        Blow(
            name,
            chosen.choice(list(fault.targets)),
            round(chosen.uniform(0.5, 2.0), 3),
            round(chosen.uniform(*fault.span_s), 3),
        )
    ]


def mixed(seed: int, names: Iterable[str]) -> list[Blow]:
    """A schedule of three to six blows of kinds that may come together."""
    chosen = random.Random(f"mixed/{seed}")
    usable = sorted(name for name in names if KINDS[name].mixes)
    blows = []
    for _ in range(chosen.randint(3, 6)):
        name = chosen.choice(usable)
        fault = KINDS[name]
        blows.append(
            Blow(
                name,
                chosen.choice(list(fault.targets)),
                round(chosen.uniform(0.3, 5.0), 3),
                round(chosen.uniform(*fault.span_s), 3),
            )
        )
    return sorted(blows, key=lambda blow: blow.at_s)


def to_json(blows: Sequence[Blow]) -> str:
    return json.dumps([asdict(blow) for blow in blows])


def from_json(text: str) -> list[Blow]:
    return [Blow(**blow) for blow in json.loads(text)]


@dataclass
class Nemesis:
    """Plays a schedule against a site. Blows of one target never overlap: a later one waits until the earlier one is
    mended."""

    site: Site
    blows: Sequence[Blow]
    seed: int
    faults: dict[str, Fault] = field(default_factory=dict)
    injected_ms: list[float] = field(default_factory=list)
    healed_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for blow in self.blows:
            self.faults.setdefault(blow.kind, KINDS[blow.kind](random.Random(f"{blow.kind}/{self.seed}/how")))

    def prepare(self) -> None:
        for fault in self.faults.values():
            fault.prepare(self.site)

    def play(self, say: Callable[[str], None]) -> None:
        """Returns when everything is mended."""
        began = time.monotonic()
        due = list(self.blows)
        broken: list[tuple[float, Blow]] = []
        while due or broken:
            now = time.monotonic() - began
            for until, blow in [one for one in broken if now >= one[0]]:
                say(f"mends {blow}")
                self.faults[blow.kind].heal(self.site, blow.target)
                self.healed_ms.append(time.time() * 1000)
                broken.remove((until, blow))
            taken = frozenset[str]().union(*(_places(blow) for _, blow in broken))
            for blow in [one for one in due if now >= one.at_s and not taken & _places(one)][:1]:
                say(str(blow))
                self.injected_ms.append(time.time() * 1000)
                self.faults[blow.kind].inject(self.site, blow.target)
                due.remove(blow)
                broken.append((time.monotonic() - began + blow.for_s, blow))
            time.sleep(0.005)

    def mend_all(self) -> None:
        for fault in self.faults.values():
            fault.clean(self.site)


def _places(blow: Blow) -> frozenset[str]:
    return KINDS[blow.kind].places(blow.target)


def victim(site: Site, target: str, chosen: random.Random) -> Worker:
    """A running worker of a role."""
    running = [worker for worker in site.of(target) if worker.wanted]
    return chosen.choice(running)
