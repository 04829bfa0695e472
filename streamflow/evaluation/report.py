"""The result of an evaluation: every answer with its scores, sums over all, and what changed since another one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from streamflow.errors import Rejected
from streamflow.evaluation.scoring import SCORES, Asked

_SAME = 0.0005  # a smaller difference of a score is none: results are kept with three digits


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of an author."""

    case: str
    """The case's name."""

    round: int
    """Which request of the case, counted from 1."""

    edit: bool
    """Whether a definition was to be edited."""

    scores: dict[str, float | None]
    """The scores by name, from 0 to 1, with three digits; None where one does not apply."""

    solved: bool
    """Whether a person would have what they asked for."""

    asked: Asked
    """What there is to say of the questions."""

    faults: list[str]
    """What is wrong, as sentences."""

    text: str | None
    """The definition that the author gave."""

    questions: list[str]
    """The questions that the author asked."""

    tokens: int
    """Tokens of a language model."""

    cost: str | None
    """What they cost, in the currency of the report; None where no price is known."""

    seconds: float
    """How long the author took."""

    repairs: int
    """How often it was given problems and tried again."""

    error: str | None
    """Why there is no answer."""

    @property
    def place(self) -> str:
        """The case, and the round of an edit."""
        return f"{self.case} #{self.round}" if self.edit else self.case


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All answers of one author."""

    author: str
    """Which one, such as `rules` or `model:local`."""

    currency: str
    """That of the costs."""

    results: list[Result]
    """In the order of the cases and their rounds."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Sums over some results."""

    answers: int
    """How many."""

    solved: int
    """How many of them are what was asked for."""

    scores: dict[str, float | None]
    """The mean of each score over the answers that it applies to."""

    precision: float | None
    """Of the answers that asked: the share of those that should, about the right thing."""

    recall: float | None
    """Of the answers that should ask: the share of those that did, about the right thing."""

    tokens: int
    """All tokens."""

    cost: Decimal | None
    """The sum of the known costs; None if none is known."""

    seconds: float
    """The sum."""

    def facts(self) -> dict[str, Any]:
        """The sums as JSON would have them."""
        return {
            "answers": self.answers,
            "solved": self.solved,
            "scores": {name: None if value is None else round(value, 3) for name, value in self.scores.items()},
            "question_precision": None if self.precision is None else round(self.precision, 3),
            "question_recall": None if self.recall is None else round(self.recall, 3),
            "tokens": self.tokens,
            "cost": None if self.cost is None else str(self.cost),
            "seconds": round(self.seconds, 1),
        }


def summary(results: Iterable[Result]) -> Summary:
    """The sums over `results`."""
    found = list(results)
    asked = [one.asked for one in found]
    right = asked.count(Asked.RIGHT)
    did = right + asked.count(Asked.OTHER) + asked.count(Asked.NEEDLESS)
    should = right + asked.count(Asked.OTHER) + asked.count(Asked.MISSED)
    costs = [Decimal(one.cost) for one in found if one.cost is not None]
    return Summary(
        answers=len(found),
        solved=sum(one.solved for one in found),
        scores={name: _mean([one.scores.get(name) for one in found]) for name in SCORES},
        precision=right / did if did else None,
        recall=right / should if should else None,
        tokens=sum(one.tokens for one in found),
        cost=sum(costs, Decimal(0)) if costs else None,
        seconds=sum(one.seconds for one in found),
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A score that is another one than before, or an answer that is solved now or no more."""

    place: str
    """The case, and the round of an edit."""

    score: str
    """Which score, or `solved`."""

    before: float
    """What it was."""

    now: float
    """What it is."""

    @property
    def worse(self) -> bool:
        """Whether it is a regression."""
        return self.now < self.before


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What changed between two reports, over the answers that both have."""

    differences: tuple[Difference, ...]
    """By case, regressions and improvements."""

    compared: int
    """How many answers both have."""

    missing: int
    """How many answers only the earlier report has."""

    new: int
    """How many answers only the later report has."""

    @property
    def regressions(self) -> tuple[Difference, ...]:
        """What is worse."""
        return tuple(one for one in self.differences if one.worse)

    @property
    def improvements(self) -> tuple[Difference, ...]:
        """What is better."""
        return tuple(one for one in self.differences if not one.worse)


def compare(before: Report, now: Report) -> Comparison:
    """What changed from `before` to `now`. Tokens, costs and times are not compared."""
    old = {(one.case, one.round): one for one in before.results}
    both = [(old[one.case, one.round], one) for one in now.results if (one.case, one.round) in old]
    return Comparison(
        differences=tuple(difference for pair in both for difference in _differences(*pair)),
        compared=len(both),
        missing=len(old) - len(both),
        new=len(now.results) - len(both),
    )


def report_text(report: Report) -> str:
    """The report as JSON, as `read_report` reads it."""
    return json.dumps(msgspec.to_builtins(report), indent=1, ensure_ascii=False) + "\n"


def read_report(file: Path) -> Report:
    """The report in `file`. Raises Rejected (`file_unreadable`, `evaluation_invalid`)."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as error:
        raise Rejected("file_unreadable", f"The file {file} cannot be read: {error}. Check the path.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f"The file {file} holds no result of an evaluation: {error}. Name one that `eval --out` has written."
        raise Rejected("evaluation_invalid", text) from error


def write_report(file: Path, report: Report) -> None:
    """Write `report` to `file`, over what is there."""
    file.write_text(report_text(report), encoding="utf-8")


def _differences(before: Result, now: Result) -> Iterable[Difference]:
    pairs = [(name, before.scores.get(name), now.scores.get(name)) for name in SCORES]
    pairs.append(("solved", float(before.solved), float(now.solved)))
    for name, old, new in pairs:
        if old is not None and new is not None and abs(old - new) > _SAME:
            yield Difference(place=now.place, score=name, before=old, now=new)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
