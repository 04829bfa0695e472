"""The state of a conversation: what its entries say so far. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from streamflow.conversations.entries import Entry
from streamflow.conversations.events import (
    Commented,
    Confirmed,
    ConversationStarted,
    GapsSettled,
    MessageSent,
    Moved,
    OperationsProposed,
    OperationsRejected,
    Renamed,
    Revised,
    ScenariosKept,
    ScenariosPlayed,
    Shared,
    Spent,
    TurnEnded,
    TurnHeld,
    TurnStarted,
    Understood,
    Unshared,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One state of the draft. Revisions are a tree: after an undo, an edit makes another child."""

    number: int
    """That of its entry."""

    parent: int | None
    """What was changed; None: the conversation began with it."""

    text: str
    """The whole draft."""

    sha: str
    """The sha256 of `text`."""

    authors: tuple[str, ...]
    """Everybody who wrote it or a revision before it."""

    at_ms: int
    """When it was made, in epoch milliseconds."""

    sentences: tuple[str, ...] = ()
    """What changed, in English."""

    def facts(self, *, whole: bool = False) -> dict[str, Any]:
        """The revision as JSON data; with its text if it is to be `whole`."""
        facts = {
            "revision": self.number,
            "parent": self.parent,
            "sha": self.sha,
            "authors": list(self.authors),
            "at_ms": self.at_ms,
            "sentences": list(self.sentences),
        }
        return facts | {"text": self.text} if whole else facts


@dataclass(slots=True)
class Proposal:
    """Operations that wait for a person, and which of them still do."""

    made: OperationsProposed
    open: list[int]


@dataclass(slots=True)
class Turn:
    """A turn of the assistant."""

    started: TurnStarted
    by: str
    until_ms: int
    ended: TurnEnded | None = None


@dataclass(slots=True)
class Conversation:
    """A conversation as its entries, taken in order, make it."""

    id: str
    title: str = ""
    created_by: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    seq: int = 0
    """The number of the latest entry."""

    catalog: str | None = None
    revisions: dict[int, Revision] = field(default_factory=dict)
    current: int = 0
    """The number of the current revision."""

    redo: dict[int, int] = field(default_factory=dict)
    """For a revision the child that a redo goes to."""

    turns: dict[str, Turn] = field(default_factory=dict)
    open_turn: str | None = None
    proposal: Proposal | None = None
    understood: Understood | None = None
    """What waits for a yes or for answers."""

    settled: set[str] = field(default_factory=set)
    """Keys of gaps that were decided about."""

    scenarios: dict[str, Any] = field(default_factory=dict)
    """As `scenarios.yaml` has them."""

    played: ScenariosPlayed | None = None
    """How they went when they were played last."""

    messages: list[Entry] = field(default_factory=list)
    comments: list[Entry] = field(default_factory=list)
    share: Shared | None = None
    spent: list[Spent] = field(default_factory=list)
    damaged: bool = False
    """An entry is missing or cannot be read: it can be read and deleted, but not changed."""

    @property
    def revision(self) -> Revision:
        """The current one."""
        return self.revisions[self.current]

    @property
    def turn(self) -> Turn | None:
        """The open turn."""
        return self.turns[self.open_turn] if self.open_turn is not None else None

    def take(self, entry: Entry) -> None:
        """Takes the next entry."""
        if entry.seq != self.seq + 1:
            self.damaged = True
        self.seq = entry.seq
        self.updated_ms = entry.at_ms
        try:
            self._take(entry)
        except KeyError:  # it is about an entry that is missing
            self.damaged = True

    def _take(self, entry: Entry) -> None:
        match entry.event:
            case ConversationStarted() as event:
                self.title, self.catalog = event.title, event.catalog
                self.created_by, self.created_ms = entry.by, entry.at_ms
                first = Revision(
                    number=entry.seq,
                    parent=None,
                    text=event.text,
                    sha=event.sha,
                    authors=(entry.by,),
                    at_ms=entry.at_ms,
                )
                self.revisions[entry.seq], self.current = first, entry.seq
            case MessageSent():
                self.messages.append(entry)
            case TurnStarted() as event:
                self.turns[event.turn] = Turn(event, entry.by, event.until_ms)
                self.open_turn = event.turn
            case TurnHeld() as event:
                self.turns[event.turn].until_ms = event.until_ms
            case TurnEnded() as event:
                self.turns[event.turn].ended = event
                self.open_turn = None if self.open_turn == event.turn else self.open_turn
            case Understood() as event:
                self.understood = event
            case Confirmed():
                self.understood = None
            case GapsSettled() as event:
                self.settled.update(event.gaps)
            case OperationsProposed() as event:
                self.proposal = Proposal(event, list(range(len(event.operations))))
            case OperationsRejected() as event:
                self._close(event.proposal, event.operations)
            case Revised() as event:
                self._revise(entry, event)
            case Moved() as event:
                if event.how == "undone":
                    self.redo[event.revision] = self.current
                self.current = event.revision
            case ScenariosKept() as event:
                self.scenarios, self.played = event.scenarios, None
            case ScenariosPlayed() as event:
                self.played = event
            case Commented():
                self.comments.append(entry)
            case Shared() as event:
                self.share = event
            case Unshared():
                self.share = None
            case Renamed() as event:
                self.title = event.title
            case Spent() as event:
                self.spent.append(event)

    def _revise(self, entry: Entry, event: Revised) -> None:
        self.revisions[entry.seq] = Revision(
            number=entry.seq,
            parent=event.parent,
            text=event.text,
            sha=event.sha,
            authors=tuple(event.authors),
            at_ms=entry.at_ms,
            sentences=tuple(event.sentences),
        )
        self.redo[event.parent] = entry.seq
        self.current = entry.seq
        if event.proposal is not None and self.proposal is not None and self.proposal.made.proposal == event.proposal:
            self.settled.update(self.proposal.made.settles)
            self.understood = None
            self._close(event.proposal, event.accepted)

    def _close(self, proposal: str, operations: Iterable[int]) -> None:
        """These operations are closed."""
        if self.proposal is not None and self.proposal.made.proposal == proposal:
            closed = set(operations)
            self.proposal.open = [one for one in self.proposal.open if one not in closed]
            if not self.proposal.open:
                self.proposal = None

    def copy(self) -> Conversation:
        """A copy that later entries do not change."""
        made = replace(
            self,
            revisions=dict(self.revisions),
            redo=dict(self.redo),
            turns={id: replace(turn) for id, turn in self.turns.items()},
            proposal=None if self.proposal is None else replace(self.proposal),
            settled=set(self.settled),
        )
        made.messages, made.comments, made.spent = list(self.messages), list(self.comments), list(self.spent)
        return made

    def row(self) -> dict[str, Any]:
        """The conversation as a list has it."""
        return {
            "conversation": self.id,
            "title": self.title,
            "created_by": self.created_by,
            "created_ms": self.created_ms,
            "updated_ms": self.updated_ms,
            "revision": self.current,
            "turn": self.open_turn,
        }

    def facts(self, now_ms: int) -> dict[str, Any]:
        """All of it as JSON data, with the text of the current revision."""
        turn = self.turn
        return self.row() | {
            "seq": self.seq,
            "catalog": self.catalog,
            "draft": self.revision.facts(whole=True),
            "revisions": [one.facts() for one in self.revisions.values()],
            "can_undo": self.revision.parent is not None,
            "can_redo": self.current in self.redo,
            "turn": None if turn is None else {"turn": turn.started.turn, "mode": turn.started.mode, "by": turn.by},
            "messages": [one.facts() for one in self.messages],
            "understood": None if self.understood is None else _facts(self.understood),
            "proposal": None
            if self.proposal is None
            else _facts(self.proposal.made) | {"open": list(self.proposal.open)},
            "scenarios": self.scenarios.get("scenarios", []),
            "played": None if self.played is None else _facts(self.played),
            "comments": [one.facts() for one in self.comments],
            "shared_until_ms": self.share.until_ms if self.share is not None and self.share.until_ms > now_ms else None,
            "damaged": self.damaged,
            "tokens": sum(
                one.input_tokens + one.cached_input_tokens + one.cache_write_tokens + one.output_tokens
                for one in self.spent
            ),
        }


def _facts(event: Understood | OperationsProposed | ScenariosPlayed) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(event)
    del facts["type"]
    return facts


def folded(id: str, entries: Iterable[Entry]) -> Conversation:
    """The conversation that `entries` make."""
    made = Conversation(id)
    for entry in entries:
        made.take(entry)
    return made
