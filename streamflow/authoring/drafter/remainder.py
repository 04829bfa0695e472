"""What is left of a phrase of which a part alone is understood: `within lunch` of `send a mail within lunch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamflow.authoring.drafter.lengths import length_at, limit_at, number_at
from streamflow.authoring.drafter.stems import STOP, content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens, words_at, wordset
from streamflow.authoring.drafter.vocabulary import Entry, Match

NEGATING = wordset("not never no nothing without nobody none neither nor except")
_LEADING = wordset(  # words with which what is said beside an action begins
    "within after before by for to in at on with from via using through over under of as until till during while every "
    "each again only once twice per because so and but without unless since about around no not never try attempt"
)
_LONGEST = 40  # words of a phrase in which a part is looked for
_MIDDLE = 12  # words of one in which it may stand in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """A phrase of which a part means `entry`."""

    entry: Entry
    part: list[Token]
    left: list[list[Token]]  # before it and behind it


def remainder(
    words: list[Token], meant: Callable[[list[Token]], list[Match]], subjects: frozenset[str]
) -> Remainder | None:
    """The longest part of `words` that means one entry alone, as `meant` has it, and what is left; None if there is
    none, or if what is left may be the object of the action or, being one of `subjects`, say which entry is meant."""
    for start, end in _parts(len(words)):
        part = words[start:end]
        left = [one for one in (words[:start], words[end:]) if one]
        whole = part[0] in content(part[:1]) and part[-1].lower not in STOP - {"it", "them"}
        if not left or not whole or not all(_is_beside(one) for one in left):
            continue
        found = meant(part)
        if any(stem(token.lower) in subjects for one in left for token in content(one)):
            continue
        if found and (len(found) == 1 or found[0].score - found[1].score >= 0.3):
            return Remainder(entry=found[0].entry, part=part, left=left)
    return None


def _parts(count: int) -> Iterator[tuple[int, int]]:
    """The parts of a phrase of so many words, the longest first."""
    for length in range(count - 1, 0, -1) if count <= _LONGEST else ():
        for start in range(count - length + 1):
            if count <= _MIDDLE or start in (0, count - length):
                yield start, start + length


def _is_beside(tokens: Tokens) -> bool:
    first = tokens[0]
    manner = first.kind == "word" and first.lower.endswith("ly") and len(first.lower) > 5
    return manner or first.is_in(_LEADING) or number_at([first], 0) not in (None, "1") or first.kind == "mark"


def denies(tokens: Tokens) -> bool:
    """Whether something is negated, so that without these words the opposite may be said."""
    return any(token.is_in(NEGATING) for token in tokens)


def losses(tokens: Tokens) -> list[list[Token]]:
    """The parts of `tokens` that nothing may drop unsaid: what is negated, limits, delays and counts."""
    found: list[list[Token]] = []
    at = 0
    while at < len(tokens):
        taken = _loss_at(tokens, at)
        if taken:
            found.append(list(tokens[at : at + taken]))
        at += max(taken, 1)
    return found


def _loss_at(tokens: Tokens, at: int) -> int:
    if tokens[at].is_in(NEGATING):
        return len(tokens) - at
    if (limit := limit_at(tokens, at)) is not None:
        return limit.tokens
    if tokens[at].is_in({"after", "in", "every", "each"}) and (length := length_at(tokens, at + 1)) is not None:
        return length.tokens + 1
    if tokens[at].is_in({"once", "twice"}):
        return 1
    if tokens[at].kind == "number" or words_at(tokens, at + 1, "times"):
        return 2 if at + 1 < len(tokens) else 1
    return 0
