"""Limits of time of steps that there are: `change the time limit to 2 hours`, `wait 5 days for the payment instead of
3`, `give the analysts an hour`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streamflow.authoring.drafter.actions import ENDLESS
from streamflow.authoring.drafter.lengths import Length, length_at, limit_at
from streamflow.authoring.drafter.notes import CHOICES
from streamflow.authoring.drafter.tokens import Token, words_at, wordset
from streamflow.authoring.editor.part import Changes, Part, bare, says_nothing
from streamflow.definition.duration import format_ms, parse_ms
from streamflow.definition.model import Step

_LONGER = wordset("raise increase extend lengthen prolong")
_SHORTER = wordset("lower reduce shorten decrease cut")
_CHANGING = _LONGER | _SHORTER | wordset("change set make give allow let grant limit adjust")
_DOING = wordset("wait ask let")
_LIMIT_WORDS = (
    "time limit", "waiting time", "time to answer", "time to decide", "limit", "deadline", "timeout", "wait", "waiting",
    "delay", "pause", "period", "time", "length", "duration",
)  # fmt: skip
_VAGUE = (
    "more time", "less time", "longer", "shorter", "more generous", "a bit", "a little", "some more", "double", "twice",
    "half the", "by",
)  # fmt: skip
_GLUE = wordset(
    "to of for from with in at within the a an is are be its only up most more than no not longer have has get gets "
    "now on new just it that this by decide answer respond reply come all maximum"
)
_PLACES = ("before", "after", "between", "when", "whenever", "if", "unless", "once", "until", "as soon as", "then")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """A limit that a step has."""

    step: Step
    field: str
    value: str | None  # None: it has none, and waits without end


def limited(part: Part) -> Changes | None:
    """The operations of an edit of a limit of time; None if it is none."""
    changing = part.first in _CHANGING and (_says_limit(part) or _has_length(part))
    changing = changing or (
        part.first in _DOING and not _has_length(part) and part.find("longer", "shorter") is not None
    )
    doing = part.first in _DOING and (_has_length(part) or part.find(*ENDLESS) is not None)
    doing = doing and part.find("again", "once more", "another", "twice") is None  # a new step
    if not changing and not doing and (turned := _turned(part)) is not None:
        part, changing = turned, True
    removing = part.first in {"remove", "delete", "drop", "lift"} and part.find("time limit", "deadline", "timeout")
    if not (changing or doing or removing) or part.find(*_PLACES) is not None:
        return None
    reading = _Reading(part)
    if removing or (reading.new is None and reading.endless):
        return _without(part, reading)
    nobodys = doing and not changing and (says_nothing(reading.words) or not _fitting(part, reading.words))
    if nobodys and reading.old is None:
        return None  # a new step
    if reading.new is None:
        if not _says_time(part) or any(token.kind == "number" for token in reading.words):
            return None
        part.notes.ask("value", f"How long is the limit: `{part.said()}`? Say it as a length of time.", part.tokens)
        return []
    return _set(part, reading, reading.new)


def _turned(part: Part) -> Part | None:
    """`the head gets an hour`, `an hour is enough for the head` and `the limit should be an hour`, as `give the head an
    hour`; None for anything else."""
    found = part.find("is enough", "are enough", "will do", "should be", "shall be", "must be", "gets", "get", "has")
    if found is None or not _has_length(part.with_tokens([*part.tokens[:1], *part.tokens])):
        return None
    rest = [*part.tokens[: found[0]], *part.tokens[found[1] :]]
    token = part.tokens[found[0]]
    return part.with_tokens([Token(text="give", lower="give", kind="word", start=token.start, end=token.start), *rest])


class _Reading:
    """The lengths in an edit, and the words that say whose limit it is."""

    def __init__(self, part: Part) -> None:
        self.new: str | None = None
        self.old: str | None = None
        self.endless = False
        self.strange: list[Token] = []
        self.words: list[Token] = []
        self._read(part)

    def _read(self, part: Part) -> None:
        tokens, at = part.tokens[1:] if part.first in _CHANGING | _DOING else part.tokens, 0
        if part.first == "wait" and (length := length_at(tokens, 0)) is not None:
            self.new, at = length.text, length.tokens
        while at < len(tokens):
            old = words_at(tokens, at, "instead of", "rather than", "not", "from")
            if old and (found := _length(tokens, at + old, self.new)) is not None:
                self._take(old=found.text)
                at += old + found.tokens
                continue
            if taken := words_at(tokens, at, *ENDLESS):
                self.endless = True
                at += taken
                continue
            found = limit_at(tokens, at) or length_at(tokens, at)
            if found is not None:
                self._take(new=found.text)
                at += found.tokens
            else:
                self.words.append(tokens[at])
                at += 1

    def _take(self, new: str | None = None, old: str | None = None) -> None:
        if (new and self.new not in (None, new)) or (old and self.old not in (None, old)):
            self.strange.append(Token(text="", lower="", kind="mark", start=0, end=0))
        self.new, self.old = new or self.new, old or self.old


def _length(tokens: list[Token], at: int, unit_of: str | None) -> Length | None:
    """The length at `at`; a number alone has the unit of the other length."""
    found = length_at(tokens, at)
    if found is not None or at >= len(tokens) or tokens[at].kind != "number" or unit_of is None:
        return found
    unit = unit_of.lstrip("0123456789")
    if not tokens[at].lower.isdigit() or len(tokens[at].lower) > 6 or at + 1 < len(tokens):
        return None
    return Length(format_ms(parse_ms(f"{tokens[at].lower}{unit}")), 1)


def _says_limit(part: Part) -> bool:
    return part.find(*_LIMIT_WORDS) is not None or part.find(*_VAGUE) is not None


def _says_time(part: Part) -> bool:
    return part.find("time", "deadline", "timeout", "wait", "delay", "longer", "shorter", "period") is not None


def _has_length(part: Part) -> bool:
    return any(length_at(part.tokens, at) is not None for at in range(1, len(part.tokens)))


def _set(part: Part, reading: _Reading, new: str) -> Changes:
    vague = part.find("by", "another", "double", "more time", "additional")
    if reading.strange or vague is not None:
        return part.ask(f"How long is the limit afterwards: `{part.said()}`?")
    found = _fitting(part, reading.words)
    if reading.old is not None:
        found = [one for one in found if one.value is not None and parse_ms(one.value) == parse_ms(reading.old)]
    if len(found) != 1:
        return _which(part, found, new)
    one = found[0]
    if one.value is not None:
        before, after = parse_ms(one.value), parse_ms(new)
        if before == after:
            return part.ask(
                f"The limit of `{one.step.id}` is {one.value}: the draft says so already. What should change?"
            )
        wrong = (part.first in _LONGER and after <= before) or (part.first in _SHORTER and after >= before)
        if wrong:
            return part.ask(f"The limit of `{one.step.id}` is {one.value}. Is it {new} afterwards?")
    changes: Changes = [{"op": "set_field", "step": one.step.id, "field": one.field, "value": _in_one_unit(new)}]
    if one.value is None:
        group = one.field.partition(".")[0]
        changes.insert(0, {"op": "set_field", "step": one.step.id, "field": f"{group}.forever", "value": None})
    return changes


def _without(part: Part, reading: _Reading) -> Changes:
    """No limit any more."""
    words = [token for token in reading.words if not token.is_in({"remove", "delete", "drop", "lift"})]
    found = [one for one in _fitting(part, words) if one.field in ("wait.within", "approval.within", "call.within")]
    if len(found) != 1:
        return _which(part, found, "")
    one = found[0]
    if part.scene.followers([f"{one.step.id}.timeout"]):
        return part.ask(f"Something is done when the time of `{one.step.id}` is over. Remove or move that first.")
    changes: Changes = [{"op": "set_field", "step": one.step.id, "field": one.field, "value": None}]
    if not one.field.startswith("call"):
        field = f"{one.field.partition('.')[0]}.forever"
        changes.append({"op": "set_field", "step": one.step.id, "field": field, "value": True})
    return changes


def _which(part: Part, found: list[_Limit], new: str) -> Changes:
    """A question about whose limit is meant."""
    said = part.said()
    known = found or list(_limits(part))
    choices = []
    if new:
        choices = [
            part.notes.instead(
                (part.tokens[0].start, part.tokens[-1].end),
                f"change the time limit of {one.step.id} to {_in_words(new)}",
                f"`{one.step.id}`, which has {one.value or 'no limit'}",
            )
            for one in known[:CHOICES]
        ]
    if found:
        part.notes.ask("ambiguous", f"Several limits may be meant by `{said}`. Which one?", part.tokens, choices)
    else:
        part.notes.ask("unknown", f"No limit of the draft is what `{said}` is about. Which one?", part.tokens, choices)
    return []


def _in_one_unit(length: str) -> str:
    """The same length in the largest unit that has no rest: people say 10 days, not a week and three days."""
    ms = parse_ms(length)
    sizes = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
    return next(f"{ms // size}{unit}" for unit, size in sizes if ms % size == 0)


def _in_words(length: str) -> str:
    length = _in_one_unit(length)
    number, unit = length.rstrip("smhdw"), length.lstrip("0123456789")
    names = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "ms": "millisecond"}
    return f"{number} {names[unit]}{'' if number == '1' else 's'}" if unit in names else length


def _fitting(part: Part, words: list[Token]) -> list[_Limit]:
    """The limits that these words may be about; all if they say nothing of that."""
    left, at = list[Token](), 0
    delays = False
    while at < len(words):
        if taken := words_at(words, at, *_LIMIT_WORDS):
            delays = delays or words[at].is_in({"delay", "pause", "wait", "waiting", "period"})
            at += taken
        else:
            left.append(words[at])
            at += 1
    content = [token for token in bare(left) if not token.is_in(_GLUE)]
    known = list(_limits(part))
    if not content:
        timed = [one for one in known if one.field != "delay.for"]
        return known if delays or part.first in {"make", "wait"} else timed
    steps = {step.id for step in part.naming.meant(content, lambda step: any(one.step is step for one in known))}
    return [one for one in known if one.step.id in steps]


def _limits(part: Part) -> Iterator[_Limit]:
    for step in part.scene.steps.values():
        if step.wait is not None:
            yield _Limit(step=step, field="wait.within", value=step.wait.within)
        elif step.approval is not None:
            yield _Limit(step=step, field="approval.within", value=step.approval.within)
        elif step.delay is not None and step.delay.duration is not None:
            yield _Limit(step=step, field="delay.for", value=step.delay.duration)
        elif step.call is not None and step.call.within is not None:
            yield _Limit(step=step, field="call.within", value=step.call.within)
        elif step.run is not None and step.run.within is not None:
            yield _Limit(step=step, field="run.within", value=step.run.within)
