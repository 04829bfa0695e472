"""What the events and operations of a catalog may be called in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.authoring.drafter.stems import ARRIVING, alike, content, stem, stems_of
from streamflow.authoring.drafter.tokens import Token, wordset
from streamflow.definition.catalog import Catalog, EventSpec, OperationSpec
from streamflow.definition.schema_shape import shape_of

# Verbs for publishing and for calling, which need not be in the name of what is published or called.
PUBLISHING = wordset("publish emit announce report signal raise mark declare set flag send tell")
CALLING = wordset("call run do use execute make look get fetch find perform start check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event or operation with the stems of its words."""

    kind: Literal["event", "operation"]
    name: str
    spec: EventSpec | OperationSpec
    named: frozenset[str]  # stems of its name
    titled: frozenset[str]  # of its title
    constants: Mapping[str, tuple[str, str]]  # stem -> field and value of an enum that has it, of an event's data

    @property
    def stems(self) -> frozenset[str]:
        """All stems by which it may be called."""
        return self.named | self.titled | self.constants.keys()

    @property
    def subject(self) -> frozenset[str]:
        """The stems of the first part of its name: what it is about."""
        return stems_of(self.name.split(".")[0])


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that a phrase may mean. The better, the higher the score; `constant` is the field and value that the
    phrase names, if it names one."""

    entry: Entry
    score: float
    constant: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All entries of a catalog, in its order."""

    events: tuple[Entry, ...]
    operations: tuple[Entry, ...]
    verbs: frozenset[str] = field(default_factory=frozenset)  # stems with which an action may begin

    @classmethod
    def of(cls, catalog: Catalog) -> Vocabulary:
        """The vocabulary of `catalog`."""
        events = tuple(_entry("event", spec) for spec in catalog.events)
        operations = tuple(_entry("operation", spec) for spec in catalog.operations)
        verbs = frozenset(one for entry in (*events, *operations) for one in (*_verbs(entry), *entry.constants) if one)
        return cls(events, operations, verbs)

    def named(self, word: str) -> Entry | None:
        """The entry whose full name is `word`, or None."""
        return next((entry for entry in (*self.events, *self.operations) if entry.name.lower() == word.lower()), None)

    def coming(self, tokens: Sequence[Token]) -> list[Match]:
        """The events that `tokens` may mean where an event is waited for, the best first. All words that say what is
        meant are in what is known of each."""
        words = content(tokens)
        if any(token.kind in ("number", "quoted") for token in tokens):
            return []
        exact = next((entry for token in words if (entry := self.named(token.lower)) and entry.kind == "event"), None)
        wanted = [stem(token.lower) for token in words if token.lower not in ARRIVING]
        if not wanted:  # `it does not arrive`: of events whose own name has the verb
            verbs = [stem(token.lower) for token in words]
            wanted = verbs if any(set(verbs) & entry.named for entry in self.events) else []
        if exact is not None:
            return [Match(exact, 100.0)] if _only(words, exact, ARRIVING) else []
        if not wanted:
            return []
        found = []
        for entry in self.events:
            hits = [one for one in wanted if alike(one) & (entry.named | entry.titled)]
            if len(hits) == len(wanted):
                score = sum(3.0 if one in entry.named else 2.0 if alike(one) & entry.named else 1.0 for one in wanted)
                spec = entry.spec
                assert isinstance(spec, EventSpec)
                found.append(Match(entry, score + (0.5 if spec.key is not None else 0.0)))
        return sorted(found, key=lambda match: -match.score)

    def acting(self, tokens: Sequence[Token], without: str, known: frozenset[str]) -> list[Match]:
        """The events and operations that `tokens` may mean as something to be done, the best first. `without` is the
        event that starts the process, `known` the stems of what the process is about."""
        words = content(tokens)
        if any(token.kind in ("number", "quoted") for token in tokens):
            return []
        exact = next((entry for token in words if (entry := self.named(token.lower))), None)
        if exact is not None:
            return [Match(exact, 100.0)] if _only(words, exact, PUBLISHING | CALLING, known) else []
        wanted = [stem(token.lower) for token in words]
        if not wanted:
            return []
        entries = (entry for entry in (*self.events, *self.operations) if entry.name != without)
        found = [match for entry in entries if (match := _acted(entry, wanted, known)) is not None]
        return sorted(found, key=lambda match: -match.score)


def _only(words: list[Token], entry: Entry, verbs: frozenset[str], known: frozenset[str] = frozenset()) -> bool:
    """Whether nothing but the name of `entry`, its words and one of `verbs` is said."""
    stems = entry.stems | known
    return all(
        token.lower == entry.name.lower() or token.lower in verbs or bool(alike(stem(token.lower)) & stems)
        for token in words
    )


def _acted(entry: Entry, wanted: list[str], known: frozenset[str]) -> Match | None:
    """How well `entry` is what `wanted`, a verb and its object, say."""
    generic = {stem(word) for word in (PUBLISHING if entry.kind == "event" else CALLING)}
    constant = next((entry.constants[one] for one in wanted if one in entry.constants), None)
    score, said = 0.0, False
    telling = entry.named - known - entry.subject or entry.named
    for one in wanted:
        if alike(one) & telling:
            score, said = score + 4, True
        elif one in entry.constants:
            score, said = score + 3, True
        elif alike(one) & entry.named:
            score += 1
        elif alike(one) & entry.titled:
            score, said = score + 1, said or one not in known
        elif one in known or one in generic:
            score += 0.1
        else:
            return None
    if not said:
        return None
    missing = len(telling - {other for one in wanted for other in alike(one)}) if constant is None else 0
    return Match(entry, score - 0.5 * missing + (0.5 if entry.subject & known else 0.0), constant)


def _entry(kind: Literal["event", "operation"], spec: EventSpec | OperationSpec) -> Entry:
    constants: dict[str, tuple[str, str]] = {}
    if isinstance(spec, EventSpec):
        tells_apart = spec.match.path if spec.match is not None else None
        for name, part in shape_of(spec.schema_).get("properties", {}).items():
            values = part.get("enum", ())
            if name != tells_apart and len(values) > 1:
                constants |= {stem(value): (name, value) for value in values if _is_word(value)}
    return Entry(
        kind=kind,
        name=spec.name,
        spec=spec,
        named=stems_of(spec.name),
        titled=stems_of(spec.title or ""),
        constants=constants,
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isalpha() and value.islower()


def _verbs(entry: Entry) -> frozenset[str]:
    """The stems of a name beside its first part, or all of a name that has one."""
    rest = stems_of(entry.name.partition(".")[2])
    own = rest or entry.named
    return own | (entry.titled if entry.kind == "operation" else frozenset())
