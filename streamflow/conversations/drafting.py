"""What may happen to the draft of a conversation: each function gives the events of one command, or refuses it. Pure.

A command names the revision that its author has seen. If another one is the current one by then, it is refused, so that
nobody's edit is lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from streamflow.authoring.difference import difference
from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, apply
from streamflow.authoring.operations import Revision as Applied
from streamflow.authoring.questions import questions
from streamflow.authoring.statements import facts, statements
from streamflow.conversations.conversation import Conversation, Proposal, Revision
from streamflow.conversations.decisions import (
    LONGEST_TEXT,
    parsed,
    require_changeable,
    require_short,
    require_there,
)
from streamflow.conversations.events import (
    Commented,
    Event,
    Moved,
    OperationsProposed,
    OperationsRejected,
    Revised,
    Understood,
)
from streamflow.definition.catalog import Catalog
from streamflow.errors import DefinitionError, Rejected

ASSISTANT = "assistant"
"""Among the authors of a revision that holds operations of the assistant."""


def edit(state: Conversation, operations: Any, catalog: Catalog, *, seen: int, by: str) -> list[Event]:
    """A new revision by a person's operations. Raises Rejected: `revision_conflict`, and what `apply` refuses."""
    _current(state, seen)
    made = applied(state.revision, operations, catalog)
    return [_revised(state, made, _authors(state, by))]


def write(state: Conversation, text: str, catalog: Catalog, *, seen: int, by: str) -> list[Event]:
    """A new revision with a text that a person wrote; nothing if it is the same. Raises DefinitionError and Rejected:
    `revision_conflict`, `text_invalid`."""
    _current(state, seen)
    before, after = Draft.parse(state.revision.text), parsed(text)
    if before.sha == after.sha:
        return []
    changes = difference(before, after, catalog).sentences
    return [
        Revised(
            parent=state.current,
            text=after.text,
            sha=after.sha,
            authors=_authors(state, by),
            sentences=changes or ["The text was changed, and means the same."],
        )
    ]


def accept(
    state: Conversation,
    catalog: Catalog,
    *,
    seen: int,
    by: str,
    proposal: str | None = None,
    operations: Sequence[int] | None = None,
) -> list[Event]:
    """A new revision by the operations of the open proposal, or those of them that are named; they are applied to the
    revision that the person sees, whatever it was when they were proposed. Raises Rejected: `revision_conflict`,
    `nothing_proposed`, `operation_closed`, and what `apply` refuses."""
    _current(state, seen)
    open_, numbers = _wanted(state, proposal, operations)
    chosen_ = [open_.made.operations[number] for number in numbers]
    made = applied(state.revision, chosen_, catalog)
    turn = state.turns.get(open_.made.turn)
    authors = _authors(state, *([turn.by] if turn is not None else []), by, *([ASSISTANT] if open_.made.turn else []))
    return [_revised(state, made, authors, proposal=open_.made.proposal, accepted=numbers)]


def preview(state: Conversation, catalog: Catalog, operations: Sequence[int] | None) -> Applied:
    """The draft as it would be with the open proposal, or with those of its operations that are named. Raises as
    `accept`, but for the revision."""
    require_there(state)
    open_, numbers = _wanted(state, None, operations)
    return applied(state.revision, [open_.made.operations[number] for number in numbers], catalog)


def asked_about(state: Conversation, revised: Sequence[Event], catalog: Catalog) -> list[Event]:
    """What is understood of the draft after these events, and what it leaves open, for the end of a command that
    changed it."""
    made = next((one for one in revised if isinstance(one, Revised)), None)
    if made is None:
        return []
    settled = set(state.settled)
    if made.proposal is not None and state.proposal is not None:
        settled.update(state.proposal.made.settles)
    return [understood(Draft.parse(made.text), catalog, settled)]


def understood(draft: Draft, catalog: Catalog, settled: Collection[str], turn: str = "") -> Understood:
    """What a draft says, and what it leaves open. Without a turn there is nothing to say yes to."""
    return Understood(
        turn=turn,
        statements=facts(statements(draft, catalog, settled=settled)),
        questions=[one.facts() for one in questions(draft, catalog, settled=settled)],
    )


def comment(state: Conversation, text: str, *, revision: int | None, address: str | None) -> list[Event]:
    """A comment on a revision, by default the current one. Raises Rejected: `text_invalid`, `draft_unknown`."""
    require_changeable(state)
    require_short("comment", text, LONGEST_TEXT)
    if not text.strip():
        raise Rejected("text_invalid", "The comment is empty. Write a text.")
    number = known(state, state.current if revision is None else revision).number
    return [Commented(revision=number, text=text, address=address)]


def reject(state: Conversation, *, proposal: str | None = None, operations: Sequence[int] | None = None) -> list[Event]:
    """A no to the open proposal, or to some of its operations. Raises Rejected: `nothing_proposed`,
    `operation_closed`."""
    require_changeable(state)
    open_, numbers = _wanted(state, proposal, operations)
    return [OperationsRejected(proposal=open_.made.proposal, operations=numbers)]


def undo(state: Conversation, *, seen: int) -> list[Event]:
    """The revision before the current one becomes the current one. Raises Rejected: `revision_conflict`,
    `nothing_to_undo`."""
    _current(state, seen)
    parent = state.revision.parent
    if parent is None:
        raise Rejected("nothing_to_undo", "The draft is as the conversation began. There is nothing to undo.")
    return [Moved(how="undone", revision=parent)]


def redo(state: Conversation, *, seen: int) -> list[Event]:
    """What was undone last becomes the current revision again. Raises Rejected: `revision_conflict`,
    `nothing_to_redo`."""
    _current(state, seen)
    if state.current not in state.redo:
        raise Rejected("nothing_to_redo", "Nothing was undone here. There is nothing to redo.")
    return [Moved(how="redone", revision=state.redo[state.current])]


def branch(state: Conversation, revision: int, *, seen: int) -> list[Event]:
    """Any revision becomes the current one; what is edited then is a branch of it. Raises Rejected:
    `revision_conflict`, `draft_unknown`."""
    _current(state, seen)
    known(state, revision)
    return [Moved(how="branched", revision=revision)] if revision != state.current else []


def applied(revision: Revision, operations: Any, catalog: Catalog) -> Applied:
    """The draft of `revision` with `operations`. Raises DefinitionError (their shape) and Rejected (`edit_...`)."""
    made = apply(Draft.parse(revision.text), operations, catalog)
    if isinstance(made, Refusal):
        if made.problems:
            raise DefinitionError(made.problems, code=made.code, message=made.message)
        raise Rejected(made.code, made.message, operation=made.operation)
    return made


def known(state: Conversation, revision: int) -> Revision:
    """A revision of the conversation. Raises Rejected (`draft_unknown`)."""
    require_there(state)
    if revision not in state.revisions:
        raise Rejected("draft_unknown", f"The conversation has no revision {revision}. Read which it has.")
    return state.revisions[revision]


def proposed(made: Applied, *, proposal: str, turn: str, base: int, settles: Sequence[str] = ()) -> OperationsProposed:
    """The event that offers what was tried."""
    return OperationsProposed(
        proposal=proposal,
        turn=turn,
        base=base,
        operations=[one.model_dump(mode="json", by_alias=True, exclude_unset=True) for one in made.operations],
        sentences=made.difference.sentences,
        problems=made.facts()["new_problems"],
        settles=list(settles),
    )


def _revised(
    state: Conversation, made: Applied, authors: list[str], *, proposal: str | None = None, accepted: Sequence[int] = ()
) -> Revised:
    return Revised(
        parent=state.current,
        text=made.draft.text,
        sha=made.draft.sha,
        authors=authors,
        operations=[one.model_dump(mode="json", by_alias=True, exclude_unset=True) for one in made.operations],
        sentences=made.difference.sentences,
        problems=made.facts()["new_problems"],
        proposal=proposal,
        accepted=list(accepted),
    )


def _authors(state: Conversation, *more: str) -> list[str]:
    return list(dict.fromkeys([*state.revision.authors, *more]))


def _wanted(state: Conversation, proposal: str | None, operations: Sequence[int] | None) -> tuple[Proposal, list[int]]:
    found = state.proposal
    if found is None or proposal not in (None, found.made.proposal):
        raise Rejected("nothing_proposed", "Nothing waits for a yes or a no, or another proposal. Read what does.")
    numbers = sorted(set(found.open if operations is None else operations))
    closed = [number for number in numbers if number not in found.open]
    if closed or not numbers:
        which = f"operation {closed[0]} does not" if closed else "none was named that does"
        raise Rejected("operation_closed", f"Of this proposal {which} are undecided. Read which.")
    return found, numbers


def _current(state: Conversation, seen: int) -> None:
    require_changeable(state)
    if seen != state.current:
        raise Rejected(
            "revision_conflict",
            f"The draft is at revision {state.current}, and the request was made for {seen}. Check what changed, and "
            "send it again with that revision.",
            revision=state.current,
            seen=seen,
        )
