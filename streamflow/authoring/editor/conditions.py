"""Conditions: what starts a run (`only when the amount is above 1000 euros`), when a step is done (`ship it only if it
is fragile`), and the numbers in them (`raise the urgency from 4 to 5`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from streamflow.authoring.drafter.comparisons import negated, unread
from streamflow.authoring.drafter.conditions import read_condition
from streamflow.authoring.drafter.fields import CENTS, CURRENCIES, Field, fields_of
from streamflow.authoring.drafter.notes import CHOICES, no_field
from streamflow.authoring.drafter.stems import alike, content, stem, stems_of
from streamflow.authoring.drafter.tokens import Token, words_at, wordset
from streamflow.authoring.editor.part import Changes, Part
from streamflow.definition.catalog import EventSpec

_ONLY = (
    "only start when", "only start if", "only start for", "start only when", "start only if", "start only for",
    "start it only when", "start it only if", "start it only for", "start runs only for", "start a run only when",
    "start a run only if", "only run when", "only run if", "run only when", "run only if", "only if it is",
    "only when", "only if", "only for", "only with", "only from", "do this only when", "do this only if",
    "do this only for", "only do this for", "only do this when", "only do this if", "this is only for",
)  # fmt: skip
_BOUND = re.compile(
    r"(?P<left>(?:event|trigger|steps|item)(?:\.[A-Za-z_]\w*)+) (?P<sign>>=|<=|>|<|==|!=) (?P<right>[^&|()]+)"
)
_NUMBER = re.compile(r"(?P<left>[A-Za-z_][\w.]*) (?:>=|<=|>|<|==|!=) (?P<number>-?\d+(?:\.\d+)?)\b")
_UP, _DOWN = wordset("raise increase"), wordset("lower reduce decrease")
_LIMIT = ("limit", "threshold", "bound", "minimum", "maximum", "condition")
_LIMITING = wordset(
    "limit threshold bound minimum maximum condition points degrees value to from of the a an its is for in at"
)


def conditional(part: Part) -> Changes | None:
    """The operations of an edit of a condition; None if it is none."""
    if taken := part.begins(*_ONLY):
        return _start(part, part.tokens[taken:])
    for words, opposite in (("only if", False), ("only when", False), ("unless", True)):
        if (found := part.find(words)) is not None and found[0] > 0:
            return _step(part, part.tokens[: found[0]], part.tokens[found[1] :], opposite=opposite)
    if part.first == "only" and (found := part.find("if", "when")) is not None and found[0] > 1:
        return _step(part, part.tokens[1 : found[0]], part.tokens[found[1] :], opposite=False)
    if part.first == "only" and _is_condition(part, part.tokens[1:]):
        return _start(part, part.tokens[1:])
    return None


def done_unless(part: Part, what: list[Token], condition: list[Token]) -> Changes | None:
    """The operations by which a step is not done where a condition holds."""
    return _step(part, what, condition, opposite=True)


def _is_condition(part: Part, tokens: list[Token]) -> bool:
    """Whether `tokens` say nothing but which of the events that start a run are meant: `fragile orders`."""
    spec = part.scene.entry.spec
    assert isinstance(spec, EventSpec)
    found = read_condition(tokens, fields_of("event", spec.schema_, part.scene.entry.stems))
    return bool(found.atoms or found.unclear) and not unread(found, part.scene.entry.stems)


def _start(part: Part, tokens: list[Token]) -> Changes:
    triggers = part.scene.definition.on
    if len(triggers) != 1:
        return part.ask(f"The draft is started by {len(triggers)} events. To which does `{part.said()}` apply?")
    trigger = triggers[0]
    entry = next((one for one in part.scene.vocabulary.events if one.name == trigger.event), None)
    if entry is None or not isinstance(entry.spec, EventSpec):
        return part.ask(f"The catalog has no event `{trigger.event}`, so nothing says what it has. Add it there first.")
    expr = _read(part, tokens, fields_of("event", entry.spec.schema_, entry.stems), entry.stems)
    where = _merged(part, trigger.where, expr) if expr is not None else None
    if where is None:
        return []
    old = trigger.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [{"op": "set_trigger", "trigger": _in_order(old | {"where": where})}]


def _step(part: Part, what: list[Token], tokens: list[Token], *, opposite: bool) -> Changes | None:
    step = part.naming.one(what, "is meant")
    if step is None:
        return []
    expr = _read(part, tokens, part.scene.fields_at(part.scene.done_before(step.id)), part.scene.entry.stems)
    if expr is None:
        return []
    if any(need.partition(".")[0] == step.id for other in part.scene.steps.values() for need in other.needs):
        return part.ask(
            f"Other steps come after `{step.id}`, and would be skipped with it. What is done where it is not so?",
            tokens,
        )
    value = _merged(part, step.if_, negated(expr) if opposite else expr)
    return [] if value is None else [{"op": "set_field", "step": step.id, "field": "if", "value": value}]


def _read(part: Part, tokens: list[Token], fields: Sequence[Field], known: frozenset[str]) -> str | None:
    """The condition that `tokens` are; None after a question."""
    found = read_condition(tokens, fields)
    for one in found.unclear:
        choices = [part.notes.instead(one.tokens, text) for text in one.instead]
        part.notes.ask(
            "ambiguous", f"What is meant by `{part.said(list(one.tokens))}`: {one.why}?", one.tokens, choices
        )
    if found.unclear:
        return None
    left = unread(found, known)
    if left or not found.atoms:
        said = part.said(left or tokens)
        part.notes.ask("unknown", no_field(said), left or tokens)
        return None
    return found.expr


def _merged(part: Part, old: str | None, new: str) -> str | None:
    """`old` and `new`; a bound of `old` on the same side of the same field gives way. None after a question."""
    if old is None:
        return new
    fresh = {match["left"]: match for match in _BOUND.finditer(new)}
    kept: list[str] = []
    for one in old.split(" && ") if "||" not in old and "(" not in old else [old]:
        match = _BOUND.fullmatch(one.strip())
        same = next((fresh[name] for name in fresh if re.search(rf"\b{re.escape(name)}\b", one)), None)
        if same is None:
            kept.append(f"({one})" if "||" in one else one)
        elif match is None or match["sign"][0] != same["sign"][0] or match["sign"][0] not in "<>":
            part.ask(f"The condition has `{one}` already. What is the whole condition then?")
            return None
    return " && ".join([*kept, f"({new})" if "||" in new else new])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A number that something is compared with, in an expression of the draft."""

    step: str | None  # None: the trigger
    field: str
    expr: str
    start: int
    end: int
    name: str  # what is compared, such as `steps.score.score`
    known: Field | None  # what the catalog says of it

    @property
    def number(self) -> Decimal:
        return Decimal(self.expr[self.start : self.end])

    @property
    def in_cents(self) -> bool:
        return self.known.in_cents if self.known is not None else "cent" in stems_of(self.name.replace("_", " "))


def renumbered(part: Part) -> Changes | None:
    """The operations of an edit that changes a number in a condition; None if it is none."""
    if part.first not in _UP | _DOWN | {"change", "set", "make"}:
        return None
    to = part.find("to")
    at = part.find("from")
    if to is None:
        return None
    new, new_unit, end = _amount(part.tokens, to[1])
    old, old_unit, _ = _amount(part.tokens, at[1]) if at is not None else (None, "", 0)
    if new is None or end != len(part.tokens) or (at is not None and old is None):
        return None
    if part.first not in _UP | _DOWN and old is None and part.find(*_LIMIT) is None:
        return None  # the value of a field
    until = min(at[0] if at is not None else to[0], to[0])
    words = [token for token in part.tokens[1:until] if not token.is_in(_LIMITING)]
    unit = new_unit or old_unit
    found = [one for one in _places(part) if _is_about(part, one, words, unit)]
    if old is not None:
        found = [one for one in found if one.number == _scaled(old, old_unit or new_unit, one)]
    if not found:
        return None
    said = part.said()
    if len(found) > 1:
        names = [f"`{one.name}` in `{one.step or 'the trigger'}`" for one in found[:CHOICES]]
        return part.ask(f"`{said}` may be about {' or '.join(names)}. Which of them is meant?")
    one = found[0]
    if one.in_cents and not unit:
        choices = [part.notes.instead((part.tokens[-1].end,) * 2, f" {name}", name) for name in ("euros", "cents")]
        part.notes.ask("ambiguous", f"`{one.name}` is in cents. What is meant by `{new}`?", part.tokens, choices)
        return []
    value = _scaled(new, unit, one)
    if (part.first in _UP and value <= one.number) or (part.first in _DOWN and value >= one.number):
        return part.ask(f"The number in `{one.expr}` is {one.number}. Is it {value} afterwards?")
    return _written(part, one, f"{one.expr[: one.start]}{value.normalize():f}{one.expr[one.end :]}")


def _written(part: Part, one: _Place, expr: str) -> Changes:
    if one.step is not None:
        return [{"op": "set_field", "step": one.step, "field": one.field, "value": expr}]
    trigger = next(trigger for trigger in part.scene.definition.on if trigger.id == one.field)
    old = trigger.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [{"op": "set_trigger", "trigger": _in_order(old | {"where": expr})}]


def _in_order(trigger: dict[str, Any]) -> dict[str, Any]:
    return {name: trigger[name] for name in ("id", "event", "where", "key") if name in trigger}


def _places(part: Part) -> Iterator[_Place]:
    for trigger in part.scene.definition.on:
        spec = part.scene.catalog.event(trigger.event)
        fields = fields_of("event", spec.schema_, frozenset()) if spec is not None else []
        yield from _numbers(None, trigger.id, trigger.where, fields)
    for step in part.scene.steps.values():
        fields = part.scene.fields_at(part.scene.done_before(step.id))
        yield from _numbers(step.id, "if", step.if_, fields)
        for branch in step.choose or ():
            yield from _numbers(step.id, f"choose.{branch.id}.if", branch.if_, fields)
        for event in step.wait.events if step.wait is not None else ():
            spec = part.scene.catalog.event(event.event)
            own = fields_of("event", spec.schema_, frozenset()) if spec is not None else []
            yield from _numbers(step.id, f"wait.events.{event.id}.where", event.where, [*own, *fields])


def _numbers(step: str | None, field: str, expr: str | None, fields: Sequence[Field]) -> Iterator[_Place]:
    for match in _NUMBER.finditer(expr or ""):
        start, end = match.span("number")
        known = next((one for one in fields if one.expr == match["left"]), None)
        yield _Place(step=step, field=field, expr=expr or "", start=start, end=end, name=match["left"], known=known)


def _is_about(part: Part, one: _Place, words: Sequence[Token], unit: str) -> bool:
    stems = stems_of(one.name.replace("_", " ").replace(".", " "))
    if unit and not (
        one.known is not None
        and one.known.is_money
        and one.known.currency in (None, CURRENCIES.get(unit, one.known.currency))
    ):
        return False
    own = part.naming.words_of(part.scene.steps[one.step])[0] if one.step is not None else frozenset[str]()
    about = part.scene.entry.stems
    wanted = [stem(token.lower) for token in content(words)]
    return all(alike(each) & (stems | own | about) for each in wanted)


def _amount(tokens: Sequence[Token], at: int) -> tuple[Decimal | None, str, int]:
    """The number at `at`, its unit, and the token after it."""
    unit = ""
    if at < len(tokens) and tokens[at].lower in CURRENCIES:
        unit, at = tokens[at].lower, at + 1
    if at >= len(tokens) or tokens[at].kind != "number" or len(tokens[at].lower) > 15:
        return None, "", at
    number, at = Decimal(tokens[at].lower), at + 1
    if at < len(tokens) and (tokens[at].lower in CURRENCIES or tokens[at].lower in CENTS):
        unit, at = tokens[at].lower, at + 1
    elif taken := words_at(tokens, at, "points", "degrees", "pieces", "percent", "items"):
        at += taken
    return number, unit, at


def _scaled(number: Decimal, unit: str, one: _Place) -> Decimal:
    return number * 100 if one.in_cents and unit in CURRENCIES else number
