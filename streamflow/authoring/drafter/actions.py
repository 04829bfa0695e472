"""Something to be done, in words, as a node: wait, ask, publish, call, log, fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamflow.authoring.drafter.attempts import Limits, limits_of
from streamflow.authoring.drafter.lengths import length_at, number_at, parted_at_limit, without_limit
from streamflow.authoring.drafter.notes import CHOICES, Notes
from streamflow.authoring.drafter.outcomes import is_negated, parts_of
from streamflow.authoring.drafter.process import Ask, Await, Do, Fail, Node, Pause, Say, Stop
from streamflow.authoring.drafter.remainder import NEGATING, denies, losses, remainder
from streamflow.authoring.drafter.said_fields import divided, field_names, given, target, without_manner, without_target
from streamflow.authoring.drafter.stems import content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens, span_of, words_at, wordset
from streamflow.authoring.drafter.vocabulary import Entry, Match, Vocabulary, is_foreign
from streamflow.authoring.question import Choice
from streamflow.definition.syntax import nearest_names

_ENDING = wordset("stop end finish ignore")
_ASKING = ("ask", "let", "have", "get", "request", "require", "obtain")
_DECIDING = wordset(
    "to whether if for about decide decides approve approves look looks check checks confirm confirms review reviews "
    "see sees sign signs judge judges say agree"
)
_DENYING = wordset("not never no nothing don't")
ENDLESS = (
    "for as long as it takes", "as long as it takes", "however long it takes", "no matter how long it takes",
    "without any time limit", "without a time limit", "without time limit", "without any limit", "without a limit",
    "without limit", "forever", "for ever",
)  # fmt: skip
_TIMED = wordset("within minute minutes hour hours day days week weeks second seconds")
_GROUP = 6  # words for all who are asked
_ALL = wordset("and both")
_ARTICLES = wordset("a an the our some somebody someone from of in one any member")


NOTHING_NEAR = "Describe it by an operation or event of the catalog, or add one to the catalog."


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a phrase may mean, without what is said after `by` or, with `has_target`, after `to`."""

    matches: list[Match]
    by: list[Token] = field(default_factory=list)
    has_target: bool = False


@dataclass(slots=True)
class Actions:
    """Makes nodes of phrases. `new_id` gives an id for a step like a text, `known` are the stems of what the process is
    about, `trigger` is the name of the event that starts it, `about` are stems of what else there is in the process."""

    vocabulary: Vocabulary
    notes: Notes
    new_id: Callable[[str], str]
    trigger: str
    known: frozenset[str]
    about: frozenset[str] = frozenset()

    def node(self, tokens: Tokens) -> Node | None:
        """What `tokens` ask for; None after a question about it."""
        words = without_phrase(_without_courtesy(tokens), ("at once", "right away", "straight away"))[0]
        if not words:
            return None
        denied = [token for token in words if token.is_in(_DENYING) and not words_at(words, 0, "do nothing", "nothing")]
        if denied and not words[0].is_in({"wait", "ask"}):
            said = self.notes.said(words)
            self.notes.ask("not_understood", f"What should be done instead of what `{said}` rules out?", words)
            return None
        first = words[0]
        if first.is_in({"wait"}):
            return self._wait(words)
        if first.is_in({"fail"}):
            reason = next((token.text for token in words if token.kind == "quoted"), "")
            if self._left_over(words[1:], {"run", "process", "with", "because", "reason"}):
                return None
            return Fail(id=self.new_id("fail"), said=span_of(tokens), reason=reason)
        if first.is_in(_ENDING) or words_at(words, 0, "do nothing", "nothing"):
            if not self._left_over(words[1:], {"run", "process", "noth", "it", "mor"}):
                return Stop(id="", said=span_of(tokens), ends=first.is_in(_ENDING))
            return None
        if first.is_in({"log", "print"}):
            text = next((token.text for token in words if token.kind == "quoted"), self.notes.said(words[1:]))
            return Say(id=self.new_id("log"), said=span_of(tokens), text=text)
        if first.is_in(frozenset(_ASKING)) and self._asks(words):
            return self._ask(words)
        return self._do(words)

    # -- waiting and asking

    def _wait(self, words: list[Token]) -> Node | None:
        words, endless = without_phrase(words, ENDLESS)
        rest, limit = without_limit(words[1:])
        if limit is None and rest and (length := length_at(rest, 0)) is not None:
            rest, limit = rest[length.tokens :], length.text
        wanted = [token for token in content(rest) if not token.is_in({"until"})]
        if limit is None and rest and number_at(rest, 0) is not None and any(one.is_in(_TIMED) for one in rest):
            text = f"How long is `{self.notes.said(rest)}`? Say it as a length of time, such as `2 days`."
            self.notes.ask("not_understood", text, rest)
            return None
        if is_negated(rest):
            self.notes.ask("not_understood", f"For what should it wait: `{self.notes.said(words)}`?", words)
            return None
        if not wanted:
            if limit is None:
                self.notes.ask("not_understood", "For what, or for how long, should it wait?", words)
                return None
            return Pause(id=self.new_id("pause"), said=span_of(words), length=limit)
        events = self.events(rest)
        if events is None:
            return None
        names = "_".join(event.name.split(".")[-1] for event in events[:2])
        return Await(id=self.new_id(f"wait_{names}"), said=span_of(words), events=events, within=limit, forever=endless)

    def events(self, tokens: Tokens) -> list[Entry] | None:
        """The events that a list such as `delivered or returned` means; None after a question."""
        found: list[Entry] = []
        for part in parts_of([token for token in tokens if not token.is_in({"until", "that", "and"})]):
            if not content(part):
                continue
            matches = [match for match in self.vocabulary.coming(part) if match.entry.name != self.trigger]
            best = [match for match in matches if match.score == matches[0].score]
            about = [match for match in best if match.entry.subject & self.known] or best
            if len(about) != 1:
                self.unknown_event(content(part), [match.entry for match in about])
                return None
            if about[0].entry not in found:
                found.append(about[0].entry)
        return found or None

    def unknown_event(self, tokens: Tokens, candidates: list[Entry]) -> None:
        """Note that `tokens` mean none, or several, of the events."""
        said = self.notes.said(tokens)
        names = [entry.name for entry in candidates or self.vocabulary.near_events(tokens)]
        names = names or nearest_names(said.lower().replace(" ", "."), [one.name for one in self.vocabulary.events])
        choices = [self.notes.instead(tokens, name) for name in names[:CHOICES]]
        if candidates:
            self.notes.ask("ambiguous", f"Which event is meant by `{said}`?", tokens, choices)
        else:
            asked = "Which one is meant?" if choices else NOTHING_NEAR
            self.notes.ask("unknown", f"The catalog has no event for `{said}`. {asked}", tokens, choices)

    def _asks(self, words: list[Token]) -> bool:
        """Whether `words` are about people: `get approval from sales`, but not `get the weather`."""
        if words[0].is_in({"ask"}):
            return True
        if words[0].is_in({"let", "have"}):
            return any(token.is_in(_DECIDING - {"to", "if", "for", "about"}) for token in words[1:])
        return any(stem(token.lower) == stem("approve") for token in words[1:])

    def _ask(self, words: list[Token]) -> Node | None:
        words, endless = without_phrase(words, ENDLESS)
        before, limit, after = parted_at_limit(words[1:])
        if words_at(before, 0, "for") and any(stem(token.lower) == stem("approve") for token in before[:3]):
            before = before[1:]
        at = next((place for place, token in enumerate(before) if token.is_in({"from", "by", "of"})), None)
        if before and stem(before[0].lower) == stem("approve") and at is not None:
            before = before[at + 1 :]
        end = next((place for place, token in enumerate(before) if token.is_in(_DECIDING)), len(before))
        group = [token for token in before[:end] if not token.is_in(_ARTICLES) and not token.is_in({","})]
        about = [token for token in [*before[end:], *after] if not token.is_in({",", ":"})]
        strange = [token for token in group if token.kind != "word" or _is_no_group(token)]
        strange += [token for token in about if token.is_in(_TIMED)]
        if after and not after[0].is_in(_DECIDING):
            strange += after
        if strange or not _people(group) or len(group) > _GROUP:
            said = self.notes.said(strange or words)
            self.notes.ask(
                "not_understood", f"Who is asked, and within which time? `{said}` is unclear.", strange or words
            )
            return None
        self._ask_whether_one_is_enough(before[:end], group)
        who = ["-".join(token.lower for token in part) for part in _people(group)]
        return Ask(
            id=self.new_id(f"ask_{who[0].replace('-', '_')}"),
            said=span_of(words),
            who=who,
            about=about,
            within=limit,
            forever=endless,
        )

    def _ask_whether_one_is_enough(self, words: list[Token], group: list[Token]) -> None:
        """Note a question where several people are asked whom `and` joins."""
        joints = [token for token in words if token.is_in(_ALL)]
        if joints:
            text = f"Is it enough if one of `{self.notes.said(group)}` decides? If all must, ask one after the other."
            one = self.notes.instead((joints[0].start, joints[0].end), "or", "one is enough")
            clear = len(joints) == 1 and not any(token.is_in({"or", "nor"}) for token in words)
            self.notes.ask("ambiguous", text, group, [one] if clear else ())

    # -- publishing and calling

    def _do(self, words: list[Token]) -> Node | None:
        plain, field_words = divided(words)
        found, limits = self._meant(plain), Limits()
        if not found.matches and (limits := limits_of(plain)).are_some:
            found = self._meant(limits.rest)
        if not found.matches:
            self._unknown(words)
            return None
        best = [match for match in found.matches if match.score > found.matches[0].score - 0.3]
        if len(best) > 1:
            said = self.notes.said(words)
            choices = self._choices(words, [one.entry for one in best])
            self.notes.ask("ambiguous", f"What is meant by `{said}`?", words, choices)
            return None
        entry = best[0].entry
        if is_foreign(entry, plain, self.known | self.about):
            said, about = self.notes.said(words), entry.name.split(".")[0]
            text = f"Is `{entry.name}` meant by `{said}`? Nothing before it is about `{about}`."
            self.notes.ask("ambiguous", text, words, self._choices(words, [entry]))
            return None
        names = field_names(entry)
        to = target(words, names)
        unsaid = (found.by and found.by[0].lower not in names) or (found.has_target and "to" not in to)
        if unsaid or (limits.are_some and entry.kind == "event"):
            self._unknown(words)
            return None
        fields = given([*found.by, *field_words], names)
        if fields is None:
            said = self.notes.said(field_words)
            text = f"`{said}` names no field of `{entry.name}`, which has {', '.join(names) or 'none'}. What is meant?"
            self.notes.ask("unknown", text, field_words)
            return None
        constant = best[0].constant
        verb = constant[1] if constant is not None else entry.name.split(".")[-1]
        first = limits.rest[0].lower if limits.rest else words[0].lower
        name = first if stem(first) in entry.stems | entry.constants.keys() else verb
        return Do(
            id=self.new_id(name),
            said=span_of(words),
            entry=entry,
            constant=constant,
            given=to | fields,
            within=limits.within,
            attempts=limits.attempts,
        )

    def _meant(self, plain: list[Token]) -> _Meant:
        """What `plain`, or `plain` without the manner or the receiver that it ends with, may mean."""
        if matches := self._acting(plain):
            return _Meant(matches)
        shorter, by = without_manner(plain)
        if by and (matches := self._acting(shorter)):
            return _Meant(matches, by=by)
        shorter, goal = without_target(plain)
        return _Meant(self._acting(shorter) if goal else [], has_target=True)

    def _acting(self, tokens: list[Token]) -> list[Match]:
        return self.vocabulary.acting(tokens, self.trigger, self.known, self.about)

    def _unknown(self, words: list[Token]) -> None:
        entries = (*self.vocabulary.operations, *self.vocabulary.events)
        subjects = frozenset(one for entry in entries for one in entry.subject) - self.known
        left = remainder(words, self._acting, subjects)
        if left is not None:
            parts = " and ".join(f"`{self.notes.said(one)}`" for one in left.left)
            choice = self.notes.instead(words, self.notes.said(left.part), f"leave out {parts}")
            it = "it" if len(left.left) == 1 else "them"
            denied = any(denies(one) for one in left.left)
            text = f"`{left.entry.name}` is understood, but not {parts}."
            text += f" What is meant by {it}?" if denied else f" Leave {it} out?"
            self.notes.ask("unknown", text, words, [] if denied else [choice])
            return
        said = self.notes.said(words)
        near = [] if denies(words) else self.vocabulary.near(words, self.trigger)
        asked = "Which one is meant?" if near else NOTHING_NEAR
        text = f"The catalog has no operation and no event for `{said}`. {asked}"
        self.notes.ask("unknown", text, words, self._choices(words, near))

    def _choices(self, words: list[Token], entries: list[Entry]) -> list[Choice]:
        """An answer for each of the first of `entries`, with the limits of the call that were said; none that would
        drop a negation."""
        if denies(words):
            return []
        limits = limits_of(words)
        if limits.are_some and all(entry.kind == "operation" for entry in entries):
            at = words.index(limits.rest[0]) if limits.rest else 0
            words = limits.rest if words[at : at + len(limits.rest)] == limits.rest else words
        lost = " and ".join(f"`{self.notes.said(one)}`" for one in losses(words))
        without = f", without {lost}" if lost else ""
        return [self.notes.instead(words, _named(entry), f"{entry.name}{without}") for entry in entries[:CHOICES]]

    def _left_over(self, words: list[Token], known: set[str]) -> bool:
        """Notes words that say something else; whether there are any."""
        left = [token for token in content(words) if stem(token.lower) not in known | self.known]
        if left:
            said = self.notes.said(left)
            self.notes.ask("not_understood", f"What is meant by `{said}`?", left)
        return bool(left)


def _is_no_group(token: Token) -> bool:
    """Whether a word cannot name people: a time, a number, a denial, a manner."""
    manner = token.lower.endswith("ly") and len(token.lower) > 5
    return token.is_in(_TIMED | _DENYING | NEGATING) or manner or number_at([token], 0) is not None


def _people(group: list[Token]) -> list[list[Token]]:
    """The groups of people that are joined by `or` or `and`."""
    parts: list[list[Token]] = [[]]
    for token in group:
        if token.is_in(_ALL | {"or", "nor", "either"}):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _named(entry: Entry) -> str:
    return f"publish {entry.name}" if entry.kind == "event" else f"call {entry.name}"


def _without_courtesy(tokens: Tokens) -> list[Token]:
    rest = list(tokens)
    while rest and rest[0].is_in({"please", "also", "just", "then", "and", "immediately", "directly", ","}):
        rest = rest[1:]
    return rest


def without_phrase(words: list[Token], phrases: tuple[str, ...]) -> tuple[list[Token], bool]:
    """`words` without the first of `phrases` that is there, and whether one is."""
    for at in range(len(words)):
        if taken := words_at(words, at, *phrases):
            return words[:at] + words[at + taken :], True
    return words, False
