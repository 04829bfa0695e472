"""The data of an event or the input of an operation: each field from what was said, or from what is known where the
step stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from streamflow.authoring.addresses import step_address
from streamflow.authoring.drafter.fields import CENTS, CURRENCIES, Field, meant, quoted
from streamflow.authoring.drafter.lengths import number_at
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.process import Do
from streamflow.authoring.drafter.stems import content, stems_in, stems_of
from streamflow.authoring.drafter.tokens import Token, wordset
from streamflow.definition.catalog import EventSpec
from streamflow.definition.schema_shape import Shape, shape_of, types_of

_WHO = wordset("by decided_by approved_by rejected_by approver reviewer decider who")
_WHY = wordset(
    "reason reasons note notes comment comments cause why message remark remarks text detail details explanation "
    "description"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known where a step stands."""

    fields: Sequence[Field]  # the newest first
    key_names: frozenset[str]  # names of fields that hold the business key
    decided: str | None  # the newest approval that people have decided
    reason: str  # why this way has ended, in words


@dataclass(slots=True)
class Filled:
    """The fields of one step. `missing` are those that have to be there and that nothing gives a value."""

    fields: list[dict[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def fill(node: Do, known: Known, notes: Notes) -> Filled:
    """The data of `node`. What is assumed is stated, what is missing asked."""
    return _Filling(node, known, notes).run()


def said_value(node: Do, name: str, tokens: list[Token], known: Known, notes: Notes) -> str | None:
    """The expression for what was said of one field of `node`; None, with a question in `notes`, if it is none."""
    filling = _Filling(node, known, notes)
    shape = filling.shape.get("properties", {}).get(name)
    return filling.said(name, shape, tokens) if shape is not None else None


class _Filling:
    def __init__(self, node: Do, known: Known, notes: Notes) -> None:
        self.node, self.known, self.notes = node, known, notes
        spec = node.entry.spec
        self.schema: Mapping[str, Any] = spec.schema_ if isinstance(spec, EventSpec) else spec.input
        self.shape = shape_of(self.schema)
        self.event = spec if isinstance(spec, EventSpec) else None

    def run(self) -> Filled:
        filled = Filled()
        required = self.shape.get("required", ())
        for name, shape in self.shape.get("properties", {}).items():
            expr = self._value(name, shape, required=name in required)
            if expr is not None:
                filled.fields.append({"name": name, "expr": expr})
            elif name in required:
                filled.missing.append(name)
                self._ask(name, shape)
        return filled

    def _value(self, name: str, shape: Shape, *, required: bool) -> str | None:
        if name in self.node.given:
            return self.said(name, shape, self.node.given[name])
        if self.node.constant is not None and self.node.constant[0] == name:
            return quoted(self.node.constant[1])
        fixed = self._fixed(name, shape)
        if fixed is not None:
            return fixed
        same = next(
            (one for one in self.known.fields if one.path == (name,) and one.required and _fits(one, shape)), None
        )
        if name in self.known.key_names and types_of(shape) <= {"string"}:
            return "run.key"
        if same is not None:
            return same.expr
        if not required:
            return None
        decision = self._decision(name, shape)
        return decision if decision is not None else self._assumed(name, shape)

    def _fixed(self, name: str, shape: Shape) -> str | None:
        """What the catalog itself says of a field: what distinguishes the event, its id, time and key."""
        values = shape.get("enum", ())
        if len(values) == 1 and isinstance(values[0], str):
            return quoted(values[0])
        if self.event is None:
            return None
        match = self.event.match
        if match is not None and match.path == name and match.equals is not None:
            equals = match.equals
            return quoted(equals) if isinstance(equals, str) else str(equals).lower()
        if self.event.id is not None and self.event.id.path == name:
            return f"run.id + {quoted('-' + self.node.id)}"
        if self.event.time is not None and self.event.time.path == name and types_of(shape) <= {"string"}:
            return "now"
        return "run.key" if self.event.key is not None and self.event.key.path == name else None

    def _decision(self, name: str, shape: Shape) -> str | None:
        """What people decided, or who did."""
        asked = self.known.decided
        if asked is None or not types_of(shape) <= {"string"}:
            return None
        if name in _WHO:
            return f"steps.{asked}.by"
        values = shape.get("enum")
        if name == "decision" and (values is None or {"approved", "rejected"} <= set(values)):
            return f"steps.{asked}.decision"
        return None

    def _assumed(self, name: str, shape: Shape) -> str | None:
        """A text for a field that only people read."""
        types, listed = types_of(shape), False
        if types == {"array"}:
            types, listed = types_of(shape.get("items", {})), True
        if types != {"string"} or "enum" in shape:
            return None
        if name in _WHO and not listed:
            expr, shown = "run.definition", "the name of this process"
        elif name in _WHY:
            expr, shown = quoted(self.known.reason), f"`{self.known.reason}`"
        else:
            return None
        self.notes.state_of(
            self.node.id, "assumed", f"`{name}` of `{self.node.entry.name}` is {shown}.", self.node.said
        )
        return f"[{expr}]" if listed else expr

    # -- what was said

    def said(self, name: str, shape: Shape, tokens: list[Token]) -> str | None:
        """The expression for `tokens`, which were said of the field `name`; None after a question."""
        expr = self._expression(shape, tokens)
        if expr is None:
            expr = self._of_same_name(name, shape, tokens) or self._described(name, shape, tokens)
        if expr is None:
            said = self.notes.said(tokens)
            self.notes.ask(
                "unknown", f"Which value is `{said}`, for `{name}`?", tokens, (), [step_address(self.node.id)]
            )
        return expr

    def _of_same_name(self, name: str, shape: Shape, tokens: list[Token]) -> str | None:
        """What `the reasons of the score` is: the field of that name of what is named."""
        owner = [one for word in content(tokens) for one in stems_in(word)]
        if not owner:
            return None
        found = [
            one
            for one in meant([*stems_of(name), *owner], self.known.fields)
            if one.name == name and one.required and _fits(one, shape)
        ]
        return found[0].expr if len(found) == 1 else None

    def _described(self, name: str, shape: Shape, tokens: list[Token]) -> str | None:
        """A word that the description of a field gives as a value: `rules`, where it is `rules, or who decided`."""
        words = content(tokens)
        if len(words) != 1 or "enum" in shape or types_of(shape) != {"string"}:
            return None
        declared = self.schema.get("properties")
        raw = declared.get(name) if isinstance(declared, Mapping) else None
        described = raw.get("description") if isinstance(raw, Mapping) else None
        known = re.findall(r"[^\W_]+", described.lower()) if isinstance(described, str) else []
        return quoted(words[0].lower) if words[0].lower in known else None

    def _expression(self, shape: Shape, tokens: list[Token]) -> str | None:
        at = next((place for place, one in enumerate(tokens) if one.is_in({"times", "*", "multiplied"})), None)
        if at is not None and 0 < at < len(tokens) - 1:
            sides = [self._expression(shape, part) for part in (tokens[:at], tokens[at + 1 :])]
            return None if None in sides else f"{sides[0]} * {sides[1]}"
        words = content(tokens)
        if len(tokens) == 1 and tokens[0].kind == "quoted":
            return quoted(tokens[0].text)
        if (number := _amount(tokens, shape)) is not None:
            return number
        for value in shape.get("enum", ()):
            if len(words) == 1 and isinstance(value, str) and words[0].lower == value.lower():
                return quoted(value)
        found = [
            one
            for one in meant([one for word in words for one in stems_in(word)], self.known.fields)
            if _fits(one, shape)
        ]
        exact = [one for one in found if len(words) == 1 and one.name == words[0].text]
        chosen = exact or found
        return chosen[0].expr if chosen and (len({one.name for one in chosen}) == 1) and chosen[0].required else None

    def _ask(self, name: str, shape: Shape) -> None:
        if any(question.addresses == (step_address(self.node.id),) for question in self.notes.questions()):
            return  # about what was said of it
        joint = "and" if self.node.given else "with"
        end = self.node.said[1]
        options = [quoted(value) for value in shape.get("enum", ()) if isinstance(value, str)]
        options += [one.name for one in self.known.fields if one.required and len(one.path) == 1 and _fits(one, shape)]
        choices = [
            self.notes.instead((end, end), f" {joint} {name} set to {option}", option)
            for option in dict.fromkeys(options)
        ]
        text = f"`{self.node.entry.name}` has to have `{name}`, and nothing says what it is. Which value is it?"
        self.notes.ask("value", text, self.node.said, choices, [step_address(self.node.id)])


def _fits(one: Field, shape: Shape) -> bool:
    """Whether a value of the field may be one of `shape`."""
    wanted, have = types_of(shape), one.types
    if not wanted or not have:
        return not wanted
    return have <= (wanted | {"integer"} if "number" in wanted else wanted)


def _amount(tokens: list[Token], shape: Shape) -> str | None:
    """A number with or without a currency; in cents where the unit is one and the field is whole."""
    rest = [token for token in tokens if not token.is_in({"a", "an", "the"})]
    numbers = [token for token in rest if token.kind == "number"]
    if len(numbers) != 1 or not types_of(shape) & {"integer", "number"}:
        return None
    others = [token for token in rest if token.kind != "number"]
    if any(token.lower not in CURRENCIES and token.lower not in CENTS for token in others):
        return None
    number = number_at(numbers, 0)
    return None if number is None else format(Decimal(number), "f")
