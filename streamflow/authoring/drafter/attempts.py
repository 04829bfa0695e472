"""How long and how often something is tried: `send a mail within 5 minutes`, `try to send a mail three times`."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamflow.authoring.drafter.lengths import length_at, limit_at, number_at
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.tokens import Token, words_at

_TRYING = frozenset({"try", "attempt"})
_MOST = 1000  # attempts that a definition allows
_AT_MOST = ("at most", "up to", "no more than", "not more than")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a call."""

    rest: list[Token] = field(default_factory=list)  # what is done, without its limits
    within: str | None = None
    attempts: int | None = None

    @property
    def are_some(self) -> bool:
        """Whether anything is limited."""
        return self.within is not None or self.attempts is not None


def limits_of(tokens: list[Token]) -> Limits:
    """The limits that `tokens`, something to be done, have."""
    rest, within, attempts = list(tokens), None, None
    for at in range(1, len(rest)):
        found = limit_at(rest, at) if rest[at].is_in({"within"}) else None
        if found is not None:
            rest, within = [*rest[:at], *rest[at + found.tokens :]], found.text
            break
    if rest and rest[0].is_in(_TRYING):
        end, count = _count(rest)
        if count is not None:
            rest, attempts = rest[1 + words_at(rest, 1, "to") : end], count
    return Limits(rest=rest, within=within, attempts=attempts)


def _count(tokens: list[Token]) -> tuple[int, int | None]:
    """The number of attempts with which `tokens` end, and where its words begin; None for none."""
    number: str | None
    if tokens[-1].is_in({"once", "twice"}):
        at, number = len(tokens) - 1, "1" if tokens[-1].is_in({"once"}) else "2"
    elif len(tokens) > 2 and tokens[-1].is_in({"times"}):
        at, number = len(tokens) - 2, number_at(tokens, len(tokens) - 2)
    else:
        return len(tokens), None
    if number is None or not number.isdigit() or not 1 <= int(number) <= _MOST:
        return len(tokens), None
    before = next((taken for taken in (3, 2) if words_at(tokens, at - taken, *_AT_MOST) == taken), 0)
    return at - before, int(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The time after which something is done."""

    length: str  # as definitions have it, such as 3d
    said: list[Token]  # `after 3 days`
    rest: list[Token]  # what is done then


def delay_of(tokens: list[Token]) -> Delay | None:
    """What `after 3 days` before or behind an action says; None where no such time is said."""
    for at in (0, *range(len(tokens) - 2, 0, -1)):
        length = length_at(tokens, at + 1) if tokens and tokens[at].is_in({"after"}) else None
        end = at + 1 + length.tokens if length is not None else 0
        if length is not None and (at == 0 or end == len(tokens)):
            rest = [*tokens[:at], *tokens[end:]]
            return Delay(
                length=length.text, said=tokens[at:end], rest=rest[1:] if rest and rest[0].is_in({","}) else rest
            )
    return None


def ask_when(notes: Notes, delay: Delay) -> None:
    """Note that a delay may be the limit of what it follows."""
    said, then = notes.said(delay.said), notes.said(delay.rest)
    words = [*delay.said, *delay.rest]
    span = (min(one.start for one in words), max(one.end for one in words))
    time = said.partition(" ")[2]
    choices = [
        notes.instead(span, f"if nothing comes within {time}, {then}", f"if nothing comes within {time}"),
        notes.instead(span, f"then wait {time}, then {then}", f"{time} after that has gone well"),
    ]
    notes.ask("ambiguous", f"From when does `{said}` count?", span, choices if then else ())
