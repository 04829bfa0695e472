"""New steps in a draft: `after X also do Y`, `before X do Y`, `if nobody answers, do Y`, `between X and Y do Z`."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.authoring.drafter.clauses import starts_action
from streamflow.authoring.drafter.tokens import Token, Tokens, wordset
from streamflow.authoring.editor.part import Changes, Part
from streamflow.authoring.editor.payload import Payload, payload
from streamflow.authoring.editor.places import Place, is_place, place_at

WHEN = ("as soon as", "every time", "each time", "whenever", "when", "once", "if", "in case")
_FIRST = ("at the very beginning", "at the beginning", "at the start", "at first", "before everything else", "first")

_INSIDE = wordset("the a an to is are was be been has and or not")


def inserted(part: Part) -> Changes | None:
    """The operations of an edit that adds steps; None if it is none."""
    if (taken := part.begins("between")) or part.find("between"):
        return _between(part, taken)
    if taken := part.begins("before"):
        return _in_front(part, *_divided(part, taken))
    if taken := part.begins("after"):
        place, rest = _divided(part, taken)
        return _behind(part, place, rest)
    if taken := part.begins(*WHEN):
        place, rest = _divided(part, taken)
        return _behind(part, place, rest)
    if taken := part.begins(*_FIRST):
        return _at_first(part, part.tokens[taken:])
    for head, put in (("before", _in_front), ("after", _behind)):
        if (found := part.find(head)) is not None and found[0] > 0:
            place = part.tokens[found[1] :]
            return put(part, place, part.tokens[: found[0]])
    if (found := part.find(*WHEN)) is not None and found[0] > 0:
        return _behind(part, part.tokens[found[1] :], part.tokens[: found[0]])
    if (found := part.find(*_FIRST)) is not None and found[0] > 0 and found[1] == len(part.tokens):
        return _at_first(part, part.tokens[: found[0]])
    return None


def added(new: Payload) -> Changes:
    """The operations that add these steps."""
    return [{"op": "add_step", "step": step} for step in new.steps]


def _divided(part: Part, taken: int) -> tuple[list[Token], list[Token]]:
    """The place that stands after a preposition, and what is done there."""
    tokens = part.tokens[taken:]
    comma = next((at for at, token in enumerate(tokens) if at and token.is_in({","})), None)
    if comma is not None and is_place(part, tokens[:comma]):
        return tokens[:comma], tokens[comma + 1 :]
    for at in range(1, comma or len(tokens)):
        spoken = starts_action(tokens[at], part.scene.vocabulary) and not tokens[at - 1].is_in(_INSIDE)
        if (spoken or _gap_before(part, tokens, at)) and (comma is None or is_place(part, tokens[:at])):
            return tokens[:at], tokens[at:]
    return (tokens, []) if comma is None else (tokens[:comma], tokens[comma + 1 :])


def _gap_before(part: Part, tokens: Tokens, at: int) -> bool:
    """Whether `also` stood before this token: a place ends there."""
    between = part.notes.sentence[tokens[at - 1].end : tokens[at].start].lower()
    return "also" in between or "additionally" in between


def _behind(part: Part, place: Sequence[Token], rest: Sequence[Token]) -> Changes | None:
    if not rest:
        return part.ask(f"What should be done: `{part.said()}`?")
    found = place_at(part, place)
    if found is None:
        return []
    following = part.scene.followers(found.needs)
    new = payload(part, rest, found.needs, _done(part, found), found.reason)
    if new is None:
        return []
    if following and found.decided and not part.also:
        return _instead_or_also(part, found, rest)
    if not new.steps:
        return part.ask(f"Nothing is done already, or `{part.said(rest)}` is unclear. What should change?", rest)
    if not following or part.also or found.decided:
        return added(new)
    if any("call" in step or "approval" in step for step in new.steps):
        return _before_or_also(part, following[0].id, rest)
    changes = added(new)
    for step in following:
        changes += rewired(part, step.id, found.needs, new.on)
    return changes


def _in_front(part: Part, place: Sequence[Token], rest: Sequence[Token]) -> Changes | None:
    if not rest:
        return part.ask(f"What should be done: `{part.said()}`?")
    target = part.naming.one(place, "is meant")
    if target is None:
        return []
    new = payload(part, rest, target.needs, part.scene.done_before(target.id), "")
    if new is None:
        return []
    if not new.steps or not new.on:
        return part.ask(f"After `{part.said(rest)}` nothing would lead to `{target.id}`. What is meant?", rest)
    if not target.needs:
        first, *others = new.steps
        changes: Changes = [{"op": "insert_between", "step": first, "before": target.id}]
        changes += [{"op": "add_step", "step": step} for step in others]
        return changes + rewired(part, target.id, None, new.on)
    if target.join == "any" and len(target.needs) > 1:
        new.steps[0]["join"] = "any"
    elif len(target.needs) > 1:
        new.steps[0].pop("join", None)
    return added(new) + rewired(part, target.id, target.needs, new.on)


def _between(part: Part, taken: int) -> Changes | None:
    at = part.find("between")
    assert at is not None
    place = part.tokens[at[1] :]
    rest = part.tokens[: at[0]]
    if taken:
        place, rest = _divided(part, taken)
    joint = next((number for number, token in enumerate(place) if token.is_in({"and"})), None)
    if joint is None or not rest or any(token.kind == "number" for token in place):
        return None
    before, after = part.naming.one(place[:joint], "is meant"), part.naming.one(place[joint + 1 :], "is meant")
    if before is None or after is None:
        return []
    needs = [need for need in after.needs if need.partition(".")[0] == before.id]
    if len(needs) != 1:
        return part.ask(f"`{after.id}` does not come directly after `{before.id}`. Where should it be done?", place)
    new = payload(part, rest, needs, part.scene.done_at(needs[0]), "")
    if new is None:
        return []
    if not new.steps or not new.on:
        return part.ask(f"After `{part.said(rest)}` nothing would lead to `{after.id}`. What is meant?", rest)
    return added(new) + rewired(part, after.id, needs, new.on)


def _at_first(part: Part, rest: Sequence[Token]) -> Changes | None:
    roots = [step for step in part.scene.steps.values() if not step.needs]
    new = payload(part, rest, (), frozenset(), "")
    if new is None or not roots:
        return []
    if not new.steps or not new.on:
        return part.ask(f"After `{part.said(rest)}` nothing would follow. What is meant?", rest)
    first, *others = new.steps
    changes: Changes = [{"op": "insert_between", "step": first}]
    changes += [{"op": "add_step", "step": step} for step in others]
    if new.on != (first["id"],):
        for step in roots:
            changes += rewired(part, step.id, None, new.on)
    return changes


def rewired(part: Part, id_: str, old: Sequence[str] | None, new: Sequence[str]) -> Changes:
    """The operations by which a step has the needs `new` in the place of `old` (None: all that it has)."""
    step = part.scene.steps[id_]
    had = list(step.needs)
    replaced = had if old is None else [need for need in had if need in old]
    place = had.index(replaced[0]) if replaced else 0
    left = [need for need in had if need not in replaced]
    ahead = sum(need in left for need in had[:place])
    if left and len(new) > 1 and step.join != "any":
        return part.ask(f"`{id_}` needs all of several steps, and would need one of several others. What is meant?")
    needs = list(dict.fromkeys([*left[:ahead], *new, *left[ahead:]]))
    changes: Changes = [{"op": "set_field", "step": id_, "field": "needs", "value": needs or None}]
    if not needs and not had:
        changes = []
    wanted = "any" if len(needs) > 1 and (step.join == "any" or len(left) == 0) else None
    if wanted and step.join != "any":
        changes.append({"op": "set_field", "step": id_, "field": "join", "value": "any"})
    elif step.join == "any" and len(needs) < 2:
        changes.append({"op": "set_field", "step": id_, "field": "join", "value": None})
    return changes


def _done(part: Part, place: Place) -> frozenset[str]:
    return frozenset.intersection(*(part.scene.done_at(need) for need in place.needs))


def _instead_or_also(part: Part, place: Place, rest: Sequence[Token]) -> Changes:
    """A question: something is done there already."""
    names = [step.id for step in part.scene.followers(place.needs)]
    end = (rest[-1].end, rest[-1].end)
    choices = [part.notes.instead((rest[0].start, rest[0].start), "also ", "as well")]
    choices += [part.notes.instead(end, f" instead of {name}", f"instead of `{name}`") for name in names]
    followers = ", ".join(f"`{name}`" for name in names)
    text = f"`{place.reason}` leads to {followers} already. Is `{part.said(rest)}` done as well, or instead?"
    part.notes.ask("ambiguous", text, part.tokens, choices)
    return []


def _before_or_also(part: Part, following: str, rest: Sequence[Token]) -> Changes:
    """A question: whether what follows waits for it."""
    said = part.said(rest)
    whole = (part.tokens[0].start, part.tokens[-1].end)
    choices = [
        part.notes.instead((rest[0].start, rest[0].start), "also ", "at the same time"),
        part.notes.instead(whole, f"before {following}, {said}", f"`{following}` comes after it, if it goes well"),
    ]
    text = f"Does what follows, `{following}`, wait until `{said}` has gone well?"
    part.notes.ask("ambiguous", text, part.tokens, choices)
    return []
