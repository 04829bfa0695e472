"""Numbers that are not written as one in digits: `1.000` and `2,5` mean one thing in one language, another in the next,
and `1 million` and `10 000` are several words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from streamflow.authoring.drafter.fields import CURRENCIES
from streamflow.authoring.drafter.lengths import number_at
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.tokens import Token, Tokens, wordset

_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SHORT = {"k": 1000, "mio": 10**6, "mln": 10**6, "mn": 10**6, "bn": 10**9, "dozen": 12}
_FACTORS = _LARGE | _SHORT
_WHOLE = frozenset({*_LARGE, *(f"{one}s" for one in _LARGE)})  # a number even without another before it
_TENS = wordset("twenty thirty forty fifty sixty seventy eighty ninety")
_UNITS = wordset("one two three four five six seven eight nine")
_APART = frozenset({"'", "\u2019"})  # between groups of digits
_DIGITS = 15
_POINT = re.compile(r"[1-9]\d{0,2}\.\d{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A number that may be several, or that is written with a comma where a point is expected."""

    start: int  # its first character in the text
    end: int  # the one after its last
    meanings: tuple[str, ...]  # each written so that it means one number


def ask_about_numbers(notes: Notes, tokens: Tokens) -> bool:
    """Note a question about each number of `tokens` that may mean several; whether there is one."""
    found = list(_unclear(notes.sentence, tokens))
    for one in found:
        said = notes.sentence[one.start : one.end]
        choices = [notes.instead((one.start, one.end), meaning) for meaning in one.meanings]
        text = f"Is `{said}` {' or '.join(one.meanings)}?" if choices else f"Which number is `{said}`, in digits?"
        notes.ask("ambiguous", text, (one.start, one.end), choices)
    return bool(found)


def with_numbers(tokens: Tokens) -> list[Token]:
    """`tokens` with one token for each number of several words that has one meaning: `1 million`, `10 000`."""
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        several = None if _after_comma(tokens, at) is not None else _of_several(tokens, at)
        if several is None or not several[1].meanings:
            end = at + 1 if several is None else several[0]
            found += tokens[at:end]
        else:
            end, one = several
            (number,) = one.meanings
            found.append(Token(text=number, lower=number, kind="number", start=one.start, end=one.end))
        at = end
    return found


def _unclear(text: str, tokens: Tokens) -> Iterator[Unclear]:
    until = 0  # where the last one ended
    for at, token in enumerate(tokens):
        if at < until:
            continue
        if (fraction := _after_comma(tokens, at)) is not None:
            several = _of_several(tokens, at + 2)
            until = at + 3 if several is None else several[0]
            meaning = f"{token.lower.replace('.', '')}.{fraction.text}"
            yield Unclear(start=token.start, end=tokens[until - 1].end, meanings=(meaning,) if several is None else ())
        elif (found := _of_several(tokens, at)) is not None:
            until, unclear = found
            yield unclear
        elif token.kind != "number":
            continue
        elif _POINT.fullmatch(token.text):
            whole, _, rest = token.text.partition(".")
            decimals = rest.rstrip("0")
            meanings = (whole + rest, f"{whole}.{decimals}" if decimals else whole)
            yield Unclear(start=token.start, end=token.end, meanings=meanings)


def _of_several(tokens: Tokens, at: int) -> tuple[int, Unclear] | None:
    """The number of several words at `at`, and where it ends: `1 million`, `two hundred`, `10 000`."""
    if number_at(tokens, at) is None and not tokens[at].is_in(_WHOLE):
        return None
    end = at + 1
    while end < len(tokens) and _continues(tokens, end):
        end += 1
    if end == at + 1 and not tokens[at].is_in(_WHOLE):
        return None
    before = tokens[at - 1] if at else None
    partial = before is not None and before.is_in({"half", "quarter"})
    partial = partial or (before is not None and before.is_in({",", "."}) and before.end == tokens[at].start)
    value = None if partial else _value(tokens[at:end])
    meanings = (f"{value:f}",) if value is not None else ()
    return end, Unclear(start=tokens[at].start, end=tokens[end - 1].end, meanings=meanings)


def _continues(tokens: Tokens, at: int) -> bool:
    """Whether the token at `at` belongs to the number before it."""
    before, token = tokens[at - 1], tokens[at]
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    if token.is_in(_WHOLE | _SHORT.keys()) or (token.is_in({"m"}) and after is not None and after.lower in CURRENCIES):
        return True
    if token.lower in _APART:
        joined = after is not None and (before.end, token.end) == (token.start, after.start)
        return joined and after is not None and before.kind == after.kind == "number"
    if token.kind == "number":
        return before.kind == "number" or before.lower in _APART or before.is_in(_WHOLE)
    return token.is_in(_UNITS) and before.is_in(_TENS | _WHOLE)


def _value(tokens: Tokens) -> Decimal | None:
    """What a number and one word, or groups of three digits, mean; None for anything else."""
    first, *others = (token for token in tokens if token.lower not in _APART)
    number = number_at(tokens, 0)
    if number is None or _POINT.fullmatch(first.text):
        return None
    if len(others) == 1 and others[0].lower in _FACTORS:
        value = Decimal(number) * _FACTORS[others[0].lower]
        return value.to_integral_value() if value == value.to_integral_value() else None
    groups = [token.text for token in others]
    whole = first.text.isdigit() and len(first.text) <= 3 and not first.text.startswith("0")
    if not whole or not all(len(one) == 3 and one.isdigit() for one in groups) or len(groups) * 3 >= _DIGITS:
        return None
    return Decimal("".join([first.text, *groups]))


def _after_comma(tokens: Tokens, at: int) -> Token | None:
    """The digits of `2,5` behind the comma."""
    if at + 2 >= len(tokens):
        return None
    token, comma, after = tokens[at : at + 3]
    joined = comma.lower == "," and comma.kind == "mark" and (token.end, comma.end) == (comma.start, after.start)
    return after if token.kind == after.kind == "number" and joined and after.text.isdigit() else None
