"""What is noted while a text is read: statements and questions, put into order at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from streamflow.authoring.addresses import step_address, step_at
from streamflow.authoring.drafter.tokens import Token, Tokens, phrase, span_of
from streamflow.authoring.gaps import Gap, GapKind
from streamflow.authoring.question import MOST, Choice, PhraseKind, Question
from streamflow.authoring.statements import Origin, Statement

CHOICES = 4  # of one question, at most
_ORIGINS: tuple[Origin, ...] = ("said", "assumed", "missing")

Span = tuple[int, int]


@dataclass(slots=True)
class Notes:
    """Statements and questions about `sentence`."""

    sentence: str
    _statements: list[Statement] = field(default_factory=list)
    _questions: list[Question] = field(default_factory=list)

    def state(self, origin: Origin, text: str, addresses: Iterable[str], span: Span | None = None) -> None:
        """Note what the draft does."""
        one = Statement(number=0, origin=origin, text=text, addresses=tuple(addresses), span=span)
        if one not in self._statements:
            self._statements.append(one)

    def state_of(self, step: str, origin: Origin, text: str, span: Span | None = None) -> None:
        """Note what a step of the draft does."""
        self.state(origin, text, (step_address(step),), span)

    def ask(
        self,
        kind: PhraseKind | GapKind,
        text: str,
        about: Tokens | Span,
        choices: Iterable[Choice] = (),
        addresses: Iterable[str] = (),
    ) -> None:
        """Note what has to be asked about these words."""
        place = _place(about)
        said = " ".join(self.sentence[slice(*place)].split())
        if not any(one.text == text and one.span == place for one in self._questions):
            question = Question(
                kind=kind,
                text=text,
                addresses=tuple(addresses),
                phrase=said,
                span=place,
                choices=tuple(choices)[:CHOICES],
            )
            self._questions.append(question)

    def instead(self, about: Tokens | Span, words: str, text: str | None = None) -> Choice:
        """The choice of saying `words` instead of these, which is shown as `text`."""
        start, end = _place(about)
        return Choice(
            text=words if text is None else text, sentence=self.sentence[:start] + words + self.sentence[end:]
        )

    def also(self, clause: str, text: str) -> Choice:
        """The choice of saying one more clause, which is shown as `text`."""
        return Choice(text=text, sentence=f"{self.sentence.rstrip().rstrip('.;,')}; {clause}.")

    def said(self, tokens: Tokens) -> str:
        """`tokens` as they are written."""
        return phrase(self.sentence, tokens)

    @property
    def blocking(self) -> int:
        """How many questions are about something that was said."""
        return sum(question.blocks for question in self._questions)

    def statements(self, order: Iterable[str] = (), gaps: Iterable[Gap] = ()) -> tuple[Statement, ...]:
        """The statements, numbered: the start first, then by the steps in `order`. What is missing are `gaps`."""
        place: dict[str | None, int] = {step: number for number, step in enumerate(order)}
        missing = [Statement(number=0, origin="missing", text=gap.text, addresses=(gap.address,)) for gap in gaps]
        found = sorted(
            [*self._statements, *missing],
            key=lambda one: (place.get(step_at(one.addresses[0]), -1), _ORIGINS.index(one.origin)),
        )
        return tuple(replace(one, number=number) for number, one in enumerate(found, 1))

    def questions(self, gaps: Iterable[Gap] = ()) -> tuple[Question, ...]:
        """The most important questions, each with the one of `gaps` that it is about."""
        open_ = {gap.key: gap for gap in gaps}
        found = sorted(self._questions, key=lambda one: (one.rank, one.span or (0, 0)))[:MOST]
        return tuple(
            replace(one, gaps=tuple(open_[key] for at in one.addresses if (key := f"{one.kind}:{at}") in open_))
            for one in found
        )


def no_field(said: str, holder: str = "The catalog") -> str:
    """The question about a condition that is read from no field."""
    return f"What does `{said}` refer to? {holder} has no field for it."


def _place(about: Tokens | Span) -> Span:
    if isinstance(about, tuple) and len(about) == 2 and isinstance(about[0], int) and isinstance(about[1], int):
        return about[0], about[1]
    return span_of([one for one in about if isinstance(one, Token)])
