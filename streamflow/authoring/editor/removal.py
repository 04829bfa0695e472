"""Edits that take something out of a draft: `remove X`, `do not do X any more`, `remove the condition`."""

from __future__ import annotations

from streamflow.authoring.drafter.tokens import Token, words_at
from streamflow.authoring.editor.part import Changes, Part, bare
from streamflow.authoring.operations import Refusal, apply

_REMOVING = ("remove", "delete", "drop", "get rid of", "take out", "leave out", "leave away", "skip the step")
NOT = ("do not", "no longer", "stop", "never")
_ANY_MORE = ("any more", "anymore", "any longer", "at all", "again", "for now")
_CONDITIONAL = (
    "if",
    "when",
    "unless",
    "until",
    "before",
    "after",
    "but",
    "instead",
    "whenever",
    "where",
    "while",
    "with",
)


def removed(part: Part) -> Changes | None:
    """The operations of `remove X`, `do not X any more`; None if it is something else."""
    tokens = _removal(part)
    if tokens is None:
        return None
    if (limiting := part.find(*_CONDITIONAL)) is not None:
        said = part.said(part.tokens[limiting[0] :])
        return part.ask(f"A step is removed or not. What is done where `{said}` does not hold?")
    if not tokens:
        return part.ask("What is removed?")
    if words_at(bare(tokens), 0, "condition") and len(bare(tokens)) == 1:
        return _unconditional(part)
    found = part.naming.meant(tokens)
    joints = [at for at, token in enumerate(tokens) if token.is_in({"and", ","})]
    groups = [tokens]
    if len(found) != 1 and joints:
        groups, begin = [], 0
        for at in [*joints, len(tokens)]:
            groups += [tokens[begin:at]] if tokens[begin:at] else []
            begin = at + 1
    steps = [part.naming.one(group, "is removed") for group in groups]
    if any(step is None for step in steps):
        return []
    last_first = [id_ for id_ in reversed(part.scene.steps) if id_ in {step.id for step in steps if step is not None}]
    changes: Changes = [{"op": "remove_step", "step": id_} for id_ in last_first]
    return without_orphans(part, changes)


def without_orphans(part: Part, changes: Changes) -> Changes:
    """The same, or a question if steps would be left to which nothing leads."""
    made = apply(part.scene.draft, [*changes], part.scene.whole)
    if not isinstance(made, Refusal) or made.code != "edit_orphans":
        return changes
    whole = [{**one, "orphans": "remove"} for one in changes]
    again = apply(part.scene.draft, whole, part.scene.whole)
    if isinstance(again, Refusal):
        return part.ask(made.message)
    gone = [step for step in part.scene.steps if step not in {one.id for one in again.draft.definition.steps}]
    removed = [one["step"] for one in changes]
    orphans = ", ".join(f"`{one}`" for one in gone if one not in removed)
    errors = [problem for problem in again.new_problems if problem.severity == "error"]
    if errors:
        fault = f"{errors[0].message} {errors[0].fix}".strip()
        return part.ask(f"Nothing would lead to {orphans} any more, and without that the draft has an error: {fault}")
    if set(gone) == set(removed):
        return whole
    choice = part.notes.instead((part.tokens[0].start, part.tokens[-1].end), f"remove {' and '.join(gone)}")
    text = f"Nothing would lead to {orphans} any more. Is that removed too?"
    part.notes.ask("ambiguous", text, part.tokens, [choice])
    return []


def _removal(part: Part) -> list[Token] | None:
    """The words for what is removed; None if nothing is."""
    if taken := part.begins(*_REMOVING):
        rest = part.tokens[taken:]
    elif part.first in {"take", "leave"} and (out := part.find("out", "away")) is not None and out[0] > 1:
        rest = [*part.tokens[1 : out[0]], *part.tokens[out[1] :]]
    elif (taken := part.begins(*NOT)) and part.find(*_CONDITIONAL) is None:
        rest = part.tokens[taken:]
    else:
        return None
    return without_any_more(rest)


def _unconditional(part: Part) -> Changes:
    """Whatever comes starts a run, if there is no other condition that may be meant."""
    where = [one for one in part.scene.definition.on if one.where is not None]
    conditional = [step for step in part.scene.steps.values() if step.if_ is not None]
    if len(where) == 1 and not conditional:
        old = where[0].model_dump(mode="json", by_alias=True, exclude_unset=True)
        old.pop("where")
        return [{"op": "set_trigger", "trigger": old}]
    if len(conditional) == 1 and not where:
        return [{"op": "set_field", "step": conditional[0].id, "field": "if", "value": None}]
    return part.ask("Which condition is removed?")


def without_any_more(tokens: list[Token]) -> list[Token]:
    """`tokens` without `any more` at their end."""
    for at in range(len(tokens)):
        if (taken := words_at(tokens, at, *_ANY_MORE)) and at + taken == len(tokens):
            return tokens[:at]
    return tokens
