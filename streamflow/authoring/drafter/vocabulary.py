"""What the events and operations of a catalog may be called in a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.authoring.drafter.stems import ARRIVING, STOP, alike, content, stem, stems_of
from streamflow.authoring.drafter.tokens import Token, wordset
from streamflow.definition.catalog import Catalog, EventSpec, OperationSpec
from streamflow.definition.schema_shape import shape_of

# Verbs for publishing and for calling, which need not be in the name of what is published or called.
PUBLISHING = wordset("publish emit announce report signal raise mark declare set flag send tell")
CALLING = wordset("call run do use execute make look get fetch find perform start check")
# Verbs of which each may stand for the others of its group.
_SAME = tuple(frozenset(stem(one) for one in wordset(group)) for group in ("get fetch retrieve obtain", "erase delete"))
_MADE = wordset("a an new another")  # `make a ...` says `create a ...`


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event or operation with the stems of its words."""

    kind: Literal["event", "operation"]
    name: str
    spec: EventSpec | OperationSpec
    named: frozenset[str]  # stems of its name
    titled: frozenset[str]  # of its title
    verbs: frozenset[str]  # those that say what is done or happens
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

    def acting(
        self, tokens: Sequence[Token], without: str, known: frozenset[str], about: frozenset[str] = frozenset()
    ) -> list[Match]:
        """The events and operations that `tokens` may mean as something to be done, the best first. `without` is the
        event that starts the process, `known` the stems of what the process is about; `about` are those of what else
        there is in it."""
        words = content(tokens)
        if any(token.kind in ("number", "quoted") for token in tokens):
            return []
        exact = next((entry for token in words if (entry := self.named(token.lower))), None)
        if exact is not None:
            return [Match(exact, 100.0)] if _only(words, exact, PUBLISHING | CALLING, known) else []
        wanted = [stem(token.lower) for token in words]
        if not wanted:
            return []
        verbs = _verbs_of(tokens)
        entries = (entry for entry in (*self.events, *self.operations) if entry.name != without)
        found = [match for entry in entries if (match := _acted(entry, wanted, verbs, known)) is not None]
        own = [match for match in found if not is_foreign(match.entry, tokens, known | about)]
        return sorted(own or found, key=lambda match: -match.score)

    def near(self, tokens: Sequence[Token], without: str) -> list[Entry]:
        """The events and operations whose name or title has some of what `tokens` say, those with the most first. A
        verb alone is not enough if it says as much of many of them. `without` is the event that starts the process."""
        entries = [entry for entry in (*self.operations, *self.events) if entry.name != without]
        wanted = list(dict.fromkeys(stem(token.lower) for token in content(tokens)))
        verbs = _verbs_of(tokens)
        vague = _GENERIC | {one for one in verbs if sum(one in entry.verbs for entry in entries) > _MANY}
        scored: list[tuple[int, int, Entry]] = []
        for entry in entries:
            hits = {one for one in wanted if alike(one) & entry.stems}
            does = verbs & entry.verbs
            if hits - vague:
                scored.append((len(hits | does), len(does) + len(entry.named & hits), entry))
        return [entry for _, _, entry in sorted(scored, key=lambda one: (-one[0], -one[1]))]

    def near_events(self, tokens: Sequence[Token]) -> list[Entry]:
        """The same of events alone; all of a catalog with few where none has anything of it."""
        found = [entry for entry in self.near(tokens, "") if entry.kind == "event"]
        return found or (list(self.events) if len(self.events) <= _MANY else [])


def is_foreign(entry: Entry, tokens: Sequence[Token], known: frozenset[str]) -> bool:
    """Whether `tokens` say what is done to what the process is about, `known`, and `entry` is an event of something
    else: `approve it` is no event of an application where nothing says that it is about one."""
    if entry.kind != "event" or entry.subject & known or any(token.lower == entry.name.lower() for token in tokens):
        return False
    return all(stem(token.lower) in known for token in content(tokens)[1:])


def _only(words: list[Token], entry: Entry, verbs: frozenset[str], known: frozenset[str] = frozenset()) -> bool:
    """Whether nothing but the name of `entry`, its words and one of `verbs` is said."""
    stems = entry.stems | known
    return all(
        token.lower == entry.name.lower() or token.lower in verbs or bool(alike(stem(token.lower)) & stems)
        for token in words
    )


def _verbs_of(tokens: Sequence[Token]) -> frozenset[str]:
    """The stem of the verb with which an action begins, with those that say the same; none where something else is
    the first word, such as an article."""
    first = next((token for token in tokens if token.kind != "mark"), None)
    if first is None or first.kind != "word" or (first.lower in STOP and stem(first.lower) not in _GENERIC):
        return frozenset()
    verb = stem(first.lower)
    if first.is_in({"make"}) and any(token.is_in(_MADE) for token in tokens[1:3]):
        return frozenset({verb, stem("create")})
    return next((group for group in _SAME if verb in group), alike(verb))


def _acted(entry: Entry, wanted: list[str], verbs: frozenset[str], known: frozenset[str]) -> Match | None:
    """How well `entry` is what `wanted`, a verb and its object, say. Where the verb (`verbs`: it, and those that say
    the same) is none of the entry, its whole name has to be said: its object alone does not say what to do with it."""
    generic = {stem(word) for word in (PUBLISHING if entry.kind == "event" else CALLING)}
    constant = next((entry.constants[one] for one in wanted if one in entry.constants), None)
    does = bool(verbs & entry.verbs)
    score, named, said = 0.0, False, False
    distinctive = entry.named - known - entry.subject or entry.named
    for place, one in enumerate(wanted):
        acts = place == 0 and one in verbs
        alternatives = verbs if acts else alike(one)
        if alternatives & distinctive:
            score, named = score + 4, True
        elif one in entry.constants:
            score, said = score + 3, True
        elif alternatives & entry.named:
            score += 1
        elif alternatives & entry.titled:
            score, said = score + 1, said or (does and one not in known)
        elif one in known or one in generic or (acts and does):
            score += 0.1
        else:
            return None
    hits = {other for one in wanted for other in alike(one)} | (verbs if does else frozenset())
    missing = len((distinctive | (entry.verbs & _STOPPED)) - hits) if constant is None else 0
    if not said and not (named and (does or not missing)):
        return None
    return Match(entry, score - 0.5 * missing + (0.5 if entry.subject & known else 0.0), constant)


def _entry(kind: Literal["event", "operation"], spec: EventSpec | OperationSpec) -> Entry:
    constants: dict[str, tuple[str, str]] = {}
    if isinstance(spec, EventSpec):
        tells_apart = spec.match.path if spec.match is not None else None
        for name, part in shape_of(spec.schema_).get("properties", {}).items():
            values = part.get("enum", ())
            if name != tells_apart and len(values) > 1:
                constants |= {stem(value): (name, value) for value in values if _is_word(value)}
    named, titled = stems_of(spec.name), stems_of(spec.title or "")
    return Entry(
        kind=kind,
        name=spec.name,
        spec=spec,
        named=named,
        titled=titled,
        verbs=_happening(spec, named | titled) | constants.keys() if kind == "event" else _doing(spec, named),
        constants=constants,
    )


_GENERIC = frozenset(stem(word) for word in PUBLISHING | CALLING | {"make", "have", "let"})
_STOPPED = frozenset({"get"})  # a verb that names have, and that says nothing in a sentence
_MANY = 4  # entries that have a verb, beyond which the verb alone suggests none of them


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isalpha() and value.islower()


def _happening(spec: EventSpec | OperationSpec, stems: frozenset[str]) -> frozenset[str]:
    """What is said of the subject of an event."""
    return stems - stems_of(spec.name.partition(".")[0]) or stems


def _doing(spec: EventSpec | OperationSpec, named: frozenset[str]) -> frozenset[str]:
    """The verb of an operation: the first word of its title, and of its name after the subject unless the name has that
    of the title."""
    words = [re.search(r"[^\W\d_]+", text) for text in (spec.title or "", spec.name.rpartition(".")[2])]
    titled, first = (stem(word[0].lower()) if word is not None else "" for word in words)
    return frozenset({titled} if titled in named else {titled, first}) - {""}


def _verbs(entry: Entry) -> frozenset[str]:
    """The stems of a name beside its first part, or all of a name that has one."""
    rest = stems_of(entry.name.partition(".")[2])
    own = rest or entry.named
    return own | (entry.titled if entry.kind == "operation" else frozenset())
