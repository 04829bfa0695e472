"""What is not done after an outcome, or under a condition: `if they reject it, do not block it`, `do not ship it if it
is fragile`."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.authoring.drafter.stems import content
from streamflow.authoring.drafter.tokens import Token, words_at
from streamflow.authoring.editor.conditions import done_unless
from streamflow.authoring.editor.insertion import WHEN, rewired
from streamflow.authoring.editor.part import Changes, Part
from streamflow.authoring.editor.places import Place, is_place, place_at
from streamflow.authoring.editor.removal import NOT, without_any_more, without_orphans

_ANYTHING = frozenset({"do", "anything", "it", "that", "this", "nothing"})


def denied(part: Part) -> Changes | None:
    """The operations of an edit by which something is not done there; None if it is something else."""
    found = _divided(part)
    if found is None:
        return None
    place, what = found
    if is_place(part, place):
        reached = place_at(part, place)
        return _not_after(part, reached, what) if reached is not None else []
    return done_unless(part, what, place) if len(part.naming.meant(what)) == 1 else None


def _divided(part: Part) -> tuple[list[Token], list[Token]] | None:
    """When it is not done, and what."""
    if taken := part.begins(*WHEN):
        comma = part.find(",", "then", start=taken)
        begin = comma[1] + words_at(part.tokens, comma[1], "then") if comma is not None else 0
        denying = words_at(part.tokens, begin, *NOT)
        if comma is None or not denying or comma[0] == taken:
            return None
        what = without_any_more(part.tokens[begin + denying :])
        return (part.tokens[taken : comma[0]], what) if what and not _is_whole(what) else None
    at = part.find(*NOT)
    if at is None:
        return None
    after = part.find(*WHEN, start=at[1])
    if at[0] > 0 or after is None or after[0] == at[1] or after[1] == len(part.tokens):
        return None
    what = part.tokens[at[1] : after[0]]
    return part.tokens[after[1] :], without_any_more(what)


def _is_whole(what: Sequence[Token]) -> bool:
    """Whether it is the run that is not gone on with: `stop the run`."""
    return all(token.is_in({"run", "process", "workflow"}) for token in content(what)) and bool(content(what))


def _not_after(part: Part, place: Place, what: Sequence[Token]) -> Changes:
    """What follows there goes, or its need of that way if it has others."""
    following = part.scene.followers(place.needs)
    if not following:
        return part.ask(f"Nothing is done already when `{place.reason or part.said()}`. What should change?")
    whole = all(token.is_in(_ANYTHING) for token in content(what))
    meant = following if whole else part.naming.meant(what, lambda step: step in following)
    if not meant and (others := part.naming.meant(what)):
        names = ", ".join(f"`{step.id}`" for step in others)
        return part.ask(f"{names} does not follow when `{place.reason or part.said()}`. What should change?")
    if len(meant) != 1:
        names = ", ".join(f"`{step.id}`" for step in following)
        choices = [part.notes.instead(what, step.id) for step in following]
        text = f"`{place.reason or part.said()}` leads to {names}. What of that is not done?"
        part.notes.ask("ambiguous", text, part.tokens, choices)
        return []
    step = meant[0]
    if step.join == "any" and set(step.needs) - set(place.needs):
        return rewired(part, step.id, [need for need in step.needs if need in place.needs], ())
    return without_orphans(part, [{"op": "remove_step", "step": step.id}])
