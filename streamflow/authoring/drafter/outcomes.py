"""What a phrase says of how a step ended: `nobody answers`, `they approve it`, `that fails`."""

from __future__ import annotations

import re

from streamflow.authoring.drafter.stems import content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens, wordset

ASKED = frozenset({"approved", "rejected", "timeout"})
_SILENT = re.compile(
    r"\b(nobody|noone|no one|none|nothing|neither)\b"
    r"|\bno (answer|response|reply|decision|reaction|one)\b"
    r"|\bnot( \w+)? (answer|respond|reply|react|decide|come|arrive|happen)\w*\b"
    r"|\btim(es?|ed) out\b|\btoo late\b|\bnot in time\b|\btime is (up|over)\b|\btimeout\b"
)
_NO = re.compile(r"\b(reject|declin|refus|den(y|ies|ied)|disapprov|disagree)\w*\b|\bsa(y|ys|id) no\b|^no$")
_YES = re.compile(r"\b(approv|agree|accept|confirm|allow)\w*\b|\bsa(y|ys|id) yes\b|^yes$|\bok(ay)?\b")
_SAID_NO = re.compile(r"\bsa(y|ys|id) no\b|^no$")  # a negation that is itself the answer
_EITHER = re.compile(r"^(approve|agree|accept|confirm|allow|reject|decline|refuse|deny|disapprove|disagree)(s?)\b")
_NOBODY = re.compile(r"\b(nobody|noone|no one|none|neither)\b")
_FAILED = re.compile(r"\bfail(s|ed|ure)?\b|\bgoes wrong\b|\bwent wrong\b|\bnot( \w+)? (work|succeed)\w*\b|\berrors?\b")
_DONE = re.compile(r"\b(succeeds?|succeeded|works|worked)\b")
_NEGATION = re.compile(r"\b(not|no|never|nobody|noone|none|neither|nothing)\b")
_COMES = re.compile(
    r"\b(it|that|one|this|they|something) (does |do |did |has |have )?(c[oa]mes?|arrived?s?|happens?)\b"
)
_FILLERS = {
    stem(word)
    for word in wordset(
        "nobody noone none nothing neither no not answer answers response reply decision reaction respond "
        "decide react come arrive happen time late timeout over reject decline refuse deny say yes approve "
        "agree accept confirm allow ok okay fail failure wrong goes went work works succeed error still yet "
        "anybody anyone they never everybody team people person receive "
    )
}


def parts_of(tokens: Tokens) -> list[list[Token]]:
    """`tokens` divided at `or`, `nor` and commas."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.is_in({"or", "nor", ",", "either"}):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def is_negated(tokens: Tokens) -> bool:
    """Whether a phrase says that something is not so."""
    return bool(_NEGATION.search(_plain(tokens)))


def is_complement(tokens: Tokens) -> bool:
    """Whether a phrase says one thing that is not so, and so all others: `they do not approve it`."""
    return len(parts_of(tokens)) == 1 and is_negated(tokens)


def answer_of(tokens: Tokens, about: frozenset[str]) -> frozenset[str] | None:
    """The outcomes of an approval that `tokens` name; None if they say something else. `about` are stems that may
    stand beside it."""
    found: frozenset[str] = frozenset()
    parts = parts_of(tokens)
    if not all(_only(part, about) for part in parts):
        return None
    if _is_neither(parts):
        return frozenset({"timeout"})
    for part in parts:
        text = _plain(part)
        denied = is_negated(part)
        if _YES.search(text):
            found |= (ASKED - {"approved"}) if denied else {"approved"}
        elif _NO.search(text):
            found |= (ASKED - {"rejected"}) if _NEGATION.search(_SAID_NO.sub("", text)) else {"rejected"}
        elif _SILENT.search(text):
            found |= {"timeout"}
        else:
            return None
    return found or None


def _is_neither(parts: list[list[Token]]) -> bool:
    """Whether one negation holds for a yes and a no: `nobody approves or rejects it`."""
    if len(parts) != 2 or not is_negated(parts[0]) or is_negated(parts[1]):
        return False
    first, second = (_plain(part) for part in parts)
    both = any(yes.search(first) and no.search(second) for yes, no in ((_YES, _NO), (_NO, _YES)))
    answer = _EITHER.search(second)
    return both and answer is not None and (not answer[2] or bool(_NOBODY.search(first)))


def waited_of(tokens: Tokens, about: frozenset[str]) -> frozenset[str] | None:
    """`timeout` or `came`, if `tokens` say so of a wait; None if they say something else."""
    text = _plain(tokens)
    if not _only(tokens, about):
        return None
    if _SILENT.search(text) or is_negated(tokens):
        return frozenset({"timeout"})
    return frozenset({"came"}) if _COMES.search(text) else None


def done_of(tokens: Tokens, about: frozenset[str]) -> frozenset[str] | None:
    """`failure` or `done`, if `tokens` say so of a call; None if they say something else."""
    text = _plain(tokens)
    if not _only(tokens, about):
        return None
    if _FAILED.search(text):
        return frozenset({"failure"})
    return frozenset({"done"}) if _DONE.search(text) and not is_negated(tokens) else None


def _plain(tokens: Tokens) -> str:
    return " ".join(token.lower for token in tokens if token.kind == "word")


def _only(tokens: Tokens, about: frozenset[str]) -> bool:
    """Whether nothing else is said: every word that says something is about the outcome, or in `about`."""
    if any(token.kind in ("number", "quoted") for token in tokens):
        return False
    return all(stem(token.lower) in _FILLERS | about for token in content(tokens))
