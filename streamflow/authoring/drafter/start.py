"""What starts a process, in words, as an event of the catalog with a condition."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from streamflow.authoring.drafter.comparisons import Condition, unread
from streamflow.authoring.drafter.conditions import read_condition
from streamflow.authoring.drafter.fields import fields_of
from streamflow.authoring.drafter.lengths import limit_at, without_limit
from streamflow.authoring.drafter.outcomes import is_negated
from streamflow.authoring.drafter.stems import ARRIVING, alike, content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens, words_at, wordset
from streamflow.authoring.drafter.vocabulary import Entry, Vocabulary
from streamflow.definition.catalog import EventSpec

PEOPLE = wordset("somebody someone anybody anyone everybody everyone he she they we you who person people")
_AUXILIARY = wordset("has have had is are was were will would just finally already")
_SUBJECTS = wordset("it its no nobody none the neither they nothing there")


@dataclass(slots=True, kw_only=True)
class Absence:
    """An event that does not come in time."""

    tokens: list[Token]  # the events, without the words of negation
    within: str | None
    said: list[Token]


@dataclass(slots=True, kw_only=True)
class Start:
    """An event that may start the process, as a phrase has it."""

    entry: Entry
    score: float
    condition: Condition
    unread: list[Token]  # words of the phrase that this event does not explain


@dataclass(slots=True, kw_only=True)
class Parts:
    """A phrase about the start, divided."""

    event: list[Token]  # which event it is, with conditions on it
    others: list[list[Token]] = field(default_factory=list)  # further conditions
    absence: Absence | None = None


def parts_of_start(tokens: Tokens) -> Parts:
    """The parts of what stands after `when`."""
    pieces = _pieces(tokens)
    event, rest = pieces[0], pieces[1:]
    if is_negated(event):
        for at in range(len(event)):
            limit = limit_at(event, at)
            if limit is not None and at + limit.tokens < len(event):
                after = event[at + limit.tokens :]
                if after[0].is_in({"after", "since", "of", "from"}):
                    absence = Absence(tokens=without_negation(event[:at]), within=limit.text, said=list(event))
                    subject = [one for one in content(without_negation(event[:at])) if not one.lower.endswith("ed")]
                    return Parts(event=[*subject, *after[1:]], others=rest, absence=absence)
    parts = Parts(event=event)
    for piece in rest:
        bare, limit_text = without_limit(piece)
        if is_negated(piece) and parts.absence is None and limit_text is not None:
            parts.absence = Absence(tokens=without_negation(bare), within=limit_text, said=piece)
        else:
            parts.others.append(piece)
    return parts


def without_negation(tokens: Tokens) -> list[Token]:
    """`tokens` without the words that negate them."""
    return [token for token in tokens if not token.is_in({"not", "no", "never", "neither", "nobody", "none", "yet"})]


def starts(tokens: Tokens, vocabulary: Vocabulary, around: frozenset[str]) -> list[Start]:
    """The events that `tokens` may mean, the best first. `around` are stems of the rest of the text: of several events
    that fit as well, those that are about them come first."""
    found: list[Start] = []
    for entry in vocabulary.events:
        assert isinstance(entry.spec, EventSpec)
        fields = fields_of("event", entry.spec.schema_, entry.stems)
        condition = read_condition(tokens, fields)
        match = next((one for one in vocabulary.coming(condition.rest) if one.entry is entry), None)
        if match is not None:
            left = [one for one in unread(condition, frozenset()) if one.kind != "word" or one.is_in({"or", "nor"})]
            left += _deeds(tokens, entry)
            bonus = 0.25 if entry.subject & around else 0.0
            found.append(Start(entry=entry, score=match.score + bonus, condition=condition, unread=left))
            continue
        words = content(condition.rest)
        known = [token for token in words if alike(stem(token.lower)) & entry.named]
        if known:
            left = [
                token
                for token in condition.rest
                if token.kind in ("number", "quoted")
                or (token in words and token.lower not in ARRIVING and not alike(stem(token.lower)) & entry.stems)
            ]
            left = left or list(condition.rest)
            found.append(Start(entry=entry, score=len(known) - 10.0 * len(left), condition=condition, unread=left))
    return sorted(found, key=lambda one: (bool(one.unread or one.condition.unclear), -one.score))


def _deeds(tokens: Tokens, entry: Entry) -> list[Token]:
    """The verb of a phrase that says what somebody does (`somebody leaves`), if it is like the noun that the event is
    about (`leave.requested`) and nothing is said of what happens to that: they need not mean the same."""
    happens = entry.named - entry.subject
    if not happens or any(alike(stem(token.lower)) & happens for token in content(tokens)):
        return []
    return [
        verb
        for who, verb in pairwise(token for token in tokens if not token.is_in(_AUXILIARY))
        if who.is_in(PEOPLE) and verb.kind == "word" and alike(stem(verb.lower)) & entry.subject
    ]


def _pieces(tokens: Tokens) -> list[list[Token]]:
    """`tokens` divided at each `and` after which something else is said of the same."""
    pieces: list[list[Token]] = [[]]
    for at, token in enumerate(tokens):
        divides = token.is_in({"and", "but"}) and at + 1 < len(tokens) and tokens[at + 1].is_in(_SUBJECTS)
        divides = divides or (
            words_at(tokens, at, "and not", "but not") > 0 and without_limit(tokens[at:])[1] is not None
        )
        if divides and pieces[-1]:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [piece for piece in pieces if piece]
