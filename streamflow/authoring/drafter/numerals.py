"""Numbers that people write in two ways: `1.000` and `2,5` mean one thing in one language, another in the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.tokens import Token, Tokens

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
        notes.ask("ambiguous", f"Is `{said}` {' or '.join(one.meanings)}?", (one.start, one.end), choices)
    return bool(found)


def _unclear(text: str, tokens: Tokens) -> Iterator[Unclear]:
    for at, token in enumerate(tokens):
        if token.kind != "number":
            continue
        if (fraction := _after_comma(tokens, at)) is not None:
            meaning = f"{token.lower.replace('.', '')}.{fraction.text}"
            yield Unclear(start=token.start, end=fraction.end, meanings=(meaning,))
        elif _POINT.fullmatch(token.text):
            whole, _, rest = token.text.partition(".")
            decimals = rest.rstrip("0")
            meanings = (whole + rest, f"{whole}.{decimals}" if decimals else whole)
            yield Unclear(start=token.start, end=token.end, meanings=meanings)


def _after_comma(tokens: Tokens, at: int) -> Token | None:
    """The digits of `2,5` behind the comma."""
    if at + 2 >= len(tokens):
        return None
    token, comma, after = tokens[at : at + 3]
    joined = comma.lower == "," and comma.kind == "mark" and (token.end, comma.end) == (comma.start, after.start)
    return after if joined and after.kind == "number" and after.text.isdigit() else None
