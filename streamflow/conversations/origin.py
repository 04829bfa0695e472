"""Where a revision of a draft comes from: the changes that made it, each with the operations and with what people said.
Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamflow.conversations.entries import Entry
from streamflow.conversations.events import (
    ConversationStarted,
    MessageSent,
    OperationsProposed,
    Revised,
    TurnStarted,
    Understood,
)


def origin(entries: Sequence[Entry], revision: int) -> list[dict[str, Any]]:
    """The revisions from the first to `revision`, oldest first. Each has `revision`, `by`, `at_ms`, `authors`, the
    `operations` that were applied, what changed as `sentences`, the `model` that proposed it (None: a person wrote it),
    and the `messages` that asked for it: `by`, `at_ms`, `text`, and of an answer the `question`. None of a revision
    that the entries do not have."""
    made = {entry.seq: entry for entry in entries if isinstance(entry.event, ConversationStarted | Revised)}
    path: list[Entry] = []
    number: int | None = revision
    while number is not None and number in made:
        path.insert(0, made[number])
        event = made[number].event
        number = event.parent if isinstance(event, Revised) else None
    if number is not None:
        return []
    said = _Said(entries)
    return [_step(entry, said) for entry in path]


def _step(entry: Entry, said: _Said) -> dict[str, Any]:
    event = entry.event
    facts = {"revision": entry.seq, "by": entry.by, "at_ms": entry.at_ms}
    if not isinstance(event, Revised):
        return facts | {"authors": [entry.by], "operations": [], "sentences": [], "model": None, "messages": []}
    proposal = said.proposals.get(event.proposal or "")
    turn = said.turns.get(proposal.turn) if proposal is not None else None
    return facts | {
        "authors": event.authors,
        "operations": event.operations,
        "sentences": event.sentences,
        "model": None if turn is None else turn.model,
        "messages": [] if turn is None else said.before(turn),
    }


class _Said:
    """Messages, turns and proposals of a conversation."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.proposals: dict[str, OperationsProposed] = {}
        self.turns: dict[str, TurnStarted] = {}
        self._messages: dict[int, dict[str, Any]] = {}
        questions: list[dict[str, Any]] = []
        for entry in entries:
            match entry.event:
                case OperationsProposed() as event:
                    self.proposals[event.proposal] = event
                case TurnStarted() as event:
                    self.turns[event.turn] = event
                case Understood() as event:
                    questions = event.questions
                case MessageSent() as event:
                    asked = event.question is not None and event.question < len(questions)
                    self._messages[entry.seq] = {
                        "by": entry.by,
                        "at_ms": entry.at_ms,
                        "text": event.text,
                        "question": questions[event.question or 0].get("text") if asked else None,
                    }

    def before(self, last: TurnStarted) -> list[dict[str, Any]]:
        """The messages of the turns on the same revision, up to that of `last`."""
        numbers = {
            turn.message for turn in self.turns.values() if turn.base == last.base and turn.message <= last.message
        }
        return [self._messages[number] for number in sorted(numbers) if number in self._messages]
