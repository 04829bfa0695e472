"""Another action in the place of one that there is: `if nobody answers, reject it instead of blocking it`; and another
value for a field: `close it with reason 'solved' instead of 'answered'`."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.authoring.drafter.fields import quoted
from streamflow.authoring.drafter.said_fields import given
from streamflow.authoring.drafter.tokens import Token
from streamflow.authoring.editor.insertion import rewired
from streamflow.authoring.editor.naming import fields_of
from streamflow.authoring.editor.part import Changes, Part
from streamflow.authoring.editor.payload import Payload, payload
from streamflow.authoring.editor.places import Place, place_at
from streamflow.authoring.editor.values import expression_of
from streamflow.definition.model import Step

_WHEN = ("as soon as", "whenever", "when", "once", "if", "in case", "after")


def replaced(part: Part) -> Changes | None:
    """The operations of an edit with `instead`; None if it is none."""
    sides = part.instead_of()
    if sides is None and part.tokens and part.tokens[-1].is_in({"instead"}):
        sides = part.tokens[:-1], []
    if sides is None and part.first == "replace" and (by := part.find("by", "with")) is not None and by[0] > 1:
        sides = part.tokens[by[1] :], part.tokens[1 : by[0]]
    if sides is None:
        return None
    new, old = list(sides[0]), list(sides[1])
    while new and new[-1].is_in({","}):
        new = new[:-1]
    place: Place | None = None
    if taken := part.begins(*_WHEN):
        comma = next((at for at, token in enumerate(new) if at > taken and token.is_in({","})), None)
        if comma is None:
            return part.ask(f"What is done instead, and when: `{part.said()}`? Set a comma between.")
        place = place_at(part, new[taken:comma])
        if place is None:
            return []
        new = new[comma + 1 :]
    elif (found := _last(new, *_WHEN[:6])) is not None:
        place = place_at(part, new[found[1] :])
        if place is None:
            return []
        new = new[: found[0]]
    if old and all(token.kind in ("quoted", "number") for token in old):
        return _other_value(part, new, old)
    step = _meant(part, place, old, new)
    if step is None:
        return []
    return _other_work(part, step, place, new)


def _last(tokens: list[Token], *phrases: str) -> tuple[int, int] | None:
    part = [at for at in range(1, len(tokens)) if tokens[at].is_in(set(phrases))]
    return (part[-1], part[-1] + 1) if part else None


def _meant(part: Part, place: Place | None, old: Sequence[Token], new: Sequence[Token]) -> Step | None:
    """The step in whose place something else is done; None after a question."""
    if place is None and not old:
        part.ask(f"What is replaced by `{part.said(new)}`? Say `do Y instead of X`.")
        return None
    if place is None:
        return part.naming.one(old, "is replaced")
    following = part.scene.followers(place.needs)
    meant = part.naming.meant(old, lambda step: step in following) if old else following
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(f"`{step.id}`" for step in following) or "nothing"
    part.ask(f"`{place.reason}` leads to {names}. Instead of what is `{part.said()}` done?")
    return None


def _other_work(part: Part, step: Step, place: Place | None, new: list[Token]) -> Changes:
    kept = [need for need in step.needs if place is not None and need not in place.needs]
    moved = [need for need in step.needs if need not in kept]
    done = [part.scene.done_at(need) for need in moved]
    known = frozenset[str]()
    if done:
        known = frozenset.intersection(*done) if step.join == "any" else frozenset().union(*done)
    freed = () if kept else (step.id,)
    made = payload(part, new, moved, known, place.reason if place is not None else "", freed)
    if made is None:
        return []
    following = [one for one in part.scene.steps.values() if _needs(one, step.id)]
    if not made.steps:
        return _nothing(part, step, kept, moved, following)
    if step.join == "any" and len(moved) > 1:
        made.steps[0]["join"] = "any"
    elif step.join == "all":
        made.steps[0].pop("join", None)
    if kept:
        if following:
            return part.ask(f"Other steps come after `{step.id}`. Do they come after `{part.said(new)}` too?")
        return [*rewired(part, step.id, moved, ()), *({"op": "add_step", "step": one} for one in made.steps)]
    return _in_place(part, step, made, following)


def _in_place(part: Part, step: Step, made: Payload, following: list[Step]) -> Changes:
    """The whole step is another one."""
    if any(need != step.id for one in following for need in one.needs if need.partition(".")[0] == step.id):
        return part.ask(
            f"Other steps come after outcomes of `{step.id}`, which would be gone. What comes after it then?"
        )
    first, *others = made.steps
    id_ = first["id"]
    changes: Changes = [{"op": "replace_step", "step": step.id, "with": {**first, "id": step.id}}]
    if id_ != step.id:
        changes.append({"op": "rename", "what": step.id, "to": id_})
    changes += [{"op": "add_step", "step": one} for one in others]
    if made.on != (id_,):
        for one in following:
            if not made.on:
                return part.ask(f"Nothing would lead to `{one.id}`. What comes before it then?")
            changes += _rewired_after(one, step.id, made.on)
    return changes


def _rewired_after(step: Step, old: str, new: Sequence[str]) -> Changes:
    needs = [one for need in step.needs for one in (new if need == old else [need])]
    changes: Changes = [{"op": "set_field", "step": step.id, "field": "needs", "value": list(dict.fromkeys(needs))}]
    if len(needs) > 1 and step.join != "any":
        changes.append({"op": "set_field", "step": step.id, "field": "join", "value": "any"})
    return changes


def _nothing(part: Part, step: Step, kept: list[str], moved: list[str], following: list[Step]) -> Changes:
    """Nothing is done there any more."""
    if following:
        return part.ask(f"Other steps come after `{step.id}`. What comes before them then?")
    if kept:
        return rewired(part, step.id, moved, ())
    return [{"op": "remove_step", "step": step.id}]


def _needs(step: Step, id_: str) -> bool:
    return any(need.partition(".")[0] == id_ for need in step.needs)


def _other_value(part: Part, new: list[Token], old: list[Token]) -> Changes | None:
    """`X with FIELD VALUE instead of VALUE`."""
    at = next((place for place, token in enumerate(new) if token.is_in({"with", "where"})), None)
    if at is None:
        return None
    return _set(part, new[:at], new[at + 1 :], old)


def valued(part: Part) -> Changes | None:
    """The operations of `set the reason of X to 'Y'`; None if it is something else."""
    if part.first not in {"set", "change"}:
        return None
    of, to = part.find("of"), part.find("to")
    if of is None or to is None or not 1 < of[0] < to[0] or to[1] == len(part.tokens):
        return None
    name, what, value = part.tokens[1 : of[0]], part.tokens[of[1] : to[0]], part.tokens[to[1] :]
    if not part.naming.meant(what, lambda step: bool(fields_of(step))):
        return None
    return _set(part, what, [*name, *value], [])


def _set(part: Part, what: list[Token], words: list[Token], old: list[Token]) -> Changes | None:
    def fits(step: Step) -> bool:
        fields = given(words, [one.name for one in fields_of(step)])
        if fields is None or len(fields) != 1:
            return False
        has = next(one.expr for one in fields_of(step) if one.name in fields)
        return not old or has in {quoted(old[0].text), old[0].lower}

    step = part.naming.one(what, "is meant", fits)
    if step is None:
        return []
    fields = given(words, [one.name for one in fields_of(step)])
    assert fields is not None
    ((name, value),) = fields.items()
    expr = expression_of(part, step, name, value)
    if expr is None:
        said = part.said(value)
        part.notes.ask("unknown", f"Which value is `{said}`, for `{name}`?", value)
        return []
    group = "emit.data" if step.emit is not None else "call.with"
    return [{"op": "set_field", "step": step.id, "field": f"{group}.{name}.expr", "value": expr}]
