"""What is said of the fields of an event or an operation: `with subject 'a' and body 'b'`, `with the topic as why`."""

from __future__ import annotations

import re

from streamflow.authoring.drafter.stems import stem, stems_of
from streamflow.authoring.drafter.tokens import Token, words_at
from streamflow.authoring.drafter.vocabulary import Entry
from streamflow.definition.catalog import EventSpec, OperationSpec
from streamflow.definition.schema_shape import shape_of


def divided(words: list[Token]) -> tuple[list[Token], list[Token]]:
    """What is done, and what is said of its fields after `with`."""
    at = next((place for place, token in enumerate(words) if token.is_in({"with", "where", "because"})), None)
    return (words, []) if at is None else (words[:at], words[at + 1 :])


def without_manner(words: list[Token]) -> tuple[list[Token], list[Token]]:
    """`words` without `by` and what follows, and that: a field may have the name of the preposition."""
    at = next((place for place, token in enumerate(words) if place and token.is_in({"by"})), None)
    return (words, []) if at is None or at + 1 == len(words) else (words[:at], words[at:])


def without_target(words: list[Token]) -> tuple[list[Token], str]:
    """`words` without `to` and what follows, and that."""
    at = next((place for place, token in enumerate(words) if place and token.is_in({"to"})), None)
    return (words, "") if at is None else (words[:at], " ".join(token.lower for token in words[at + 1 :]))


def target(words: list[Token], names: list[str]) -> dict[str, list[Token]]:
    """What is said after `to`, if there is a field of that name."""
    at = next((place for place, token in enumerate(words) if place and token.is_in({"to"})), None)
    if at is None or "to" not in names:
        return {}
    end = next((place for place in range(at, len(words)) if words[place].is_in({"with"})), len(words))
    return {"to": words[at + 1 : end]} if end > at + 1 else {}


def field_names(entry: Entry) -> list[str]:
    """The fields of its payload or input."""
    schema = entry.spec.schema_ if isinstance(entry.spec, EventSpec) else _input(entry.spec)
    return list(shape_of(schema).get("properties", {}))


def _input(spec: OperationSpec) -> dict[str, object]:
    return spec.input


def given(tokens: list[Token], names: list[str]) -> dict[str, list[Token]] | None:
    """What is said of fields: `subject 'a' and body 'b'`, by the names of the fields; None if it names none."""
    found: dict[str, list[Token]] = {}
    at = 0
    while at < len(tokens):
        at += words_at(tokens, at, "and") or words_at(tokens, at, ",")
        while at < len(tokens) and tokens[at].is_in({"a", "an", "the", "its"}):
            at += 1
        name, taken = _name_at(tokens, at, names)
        if name is None:
            behind = _named_behind(tokens, at, names)
            if behind is None:
                return None
            name, end, at_next = behind
            found[name] = tokens[at:end]
            at = at_next
            continue
        at += taken
        at += words_at(tokens, at, "set to", "equal to", "is", "as", "of", "to", "=", ":", "being")
        end = at
        while end < len(tokens) and not (
            tokens[end].is_in({"and", ","}) and end > at and _names_follow(tokens, end + 1, names)
        ):
            end += 1
        if end == at:
            return None
        found[name] = tokens[at:end]
        at = end
    return found


def _named_behind(tokens: list[Token], at: int, names: list[str]) -> tuple[str, int, int] | None:
    """The field of `the topic as why`, where its value ends, and what comes after it."""
    place = next((place for place in range(at + 1, len(tokens)) if tokens[place].is_in({"as", "and", ","})), None)
    if place is None or not tokens[place].is_in({"as"}):
        return None
    after = place + 1
    while after < len(tokens) and tokens[after].is_in({"a", "an", "the", "its"}):
        after += 1
    name, taken = _name_at(tokens, after, names)
    return None if name is None else (name, place, after + taken)


def _names_follow(tokens: list[Token], at: int, names: list[str]) -> bool:
    while at < len(tokens) and tokens[at].is_in({"a", "an", "the", "its", "and"}):
        at += 1
    return _name_at(tokens, at, names)[0] is not None or _named_behind(tokens, at, names) is not None


def _name_at(tokens: list[Token], at: int, names: list[str]) -> tuple[str | None, int]:
    """The field that is named at `at`, and how many tokens its name takes there."""
    for name in sorted(names, key=len, reverse=True):
        words = re.findall(r"[^\W_]+", name.lower())
        there = [token.lower for token in tokens[at : at + len(words)]]
        if at < len(tokens) and tokens[at].lower == name.lower():
            return name, 1
        if words and there == words:
            return name, len(words)
    if at < len(tokens) and tokens[at].kind == "word":
        alike = [name for name in names if stem(tokens[at].lower) in stems_of(name)]
        if len(alike) == 1:
            return alike[0], 1
    return None, 0
