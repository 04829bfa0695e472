"""What commands, definitions and facts are made of."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

Fact = tuple[Any, ...]
Mailbox = tuple[str, str]  # definition and business key

# Times are plain numbers. A bucket of the memory is half a window wide.
WINDOW, LONGEST, TRAIL = 8, 60, 4
WINDOWS = (0, 0, 4, 20)  # what a version may say of its own; 0: nothing
ENTRIES, OPEN_RUNS = 4, 5  # bounds of a mailbox
CLAIMS = (1, 2)  # of one command: one or the other, by the seed
SWEPT = 3  # records of a kind that a command may forget


class Broken(Exception):
    """A law does not hold."""


class Wait(NamedTuple):
    """A wait of a plan."""

    clauses: tuple[tuple[str, str | None], ...]  # (event, where); where `tag`: the data equals the run's tag
    take: str  # one | every
    since: str  # run | here
    keep: int
    within: int  # 0: no limit
    loop: bool  # may begin again
    after: int | None = None  # begins when this wait of the plan has ended; None: by a command

    def is_for(self, event: str) -> bool:
        return any(name == event for name, _ in self.clauses)


class Definition(NamedTuple):
    """A definition, and of each of its versions the waits and the window."""

    policy: str  # many | one | join
    trigger: str
    plans: tuple[tuple[Wait, ...], ...]
    windows: tuple[int, ...]


class Event(NamedTuple):
    """A business event, as a producer sends it."""

    name: str
    source: str
    id: int | None
    at: int  # its own time
    data: int


class Deliver(NamedTuple):
    """A command: an event for one mailbox."""

    definition: str
    key: str
    event: Event
    origin: tuple[int, int, int]  # source partition, offset, the offset that ingress had committed
    start: int | None = None  # the version that it starts
    keep: int = 0  # the longest of the waits that take originals, as ingress knows them
    copies: int = 0  # of those that take copies
    window: int = WINDOW  # how long the event is remembered, as the newest version says that ingress knows

    @property
    def box(self) -> Mailbox:
        return self.definition, self.key


class Act(NamedTuple):
    """A command about a run (`begin`, `end`, `cancel`, `fire`, `move`), a mailbox (`continue`), or nothing (`tick`)."""

    kind: str
    definition: str = "A"
    key: str = "K"
    run: str | None = None
    arg: int | None = None  # a wait of the plan, or a version

    @property
    def box(self) -> Mailbox:
        return self.definition, self.key


Command = Deliver | Act


class Engine(Protocol):
    """What the world needs of an engine: the reference, one of its wrong variants, or the product."""

    def apply(self, offset: int, at: int, command: Command) -> tuple[list[Fact], list[Act]] | None:
        """The facts that a command gives, in order, and the commands to append; None if it was applied before."""

    def continue_due(self, box: Mailbox) -> bool:
        """Whether claims of this mailbox are left to a Continue."""

    def checkpoint(self) -> None:
        """Save everything since the last one. Raises Broken when the saved records are not the state."""

    def reopened(self) -> Engine:
        """Another owner, with nothing but what was saved."""

    def state(self) -> Any:
        """All records, to be compared."""

    def is_at_rest(self) -> bool:
        """Whether nothing is left but counts and marks."""

    def counted(self) -> int:
        """How many deliveries have ended, by the engine's own counts."""
