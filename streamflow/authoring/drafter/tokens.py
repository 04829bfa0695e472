"""A sentence as tokens, each with its place in the text: words, numbers, quoted texts and marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "number", "quoted", "mark"]

_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^'\n]*)'(?![A-Za-z])|"[^"\n]*"|\u201c[^\u201d\n]*\u201d|\u2018[^\u2019\n]*\u2019|`[^`\n]*`)
    |(?P<number>[1-9]\d{0,2}(?:\.\d{3}){2,}(?![\d.,]\d|\d)|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d])|\d+(?:\.\d+)?)
    |(?P<word>[^\W\d_][\w]*(?:[.'\u2019-]?[^\W_][\w]*)*)
    |(?P<mark>>=|<=|!=|==|[^\s\w])""",
    re.X,
)
_SHORTENED = {"dont": ("do", "not"), "doesnt": ("does", "not"), "didnt": ("did", "not"), "isnt": ("is", "not")}
_SHORTENED |= {"can't": ("can", "not"), "won't": ("will", "not"), "cannot": ("can", "not"), "it's": ("it", "is")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A part of a sentence."""

    text: str  # as it is written; of a quoted text what is between the quotes
    lower: str  # in small letters, without a possessive s
    kind: Kind
    start: int  # first character in the sentence
    end: int  # the one after its last

    def is_in(self, words: frozenset[str] | set[str]) -> bool:
        """Whether it is one of these words or marks, in small letters."""
        return self.kind != "quoted" and self.lower in words


Tokens = Sequence[Token]


def tokens_of(text: str) -> list[Token]:
    """The tokens of `text`. Shortened words are two: `isn't` gives is, not."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        written = match[0]
        start, end = match.span()
        if kind == "quoted":
            found.append(Token(text=written[1:-1], lower=written[1:-1].lower(), kind=kind, start=start, end=end))
            continue
        lower = written.lower().replace("\u2019", "'")
        if kind == "number":
            lower = lower.replace(".", "") if lower.count(".") > 1 else lower.replace(",", "")
        parts = _parts(lower) if kind == "word" else (lower,)
        found += [
            Token(text=written if len(parts) == 1 else part, lower=part, kind=kind, start=start, end=end)
            for part in parts
        ]
    return found


def _parts(lower: str) -> tuple[str, ...]:
    if lower in _SHORTENED:
        return _SHORTENED[lower]
    if lower.endswith("n't") and len(lower) > 3:
        return lower[:-3], "not"
    return (lower[:-2],) if lower.endswith("'s") and len(lower) > 2 else (lower,)


def wordset(text: str) -> frozenset[str]:
    """The words of `text`, which stand there with spaces between."""
    return frozenset(text.split())


def span_of(tokens: Tokens) -> tuple[int, int]:
    """The first character of `tokens` and the one after the last; (0, 0) of none."""
    return (tokens[0].start, tokens[-1].end) if tokens else (0, 0)


def phrase(text: str, tokens: Tokens) -> str:
    """`tokens` as they are written in `text`, on one line."""
    start, end = span_of(tokens)
    return " ".join(text[start:end].split())


def words_at(tokens: Tokens, at: int, *alternatives: str) -> int:
    """How many tokens the first of `alternatives` (words with spaces between) takes that stands at `at`; 0 for none."""
    for alternative in alternatives:
        wanted = alternative.split()
        there = tokens[at : at + len(wanted)]
        if len(there) == len(wanted) and all(
            one.kind != "quoted" and one.lower == word for one, word in zip(there, wanted, strict=True)
        ):
            return len(wanted)
    return 0
