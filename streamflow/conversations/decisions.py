"""What may happen in a conversation: each function gives the events of one command, or refuses it. Pure.
What may happen to its draft is in `drafting`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import (
    Confirmed,
    ConversationStarted,
    Event,
    MessageSent,
    Mode,
    Renamed,
    Shared,
    TurnEnded,
    TurnHeld,
    TurnStarted,
)
from streamflow.errors import Rejected

HELD_MS = 15_000  # for how long a turn is held without a word
LONGEST_TEXT = 20_000  # characters of a message or a comment
LONGEST_TITLE = 200
LONGEST_DRAFT = 500_000  # characters of a draft or a catalog
MOST_ENTRIES = 20_000  # of one conversation
_SHARED_MS = 30 * 24 * 3_600_000


def start(title: str, text: str | None, catalog: str | None) -> list[Event]:
    """A conversation, with a draft or with one that has no steps yet. Raises DefinitionError and Rejected
    (`text_invalid`)."""
    require_short("catalog", catalog or "", LONGEST_DRAFT)
    draft = Draft.new("draft") if text is None else parsed(text)
    title = _line("title", title.strip() or draft.definition.title or draft.definition.name)
    return [ConversationStarted(title=title, text=draft.text, sha=draft.sha, catalog=catalog)]


def parsed(text: str) -> Draft:
    """A draft from a text of a person. Raises DefinitionError and Rejected (`text_invalid`)."""
    require_short("draft", text, LONGEST_DRAFT)
    return Draft.parse(text)


def message(
    state: Conversation,
    text: str,
    *,
    turn: str,
    mode: Mode,
    model: str,
    holder: str,
    now_ms: int,
    question: int | None = None,
    choice: int | None = None,
) -> list[Event]:
    """A message and the turn that answers it. Raises Rejected: `turn_open`, `text_invalid`, `question_unknown`."""
    require_changeable(state)
    before = _free(state, now_ms)
    if question is not None:
        answer = chosen(state, question, choice)
        text = str(answer.get("sentence") or answer["text"])
    require_short("message", text, LONGEST_TEXT)
    if not text.strip():
        raise Rejected("text_invalid", "The message is empty. Write what should happen, or what you want to know.")
    sent = MessageSent(text=text, question=question, choice=choice)
    started = TurnStarted(
        turn=turn,
        mode=mode,
        model=model,
        message=state.seq + len(before) + 1,
        base=state.current,
        holder=holder,
        until_ms=now_ms + HELD_MS,
    )
    return [*before, sent, started]


def chosen(state: Conversation, question: int, choice: int | None) -> dict[str, Any]:
    """The choice that answers one of the open questions. Raises Rejected (`question_unknown`)."""
    questions = state.understood.questions if state.understood is not None else []
    choices = questions[question].get("choices", []) if 0 <= question < len(questions) else []
    if choice is None or not 0 <= choice < len(choices):
        raise Rejected("question_unknown", "There is no such open question, or it has no such choice. Read it again.")
    found: dict[str, Any] = choices[choice]
    return found


def confirm(state: Conversation, *, turn: str, model: str, holder: str, now_ms: int) -> list[Event]:
    """A yes to what was understood, and the turn that continues with it. Raises Rejected: `turn_open`,
    `nothing_proposed`."""
    require_changeable(state)
    before = _free(state, now_ms)
    if state.understood is None or state.understood.turn not in state.turns:
        raise Rejected("nothing_proposed", "Nothing waits for a yes or a no. Send a message first.")
    answered = state.turns[state.understood.turn].started
    started = TurnStarted(
        turn=turn,
        mode="edit",
        model=model,
        message=answered.message,
        base=state.current,
        holder=holder,
        until_ms=now_ms + HELD_MS,
        confirmed=True,
    )
    return [*before, Confirmed(turn=state.understood.turn), started]


def of_turn(state: Conversation, turn: str, events: Sequence[Event]) -> list[Event]:
    """What the assistant adds within its turn. Raises Rejected (`turn_over`) when that has ended, by any process."""
    require_there(state)
    if state.open_turn != turn:
        raise Rejected("turn_over", "The turn has ended, so nothing more of it is taken. Send another message.")
    return list(events)


def hold(state: Conversation, turn: str, now_ms: int) -> list[Event]:
    """The process of a turn still works on it. Raises Rejected (`turn_over`)."""
    return of_turn(state, turn, [TurnHeld(turn=turn, until_ms=now_ms + HELD_MS)])


def cancel(state: Conversation, turn: str | None) -> list[Event]:
    """The end of the open turn by a person; nothing if it, or any, is no longer open."""
    require_there(state)
    if state.open_turn is None or turn not in (None, state.open_turn):
        return []
    return [TurnEnded(turn=state.open_turn, cause="cancelled")]


def interrupted(state: Conversation, now_ms: int) -> list[Event]:
    """The end of an open turn of which nothing was heard in time."""
    turn = state.turn
    if turn is None or turn.until_ms > now_ms:
        return []
    text = "The process that worked on the answer has ended, and nothing was changed. Send the message again."
    return [TurnEnded(turn=turn.started.turn, cause="interrupted", code="turn_interrupted", message=text)]


def rename(state: Conversation, title: str) -> list[Event]:
    """Another title. Raises Rejected (`text_invalid`)."""
    require_changeable(state)
    return [Renamed(title=_line("title", title.strip()))]


def share(state: Conversation, token: str, *, for_ms: int, now_ms: int) -> list[Event]:
    """A link to read the conversation; an earlier one becomes invalid."""
    require_changeable(state)
    return [Shared(token_sha=token_sha(token), until_ms=now_ms + min(for_ms, _SHARED_MS))]


def token_sha(token: str) -> str:
    """What is kept of the token of a link."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _free(state: Conversation, now_ms: int) -> list[Event]:
    """The end of a turn that was cut off, if there is one. Raises Rejected (`turn_open`) if one is being worked on."""
    ended = interrupted(state, now_ms)
    if state.open_turn is not None and not ended:
        raise Rejected(
            "turn_open", "The assistant is answering. Wait for the end of its turn, or cancel it.", turn=state.open_turn
        )
    return ended


def require_changeable(state: Conversation) -> None:
    """Raises Rejected unless it may be changed: `conversation_damaged`, `conversation_full`, `conversation_unknown`."""
    require_there(state)
    if state.damaged:
        raise Rejected(
            "conversation_damaged",
            "Entries of this conversation are missing or cannot be read. Start another one with the text of its draft.",
        )
    if state.seq >= MOST_ENTRIES:
        raise Rejected(
            "conversation_full",
            f"The conversation has {state.seq} entries, which is the limit. Start another one with the text of its "
            "draft.",
        )


def require_there(state: Conversation) -> None:
    """Raises Rejected (`conversation_unknown`) if it has not begun."""
    if state.current not in state.revisions:
        raise unknown(state.id)


def unknown(id: str) -> Rejected:
    """What is raised about a conversation that is not there."""
    return Rejected("conversation_unknown", f"There is no conversation {id[:100]!a}. See the list.")


def require_short(what: str, text: str, longest: int) -> None:
    """Raises Rejected (`text_invalid`) if `text`, named `what`, is longer than that."""
    if len(text) > longest:
        raise Rejected(
            "text_invalid", f"The {what} has {len(text)} characters, and at most {longest} are taken. Shorten it."
        )


def _line(what: str, text: str) -> str:
    require_short(what, text, LONGEST_TITLE)
    if not text or not text.isprintable():
        raise Rejected("text_invalid", f"The {what} is empty, or has characters that cannot be shown. Correct it.")
    return text
