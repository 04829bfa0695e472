"""Lengths of time and numbers as people write them: `30 minutes`, `two weeks`, `half an hour`, `1 day and 12 hours`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamflow.authoring.drafter.tokens import Token, Tokens, words_at
from streamflow.definition.duration import PATTERN, format_ms, parse_ms

_UNITS_MS = {
    "second": 1000, "sec": 1000, "s": 1000, "minute": 60_000, "min": 60_000, "m": 60_000, "hour": 3_600_000,
    "hr": 3_600_000, "h": 3_600_000, "day": 86_400_000, "d": 86_400_000, "week": 604_800_000, "w": 604_800_000,
    "millisecond": 1, "ms": 1,
}  # fmt: skip
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
_NUMBERS |= {
    "fifteen": "15",
    "twenty": "20",
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "ninety": "90",
}
_NUMBERS |= {"a": "1", "an": "1"}
_LONGEST_MS = 3650 * 86_400_000  # what a definition allows

# What stands before a limit, longest first.
_LIMITS = (
    "but not longer than", "but no longer than", "for not longer than", "for no longer than", "not longer than",
    "no longer than", "not more than", "no more than", "for a maximum of", "for at most", "at most", "for up to",
    "up to", "within the next", "within", "for max", "max", "in less than", "for",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length:
    """A length of time, and how many tokens it takes."""

    text: str  # as definitions have it, such as 30m
    tokens: int


def number_at(tokens: Tokens, at: int) -> str | None:
    """The number at `at`, in digits or as a word; None for none."""
    if at >= len(tokens):
        return None
    token = tokens[at]
    return token.lower if token.kind == "number" else _NUMBERS.get(token.lower) if token.kind == "word" else None


def length_at(tokens: Tokens, at: int) -> Length | None:
    """The length of time at `at`, at most ten years; None for none."""
    total, place = 0, at
    while (found := _part_at(tokens, place)) is not None:
        ms, taken = found
        total, place = total + ms, place + taken
        if place < len(tokens) and tokens[place].is_in({"and"}) and _part_at(tokens, place + 1) is not None:
            place += 1
    return Length(format_ms(total), place - at) if place > at and 0 < total <= _LONGEST_MS else None


def limit_at(tokens: Tokens, at: int) -> Length | None:
    """The limit at `at`, such as `within 30 minutes`, counted with the words before it; None for none."""
    before = words_at(tokens, at, *_LIMITS)
    if not before:
        return None
    length = length_at(tokens, at + before)
    return Length(length.text, before + length.tokens) if length is not None else None


def without_limit(tokens: Tokens) -> tuple[list[Token], str | None]:
    """`tokens` without the first limit in them, and that limit."""
    for at in range(len(tokens)):
        found = limit_at(tokens, at)
        if found is not None:
            return [*tokens[:at], *tokens[at + found.tokens :]], found.text
    return list(tokens), None


def parted_at_limit(tokens: Tokens) -> tuple[list[Token], str | None, list[Token]]:
    """What stands before the first limit in `tokens`, that limit, and what stands after it."""
    for at in range(len(tokens)):
        found = limit_at(tokens, at)
        if found is not None:
            return list(tokens[:at]), found.text, list(tokens[at + found.tokens :])
    return list(tokens), None, []


def _part_at(tokens: Tokens, at: int) -> tuple[int, int] | None:
    if at >= len(tokens):
        return None
    if words_at(tokens, at, "half an"):
        unit = _unit(tokens[at + 2].lower) if at + 2 < len(tokens) else None
        return (unit // 2, 3) if unit else None
    token = tokens[at]
    if token.kind == "word" and re.fullmatch(PATTERN, token.lower):
        return parse_ms(token.lower), 1
    number = number_at(tokens, at)
    unit = _unit(tokens[at + 1].lower) if number is not None and at + 1 < len(tokens) else None
    if number is None or unit is None or len(number) > 12:
        return None
    return int(float(number) * unit), 2


def _unit(word: str) -> int | None:
    return _UNITS_MS.get(word) or _UNITS_MS.get(word.removesuffix("s"))
