"""From sentences in English to typed operations on a draft, over what a catalog has.

Each form of an edit is a function that gives operations, or None for another form. What is in no form, names no one
step, or would leave the draft with an error it did not have, becomes a question; nothing is guessed, and then nothing
is changed. The same sentence, draft and catalog give the same operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from streamflow.authoring.draft import Draft
from streamflow.authoring.drafter.actions import NOTHING_NEAR
from streamflow.authoring.drafter.drafter import LONGEST
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.numerals import ask_about_numbers, with_numbers
from streamflow.authoring.drafter.tokens import Token, span_of, tokens_of, wordset
from streamflow.authoring.editor.conditions import conditional, renumbered
from streamflow.authoring.editor.denial import denied
from streamflow.authoring.editor.edited import Edited
from streamflow.authoring.editor.insertion import inserted
from streamflow.authoring.editor.keeping import kept
from streamflow.authoring.editor.limits import limited
from streamflow.authoring.editor.part import Changes, Part
from streamflow.authoring.editor.plain import asked_people, attempted, moved, one_run, renamed, titled
from streamflow.authoring.editor.removal import removed
from streamflow.authoring.editor.replacement import replaced, valued
from streamflow.authoring.editor.scene import Scene
from streamflow.authoring.gaps import gaps
from streamflow.authoring.operations import Refusal, Revision, apply
from streamflow.authoring.question import Choice, Question
from streamflow.definition.catalog import Catalog

_FORMS: tuple[Callable[[Part], Changes | None], ...] = (
    kept,
    renamed,
    moved,
    one_run,
    titled,
    attempted,
    limited,
    renumbered,
    valued,
    asked_people,
    replaced,
    removed,
    denied,
    conditional,
    inserted,
)
MOST_PARTS = 20  # changes of one text: each is applied, and the whole draft checked
_ENDS = frozenset(".;!?")
_BEGINNINGS = wordset("rename remove delete drop change raise lower increase reduce extend shorten replace")
EXAMPLES = "`change the time limit to 2 hours`, `after X also do Y`, `remove X`, `if nobody answers, do Y instead of X`"


def edit(sentence: str, draft: Draft, catalog: Catalog, *, judged: Catalog | None = None) -> Edited:
    """The edit of `draft` that `sentence` says, with what was assumed and what has to be asked. Never fails. New steps
    are made of `catalog`; the draft is judged by `judged`, which may have more than that."""
    whole = catalog if judged is None else judged
    found = _edit(sentence, draft, catalog, whole)
    unclear = ask_about_numbers(Notes(sentence), with_numbers(tokens_of(sentence)))
    asked = frozenset(question.text for question in found.questions if question.blocks)

    def is_useful(choice: Choice, question: Question) -> bool:
        """Whether the choice answers the question, and asks nothing new. What a number means is asked first."""
        if choice.sentence is None or unclear:
            return True
        then = _edit(choice.sentence, draft, catalog, whole)
        return then.complete or {one.text for one in then.questions if one.blocks} < asked - {question.text}

    def with_useful(one: Question) -> Question:
        choices = tuple(choice for choice in one.choices if is_useful(choice, one))
        if choices or not one.text.startswith("The catalog has no"):
            return replace(one, choices=choices)
        return replace(one, choices=(), text=one.text.replace("Which one is meant?", NOTHING_NEAR))

    questions = tuple(with_useful(one) for one in found.questions)
    return replace(found, questions=questions)


def _edit(sentence: str, draft: Draft, catalog: Catalog, whole: Catalog) -> Edited:
    """The same, with all choices that the forms of edits offer."""
    notes = Notes(sentence[:LONGEST])
    if len(sentence) > LONGEST:
        text = (
            f"A text of at most {LONGEST} characters is understood, and this one has {len(sentence)}. Say less at once."
        )
        notes.ask("not_understood", text, (0, LONGEST))
        return _edited(sentence, draft, whole, notes, [])
    strange = next((at for at, letter in enumerate(sentence) if not (letter.isprintable() or letter.isspace())), None)
    if strange is not None:
        notes.ask("not_understood", "A character here cannot be shown. What is meant?", (strange, strange + 1))
        return _edited(sentence, draft, whole, notes, [])
    changes: Changes = []
    current = draft
    tokens = with_numbers(tokens_of(sentence))
    parts = [] if ask_about_numbers(notes, tokens) else _parts(tokens)
    if len(parts) > MOST_PARTS:
        start, end = parts[MOST_PARTS][0].start, parts[-1][-1].end
        text = f"At most {MOST_PARTS} changes are made at once, and these are {len(parts)}. Which ones come first?"
        notes.ask("not_understood", text, (start, end))
        parts = []
    for tokens in parts:
        found = _of_part(Part.of(tokens, notes, Scene(current, catalog, whole)))
        if notes.blocking:
            break
        made = apply(current, found, whole) if found else None
        if isinstance(made, Refusal):
            notes.ask("not_understood", f"The draft cannot be changed so. {made.message}", tokens)
            break
        changes += found
        current = made.draft if made is not None else current
    if not changes and not notes.blocking:
        notes.ask("not_understood", f"What should change? Say it like {EXAMPLES}.", (0, len(sentence)))
    return _edited(sentence, draft, whole, notes, changes)


def _of_part(part: Part) -> Changes:
    """The operations of one edit; none after a question."""
    asked = part.notes.blocking
    for form in _FORMS if part.tokens else ():
        found = form(part)
        if found is not None:
            return [] if part.notes.blocking > asked else found
    if part.notes.blocking == asked:
        part.ask(f"What should change: `{part.said()}`? Say it like {EXAMPLES}.")
    return []


def _parts(tokens: Sequence[Token]) -> list[list[Token]]:
    """The edits that a text is made of: its sentences, and what stands before `and rename`, `and remove`."""
    parts: list[list[Token]] = [[]]
    followed = {id(one): other for one, other in pairwise(tokens)}
    for token in tokens:
        after = followed.get(id(token))
        joint = token.is_in({"and", ","}) and after is not None and _begins(after, followed)
        if (token.kind == "mark" and token.lower in _ENDS) or (joint and parts[-1]):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if any(token.kind != "mark" and not token.is_in({"and"}) for token in part)]


def _begins(token: Token, followed: dict[int, Token]) -> bool:
    """Whether another edit begins with `token`."""
    if token.is_in({"and"}):
        token = followed.get(id(token), token)
    return token.is_in(_BEGINNINGS)


def _edited(sentence: str, draft: Draft, catalog: Catalog, notes: Notes, changes: Changes) -> Edited:
    revision: Revision | None = None
    if changes and not notes.blocking:
        made = apply(draft, changes, catalog)
        if isinstance(made, Refusal):
            notes.ask("not_understood", f"The draft cannot be changed so. {made.message}", (0, len(sentence)))
        else:
            revision = _checked(made, notes)
    if revision is None:
        return Edited(sentence=sentence, operations=(), revision=None, statements=(), questions=notes.questions())
    order = [step.id for step in revision.draft.definition.steps]
    left = gaps(revision.draft, catalog)
    return Edited(
        sentence=sentence,
        operations=revision.operations,
        revision=revision,
        statements=notes.statements(order),
        questions=notes.questions(left),
    )


def _checked(made: Revision, notes: Notes) -> Revision | None:
    """The revision; None, with a question, if it has an error that the draft did not have, or changes nothing."""
    errors = [problem for problem in made.new_problems if problem.severity == "error"]
    for problem in errors[:1]:
        fault = f"{problem.message} {problem.fix}".strip()
        notes.ask("not_understood", f"The draft would have an error then: {fault}", span_of(tokens_of(notes.sentence)))
    if not errors and not made.difference.changes:
        notes.ask("not_understood", "The draft says so already. What should change?", (0, len(notes.sentence)))
    return None if errors or not made.difference.changes else made
