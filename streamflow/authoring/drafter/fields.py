"""The fields that a phrase may mean: of the event that started the run, of awaited events, of outputs of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.authoring.drafter.stems import alike, stem, stems_of
from streamflow.authoring.drafter.tokens import wordset
from streamflow.definition.graph_check import RESERVED
from streamflow.definition.schema_shape import Shape, shape_of, types_of

_MONEY = {stem(word) for word in wordset("amount price total sum value cost fee worth payment")}
CURRENCIES = {
    "euro": "eur", "euros": "eur", "eur": "eur", "€": "eur", "dollar": "usd", "dollars": "usd", "usd": "usd",
    "$": "usd", "pound": "gbp", "pounds": "gbp", "gbp": "gbp", "£": "gbp", "franc": "chf", "francs": "chf",
    "chf": "chf",
}  # fmt: skip
CENTS = frozenset({"cent", "cents"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A declared field, and how an expression reads it."""

    root: str  # `event`, `trigger`, or `steps.<id>`
    path: tuple[str, ...]
    shape: Shape
    pattern: str | None  # of its texts
    required: bool  # it is there wherever the root is
    stems: frozenset[str]  # of its name
    described: frozenset[str]  # of its title and description
    owner: frozenset[str]  # of what it is a field of

    @property
    def expr(self) -> str:
        """It as an expression reads it."""
        return _selected(self.root, self.path)

    @property
    def guard(self) -> str:
        """What to ask before it is read; empty if it is always there."""
        if self.required:
            return ""
        return " && ".join(_has(self.root, self.path[: end + 1]) for end in range(len(self.path)))

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def types(self) -> frozenset[str]:
        """Its JSON types beside null; empty when its schema does not say."""
        return types_of(self.shape) - {"null"}

    @property
    def is_number(self) -> bool:
        return bool(self.types) and self.types <= {"integer", "number"}

    @property
    def is_money(self) -> bool:
        """Whether it may be an amount of money."""
        return self.is_number and bool((self.stems & (_MONEY | {"cent"})) | (self.described & _CURRENCY_STEMS))

    @property
    def in_cents(self) -> bool:
        return "cent" in self.stems or "cent" in self.described

    @property
    def currency(self) -> str | None:
        """The currency that its name or description says, or None."""
        return next((CURRENCY_OF[one] for one in sorted(self.stems | self.described) if one in CURRENCY_OF), None)


CURRENCY_OF = {stem(word): code for word, code in CURRENCIES.items() if word.isalpha()}
_CURRENCY_STEMS = frozenset(CURRENCY_OF)


def fields_of(root: str, schema: Mapping[str, Any], owner: frozenset[str]) -> list[Field]:
    """The fields that `schema` declares, two levels deep, read below `root`."""
    return list(_fields(root, shape_of(schema), schema, (), owner, required=True))


def _fields(
    root: str,
    shape: Shape,
    schema: Mapping[str, Any],
    path: tuple[str, ...],
    owner: frozenset[str],
    *,
    required: bool,
) -> Iterable[Field]:
    declared = schema.get("properties")
    for name, part in shape.get("properties", {}).items():
        raw = declared.get(name) if isinstance(declared, Mapping) else None
        raw = raw if isinstance(raw, Mapping) else {}
        texts = " ".join(text for key in ("title", "description") if isinstance(text := raw.get(key), str))
        here = required and name in shape.get("required", ())
        yield Field(
            root=root,
            path=(*path, name),
            shape=part,
            pattern=raw["pattern"] if isinstance(raw.get("pattern"), str) else None,
            required=here,
            stems=stems_of(name.replace("_", " ").replace("-", " ")),
            described=stems_of(texts[:500]),
            owner=owner,
        )
        if not path and types_of(part) == {"object"}:
            yield from _fields(root, part, raw, (name,), owner | stems_of(name), required=here)


def meant(words: Sequence[str], fields: Iterable[Field]) -> list[Field]:
    """The fields that the stems `words` may mean: the best ones, all of the same score. Every word is in the name, the
    description or the owner of each, and at least one in its name or description."""
    if not words:
        return []
    scored: list[tuple[float, Field]] = []
    for field in fields:
        score, own = 0.0, False
        for one in words:
            if one in field.stems:
                score, own = score + 4, True
            elif alike(one) & field.stems:
                score, own = score + 3, True
            elif one in field.described:
                score, own = score + 1.5, True
            elif alike(one) & field.owner:
                score += 1
            else:
                own, score = False, -1.0
                break
        if own and score > 0:
            scored.append((score - 0.1 * len(field.path), field))
    best = max((score for score, _ in scored), default=0.0)
    return [field for score, field in scored if score > best - 0.05]


def _selected(root: str, path: Sequence[str]) -> str:
    text = root
    for name in path:
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in RESERVED
        text += f".{name}" if plain else f"[{quoted(name)}]"
    return text


def _has(root: str, path: Sequence[str]) -> str:
    last = path[-1]
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", last) and last not in RESERVED:
        return f"has({_selected(root, path)})"
    return f"{quoted(last)} in {_selected(root, path[:-1])}"


def quoted(text: str) -> str:
    """`text` as a literal of an expression."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in escaped) + "'"
