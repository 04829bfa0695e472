"""The comparisons that a phrase holds, joined as it joins them, and what of it is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from streamflow.authoring.drafter.fields import Field
from streamflow.authoring.drafter.stems import content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """One comparison that a phrase holds."""

    expr: str
    start: int  # its first token in the phrase
    end: int  # the one after its last
    field: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A part of a condition that may mean several things. `instead` are texts that would be clear in its place."""

    tokens: Tokens
    why: str
    instead: tuple[str, ...]


@dataclass(slots=True)
class Condition:
    """What a phrase says of data."""

    atoms: list[Atom] = field(default_factory=list)
    rest: list[Token] = field(default_factory=list)  # the tokens that are no part of a comparison
    unclear: list[Unclear] = field(default_factory=list)
    expr: str = ""  # all atoms, joined as the phrase joins them; empty for none


def negated(expr: str) -> str:
    """The opposite of `expr`."""
    return f"!({expr})"


def joined(tokens: Tokens, atoms: Sequence[Atom]) -> str:
    groups: list[list[str]] = []  # of alternatives
    single: list[bool] = []  # whether a group is about one field
    for number, atom in enumerate(atoms):
        before = atoms[number - 1] if number else None
        between = tokens[before.end : atom.start] if before is not None else []
        if before is None or not any(token.is_in({"or", "nor"}) for token in between):
            groups.append([atom.expr])
            single.append(True)
        elif " != " in before.expr and " == " in atom.expr and before.field is atom.field:
            groups.append([atom.expr.replace(" == ", " != ")])  # neither the one nor the other
            single.append(True)
        else:
            groups[-1].append(atom.expr)
            single[-1] = single[-1] and before.field is atom.field
    if len(groups) == 1 or not all(single):
        return " && ".join(" || ".join(group) for group in groups)
    return " && ".join(f"({' || '.join(group)})" if len(group) > 1 else group[0] for group in groups)


def in_words(tests: list[tuple[str, Decimal]], unit: str) -> str:
    words = {
        ">": "above",
        "<": "below",
        ">=": "of at least",
        "<=": "of at most",
        "==": "of exactly",
        "!=": "other than",
    }
    return " and ".join(f"{words[sign]} {value.normalize():f} {unit}".strip() for sign, value in tests)


def unread(condition: Condition, known: frozenset[str]) -> list[Token]:
    """The words of a condition that say something and were not understood; `known` are stems that add nothing."""
    return [token for token in content(condition.rest) if stem(token.lower) not in known] + [
        token for token in condition.rest if token.kind in ("number", "quoted") or token.is_in({"or", "nor"})
    ]
