"""What a decision is, what it may ask for content, and how a command is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from streamflow.definition.plan import Plan
from streamflow.engine import commands as c
from streamflow.engine.effects import Effect
from streamflow.engine.trace import RunTrace
from streamflow.engine.transitions import Transition

Outcome = Literal["applied", "rejected", "duplicate", "dead"]


class Contents(Protocol):
    """Where the content that a start names comes from the first time, and the plans of contents."""

    def content(self, start: c.DefinitionRef) -> str | None:
        """The content of `start.sha256`, if it was published at or below `start.log_offset`.

        The host has waited for that offset."""

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        """The plan of a content. The same content gives the same plan, whenever and wherever; it is asked for only if
        the plan is not known.

        Raises UnusableContent when this program cannot read or compile it."""


class UnusableContent(Exception):
    """A published content, by its sha256, of which this program can make no plan. A command that starts it is put
    aside, because another program may be able to."""

    def __init__(self, sha: str, cause: BaseException) -> None:
        super().__init__(f"{sha[:12]}: {type(cause).__name__}: {str(cause)[:200]}")


class UnapprovedContent(Exception):
    """A published content, by its sha256, that has no valid approval where one is required. A command that starts it is
    put aside, because it may be approved later."""


class Decision(Struct, frozen=True, gc=False, kw_only=True):
    """What one command does. `changes` are records by key (None deletes), the partition's own record among them."""

    outcome: Outcome
    reason: str
    transitions: list[Transition]
    effects: list[Effect]
    changes: dict[str, Any]
    traces: dict[str, RunTrace] = {}
    """What was done in each run, by its id, as a place in a trace; runs that are in none are left out."""

    tallied: Collection[str] = ()
    """The definitions whose tallies of deliveries are among the changes."""


class Verdict(NamedTuple):
    """The outcome of a command that changes something and is not `applied` all the same."""

    outcome: Outcome
    reason: str


class Refused(Exception):
    """The command does not fit; nothing of its draft is kept."""

    def __init__(
        self, outcome: Outcome, reason: str, message: str = "", state: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.message = message
        self.state = dict(state or {})
