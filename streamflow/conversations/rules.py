"""The assistant's turn without a language model: the rule-based drafter, and questions about what a draft leaves open.
Pure."""

from __future__ import annotations

from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import draft as drafted_by_rules
from streamflow.authoring.editor.editor import edit as edited_by_rules
from streamflow.authoring.question import MOST
from streamflow.authoring.statements import facts, statements
from streamflow.conversations import decisions, drafting
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import (
    Cause,
    Event,
    GapsSettled,
    MessageSent,
    TextAdded,
    TurnEnded,
    TurnStarted,
    Understood,
)
from streamflow.definition.catalog import Catalog
from streamflow.errors import DefinitionError, Rejected

LABEL = "Written by rules, not by a language model."
_FIELDS = ("title", "description", "input", "runs", "window", "limits", "output", "search")
_NEW = "draft"
"""The name of a draft that nobody has named."""


def answer(state: Conversation, turn: TurnStarted, own: Catalog, whole: Catalog) -> list[Event]:
    """The whole turn, its end included: the same conversation and catalogs give the same answer. A sentence is drafted
    over `own`, a draft is judged by `whole`."""
    sent = next(one.event for one in state.messages if one.seq == turn.message)
    assert isinstance(sent, MessageSent)
    draft = Draft.parse(state.revision.text)
    if turn.mode == "ask":
        return _ended(turn, _explained(draft, whole, state), cause="done")
    if sent.question is not None:
        choice = _choice(state, sent)
        if choice is None:
            return _ended(turn, "The question is no longer open. Nothing was changed.", cause="done")
        if choice["operations"] or choice["sentence"] is None:
            return _decided(state, turn, choice, _gaps(state, sent.question), draft, whole)
    if draft.definition.steps:
        return _edited(state, turn, sent.text, draft, own, whole)
    return _drafted(state, turn, sent.text, own, whole)


def _drafted(state: Conversation, turn: TurnStarted, sentence: str, own: Catalog, whole: Catalog) -> list[Event]:
    """A draft of a sentence: what was understood, what is asked, and unless only a plan is wanted the operations."""
    found = drafted_by_rules(sentence, own)
    understood = Understood(
        turn=turn.turn,
        statements=facts(found.statements),
        questions=[one.facts() for one in found.questions],
    )
    events: list[Event] = [TextAdded(turn=turn.turn, text=f"{LABEL} {_summary(found)}"), understood]
    if found.text is not None and found.complete and (turn.mode == "edit" or turn.confirmed):
        try:
            made = drafting.applied(state.revision, operations_of(state, found.text), whole)
        except (DefinitionError, Rejected) as error:
            return _ended(turn, f"The draft cannot be changed so. {error.message}", cause="failed", code=error.code)
        events.append(drafting.proposed(made, proposal=turn.turn, turn=turn.turn, base=state.current))
    return [*events, TurnEnded(turn=turn.turn, cause="waiting")]


def operations_of(state: Conversation, text: str) -> list[dict[str, Any]]:
    """The operations that make what `text` says of a draft without steps; a name that a person has given stays."""
    content = dict(Draft.parse(text).content)
    had = Draft.parse(state.revision.text).content
    found = [{"op": "set_field", "field": name, "value": content[name]} for name in _FIELDS if name in content]
    if had.get("name") == _NEW:
        found.insert(0, {"op": "set_field", "field": "name", "value": content["name"]})
    found += [{"op": "set_trigger", "trigger": trigger} for trigger in content.get("on", ())]
    return found + [{"op": "add_step", "step": step} for step in content.get("steps", ())]


def _decided(
    state: Conversation,
    turn: TurnStarted,
    choice: dict[str, Any],
    gaps: list[str],
    draft: Draft,
    catalog: Catalog,
) -> list[Event]:
    """The answer to a question about a gap: what it changes is proposed, or the gap is left as it is."""
    if choice["operations"]:
        try:
            made = drafting.applied(state.revision, choice["operations"], catalog)
        except (DefinitionError, Rejected) as error:
            text = f"The answer no longer fits the draft. {error.message}"
            return _ended(turn, text, cause="failed", code=error.code)
        offer = drafting.proposed(made, proposal=turn.turn, turn=turn.turn, base=state.current, settles=gaps)
        return [offer, TurnEnded(turn=turn.turn, cause="waiting")]
    settled = [*state.settled, *gaps]
    left = drafting.understood(draft, catalog, settled, turn.turn)
    return [GapsSettled(gaps=gaps), left, TurnEnded(turn=turn.turn, cause="waiting" if left.questions else "done")]


def _edited(
    state: Conversation, turn: TurnStarted, sentence: str, draft: Draft, own: Catalog, whole: Catalog
) -> list[Event]:
    """An edit of a draft with steps: what is asked about the sentence, or what it would change, and unless only a plan
    is wanted the operations."""
    found = edited_by_rules(sentence, draft, own, judged=whole)
    ended = TurnEnded(turn=turn.turn, cause="waiting")
    if not found.complete or found.revision is None:
        text = f"{LABEL} Nothing was changed. {found.questions[0].text}"
        left = drafting.understood(draft, whole, state.settled, turn.turn)
        asked = [*(one.facts() for one in found.questions), *left.questions][:MOST]
        understood = Understood(turn=turn.turn, statements=left.statements, questions=asked)
        return [TextAdded(turn=turn.turn, text=text), understood, ended]
    text = "\n".join([LABEL, *(f"- {one}" for one in found.revision.difference.sentences)])
    understood = Understood(
        turn=turn.turn, statements=facts(found.statements), questions=[one.facts() for one in found.questions]
    )
    events: list[Event] = [TextAdded(turn=turn.turn, text=text), understood]
    if turn.mode == "edit" or turn.confirmed:
        events.append(drafting.proposed(found.revision, proposal=turn.turn, turn=turn.turn, base=state.current))
    return [*events, ended]


def _explained(draft: Draft, catalog: Catalog, state: Conversation) -> str:
    found = statements(draft, catalog, settled=state.settled)
    lines = [f"{one.number}. {one.text}" for one in found]
    return "\n".join([LABEL, *(lines or ["The draft has no steps yet."])])


def _summary(found: Drafted) -> str:
    if found.text is None:
        return "Nothing can be drafted before the question is answered."
    return "Everything was understood." if found.complete else "Some words were not understood, see the questions."


def _choice(state: Conversation, sent: MessageSent) -> dict[str, Any] | None:
    try:
        return decisions.chosen(state, sent.question or 0, sent.choice)
    except Rejected:
        return None


def _gaps(state: Conversation, question: int) -> list[str]:
    assert state.understood is not None
    gaps: list[str] = state.understood.questions[question].get("gaps", [])
    return gaps


def _ended(turn: TurnStarted, text: str, *, cause: Cause, code: str = "") -> list[Event]:
    message = text if cause == "failed" else ""
    return [
        TextAdded(turn=turn.turn, text=text),
        TurnEnded(turn=turn.turn, cause=cause, code=code, message=message),
    ]
