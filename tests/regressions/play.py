"""Plays cases against two trees, one after the other, and never raises for what a tree does."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.regressions.case import Broken, Case, State, Unclear, Verdict

_EVIDENCE = 600  # characters

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A case and its two verdicts."""

    case: Case
    base: Verdict
    now: Verdict

    @property
    def ok(self) -> bool:
        """Whether it is broken on the earlier revision, or may not be shown there, and holds now."""
        return not self.complaint

    @property
    def complaint(self) -> str:
        """What is wrong with the pair of verdicts; empty when nothing is."""
        wrong = []
        if self.base.state not in (State.BROKEN, State.LEFT_OUT):
            wrong.append(f"is not broken on the earlier revision: {self.base.state}")
        if self.now.state not in (State.HOLDS, State.LEFT_OUT):
            wrong.append(f"does not hold now: {self.now.state}")
        return "; ".join(wrong)


class Side(Protocol):
    """A tree with a broker, on which cases are played."""

    label: str

    def play(self, case: Case) -> str:
        """What was seen when the case holds. Raises Broken, or anything else when it could not be played."""


def verdict_of(case: Case, side: Side) -> Verdict:
    """Plays a case on one side."""
    if side.label == "base" and case.not_on_base:
        return Verdict(state=State.LEFT_OUT, evidence=case.not_on_base)
    began = time.monotonic()
    try:
        state, seen = State.HOLDS, side.play(case)
    except Broken as error:
        state, seen = State.BROKEN, str(error)
    except Unclear as error:
        state, seen = State.ERROR, str(error)
    except Exception as error:  # noqa: BLE001 - it is in the report, and the other cases go on
        state, seen = State.ERROR, "".join(traceback.format_exception(error))[-2 * _EVIDENCE :]
    return Verdict(state=state, evidence=seen[: 2 * _EVIDENCE], seconds=time.monotonic() - began)


def play(cases: Sequence[Case], base: Side, now: Side, say: Say, only: str = "") -> list[Row]:
    """Every case on both sides, in the order given; on one side only when its label is given."""
    rows = []
    for number, case in enumerate(cases, 1):
        verdicts = []
        for side in (base, now):
            if only not in ("", side.label):
                verdicts.append(Verdict(state=State.LEFT_OUT, evidence="not asked for"))
                continue
            say(f"{number}/{len(cases)} {case.name} on {side.label} (about {case.seconds} s)")
            verdict = verdict_of(case, side)
            say(f"{number}/{len(cases)} {case.name} on {side.label}: {verdict.state} after {verdict.seconds:.0f} s")
            say(f"  {verdict.evidence[:_EVIDENCE]}")
            verdicts.append(verdict)
        rows.append(Row(case=case, base=verdicts[0], now=verdicts[1]))
    return rows


def site_folder(folder: Path, case: Case) -> Path:
    """Where a case keeps its logs and stores, below the folder of its side."""
    return folder / case.name
