"""A text as clauses: what starts the process, what is done, under which conditions, and where a sentence ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streamflow.authoring.drafter.lengths import length_at, limit_at
from streamflow.authoring.drafter.stems import stem
from streamflow.authoring.drafter.tokens import Token, Tokens, words_at, wordset
from streamflow.authoring.drafter.vocabulary import CALLING, PUBLISHING, Vocabulary

Kind = Literal["when", "if", "unless", "else", "act", "always", "end"]

# Words with which something to be done begins, whatever the catalog has.
_ACTING = wordset(
    "wait ask let have get request require publish emit call fail stop end finish do log print notify ignore send give "
    "try"
)
# Those that are never a noun or a participle after `when` or `if`.
_PLAIN = wordset("wait ask let publish emit call fail log print notify")
_WHEN = ("when", "whenever", "once", "as soon as", "every time", "each time", "for every", "for each", "each time that")
_OTHERWISE = ("otherwise", "or else", "else", "if not", "in all other cases")
_ALWAYS = ("in any case", "in either case", "in all cases", "either way", "whatever happens", "in both cases")
_THEN = ("and then", "and afterwards", "after that", "then", "afterwards", "next", "finally", "and finally")
_HEADS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("else", _OTHERWISE),
    ("always", _ALWAYS),
    ("when", _WHEN),
    ("unless", ("unless", "except when", "except if", "except where", "except for when", "except in case")),
    ("if", ("if", "only if", "only when", "in case", "provided that", "provided")),
)
_DETERMINERS = wordset("a an the it them its their this that these those him her")
_ENDS = frozenset(".;!?")


@dataclass(slots=True, kw_only=True)
class Clause:
    """A part of a text. An `end` is the end of a sentence, and has no tokens."""

    kind: Kind
    tokens: list[Token] = field(default_factory=list)
    adjoining: bool = False  # it follows the clause before it without a comma


def clauses_of(tokens: Tokens, vocabulary: Vocabulary) -> list[Clause]:
    """The clauses of a text, in its order."""
    return _Splitter(tokens, vocabulary).run()


def starts_action(token: Token, vocabulary: Vocabulary) -> bool:
    """Whether `token` may be the first word of something to be done."""
    if token.kind != "word":
        return False
    if token.lower in _ACTING | PUBLISHING | CALLING or vocabulary.named(token.lower) is not None:
        return True
    return not token.lower.endswith(("ed", "ing")) and stem(token.lower) in vocabulary.verbs


def is_postfix(clauses: list[Clause], place: int) -> bool:
    """Whether the condition at `place` is about the action before it."""
    after = clauses[place + 1] if place + 1 < len(clauses) else None
    return clauses[place].adjoining or after is None or after.kind == "end"


class _Splitter:
    def __init__(self, tokens: Tokens, vocabulary: Vocabulary) -> None:
        self.tokens, self.vocabulary = tokens, vocabulary
        self.found: list[Clause] = []
        self.open: Clause | None = None  # the clause that takes the next tokens
        self.at = 0

    def run(self) -> list[Clause]:
        while self.at < len(self.tokens):
            self._next()
        self._close()
        return self.found

    def _next(self) -> None:
        token = self.tokens[self.at]
        if token.kind == "mark" and token.lower in _ENDS:
            self.at += 1
            self._end()
        elif token.kind == "mark" and token.lower in {",", ":"}:
            self._comma()
        elif self._joint():
            pass
        elif (head := self._head(self.at)) is not None and (self.open is None or self._breaks(head[0])):
            adjoining = self.open is not None
            self._begin(head[0], adjoining=adjoining)
            self.at += head[1]
        elif self._acts_at_once():
            self._begin("act", adjoining=True)
            self._take()
        else:
            if self.open is None:
                self._begin("act", adjoining=False)
            self._take()

    def _take(self) -> None:
        assert self.open is not None
        self.open.tokens.append(self.tokens[self.at])
        self.at += 1

    def _comma(self) -> None:
        """A comma ends a clause unless it stands in a list, or before a limit that belongs to the clause."""
        after = self.at + 1
        if self.open is None or after >= len(self.tokens):
            self.at = after
            return
        if limit_at(self.tokens, after) is not None:
            self.at = after
            return
        if self.open.kind == "act" and self.open.tokens and self.tokens[after].is_in({"with"}):
            self.at = after  # it says more of what is done
            return
        if self.open.kind == "act":
            listing = bool(self.open.tokens) and self.open.tokens[0].is_in({"wait"})
            inside = listing and not self._begins(after)
        elif self.open.kind in ("when", "if", "unless"):
            inside = not self._begins(after) and self._later_begin(after)
        else:
            inside = False
        if inside:
            self._take()
        else:
            self.at = after
            self._close()

    def _joint(self) -> bool:
        """A word between two clauses, such as `and then`; whether one stood there."""
        taken = words_at(self.tokens, self.at, *_THEN)
        if taken:
            self.at += taken
            self._close()
            return True
        token = self.tokens[self.at]
        if not token.is_in({"and", "but"}) or self.at + 1 >= len(self.tokens):
            return False
        after = self.at + 1
        if self.open is None:
            self.at = after
            return True
        if token.lower == "but" and limit_at(self.tokens, self.at) is not None:
            return False
        conditional = self.open.kind in ("when", "if", "unless")
        if conditional and not (self.open.adjoining and self._begins(after)):
            return False
        if not conditional and not self._begins(after) and not self._unknown_action(after):
            return False
        self.at = after
        self._close()
        return True

    def _unknown_action(self, at: int) -> bool:
        """Whether a word with an object stands at `at`: `bill the customer`."""
        there = self.tokens[at : at + 2]
        return (
            len(there) == 2
            and there[0].kind == "word"
            and not there[0].is_in(_DETERMINERS)
            and there[1].is_in(_DETERMINERS)
        )

    def _begins(self, at: int) -> bool:
        """Whether another clause begins at `at`."""
        at += words_at(self.tokens, at, *_THEN) or words_at(self.tokens, at, "and", "but")
        if at >= len(self.tokens):
            return False
        delayed = self.tokens[at].is_in({"after"}) and length_at(self.tokens, at + 1) is not None
        return delayed or self._head(at) is not None or starts_action(self.tokens[at], self.vocabulary)

    def _later_begin(self, at: int) -> bool:
        """Whether a clause begins after a later comma of this sentence."""
        for place in range(at, len(self.tokens) - 1):
            token = self.tokens[place]
            if token.kind == "mark" and token.lower in _ENDS:
                return False
            if token.kind == "mark" and token.lower == "," and self._begins(place + 1):
                return True
        return False

    def _head(self, at: int) -> tuple[Kind, int] | None:
        for kind, ways in _HEADS:
            taken = words_at(self.tokens, at, *sorted(ways, key=len, reverse=True))
            if taken and not (kind == "when" and at and self.tokens[at].is_in({"once"}) and self._is_adverb(at)):
                return kind, taken
        return None

    def _is_adverb(self, at: int) -> bool:
        """Whether `once` is no conjunction: at once, once more."""
        return self.tokens[at - 1].is_in({"at"}) or bool(words_at(self.tokens, at, "once more", "once again"))

    def _breaks(self, kind: Kind) -> bool:
        """Whether a head of this kind begins a clause in the middle of the open one."""
        assert self.open is not None
        if self.open.kind == "act" and self.open.tokens:
            return kind in ("if", "unless", "when")
        return not self.open.tokens

    def _acts_at_once(self) -> bool:
        """Whether an action follows a condition without a comma: `when a parcel is sent wait an hour`."""
        if self.open is None or self.open.kind not in ("when", "if", "unless") or len(self.open.tokens) < 2:
            return False
        return self.tokens[self.at].is_in(_PLAIN)

    def _begin(self, kind: Kind, *, adjoining: bool) -> None:
        self._close()
        self.open = Clause(kind=kind, adjoining=adjoining)
        if kind in ("else", "always"):
            self._close(keep_empty=True)

    def _close(self, *, keep_empty: bool = False) -> None:
        if self.open is not None and (self.open.tokens or keep_empty):
            self.found.append(self.open)
        self.open = None

    def _end(self) -> None:
        self._close()
        if self.found and self.found[-1].kind != "end":
            self.found.append(Clause(kind="end"))
