"""What a text asks for, as a tree: blocks of things to be done, and what follows each of their outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamflow.authoring.drafter.tokens import Token
from streamflow.authoring.drafter.vocabulary import Entry


@dataclass(slots=True, kw_only=True)
class Handler:
    """What is done after some outcomes of a step."""

    outcomes: frozenset[str]
    block: list[Node] = field(default_factory=list)
    reason: str = ""  # the condition as it was said
    rejoins: bool = False  # what comes after the step comes after this, too
    rest: bool = False  # it has what no other condition names: a later one may take outcomes out of it


@dataclass(slots=True, kw_only=True)
class Node:
    """A part of the process. Its id becomes that of its step."""

    id: str
    said: tuple[int, int]  # its place in the text
    handlers: list[Handler] = field(default_factory=list)

    def handler(self, outcomes: frozenset[str], reason: str) -> Handler:
        """What is done after exactly these outcomes; a new one if there is none."""
        for found in self.handlers:
            if found.outcomes == outcomes:
                return found
        self.handlers.append(Handler(outcomes=outcomes, reason=reason))
        return self.handlers[-1]

    def unnamed(self, outcomes: frozenset[str]) -> frozenset[str]:
        """Those of `outcomes` that no condition has named by themselves; all of them if each is named."""
        named = frozenset[str]().union(*(one.outcomes for one in self.handlers if not one.rest))
        return outcomes - named or outcomes

    def take_out(self, outcomes: frozenset[str]) -> bool:
        """Takes `outcomes` out of what is done in the other cases; not if nothing of that would be left."""
        found = [one for one in self.handlers if one.rest and one.outcomes & outcomes and one.outcomes != outcomes]
        if not all(one.outcomes - outcomes for one in found):
            return False
        for one in found:
            one.outcomes -= outcomes
        return True


@dataclass(slots=True, kw_only=True)
class Ask(Node):
    """People are asked."""

    who: list[str]
    about: list[Token]  # what they are asked, as it was said; empty if it was not
    within: str | None = None
    forever: bool = False  # it was said that there is no limit


@dataclass(slots=True, kw_only=True)
class Await(Node):
    """One of some events is waited for."""

    events: list[Entry]
    within: str | None = None
    forever: bool = False  # it was said that there is no limit


@dataclass(slots=True, kw_only=True)
class Pause(Node):
    """Time passes."""

    length: str


@dataclass(slots=True, kw_only=True)
class Do(Node):
    """An event is published, or an operation called."""

    entry: Entry
    constant: tuple[str, str] | None  # a field of the event, and the value that was said
    given: dict[str, list[Token]]  # what was said of fields, by their names
    within: str | None = None  # of a call: its limit
    attempts: int | None = None  # of a call, the first included; None: as the catalog has it


@dataclass(slots=True, kw_only=True)
class Say(Node):
    """A line goes to the log."""

    text: str


@dataclass(slots=True, kw_only=True)
class Fail(Node):
    """The run ends as failed."""

    reason: str


@dataclass(slots=True, kw_only=True)
class Stop(Node):
    """Nothing more is done on this way, or (`ends` is false) nothing here."""

    ends: bool


@dataclass(slots=True, kw_only=True)
class Always(Node):
    """What follows is done however the steps before it ended."""


@dataclass(slots=True, kw_only=True)
class Way:
    """A branch: its condition, and what is done where it holds."""

    expr: str  # empty: where no other holds
    block: list[Node] = field(default_factory=list)
    reason: str = ""  # the condition as it was said


@dataclass(slots=True, kw_only=True)
class Decide(Node):
    """The first of some conditions that holds is followed."""

    ways: list[Way]
