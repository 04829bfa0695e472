"""The result of a drill: a verdict on every promise, the effect of each fault on progress, and what remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamflow.drill.environment import Removed
from streamflow.drill.faults import FAULTS, Injection
from streamflow_check.promises import Report


@dataclass(frozen=True)
class Struck:
    """A fault that was injected: when (seconds after the work began), and the longest time without a transition in any
    one partition."""

    injection: Injection
    at_s: float
    standstill_s: float

    @property
    def bound(self) -> str:
        return FAULTS[self.injection.fault].bound

    def facts(self) -> dict[str, Any]:
        return {
            **asdict(self.injection),
            "began_s": round(self.at_s, 2),
            "standstill_s": round(self.standstill_s, 2),
            "bound": self.bound,
        }


@dataclass
class Verdict:
    """The whole. `troubles` are what no promise names: that nothing moved any more, that events were not sent, that
    runs are parked.

    `fell`: workers that ended by themselves and were started again, with their exit codes; no trouble by itself."""

    seed: int
    prefix: str
    session_s: float
    struck: list[Struck]
    report: Report
    undisturbed_s: float
    facts: dict[str, Any] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    fell: dict[str, list[int]] = field(default_factory=dict)
    removed: Removed | None = None

    @property
    def ok(self) -> bool:
        return self.report.ok and not self.troubles

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        told = self.report.as_json()
        return {
            "ok": self.ok,
            "seed": self.seed,
            "prefix": self.prefix,
            "promises": told["promises"],
            "faults": [one.facts() for one in self.struck],
            "session_timeout_s": self.session_s,
            "standstill_undisturbed_s": round(self.undisturbed_s, 2),
            "troubles": self.troubles,
            "ended_by_themselves": self.fell,
            "facts": self.facts | told["facts"],
            "removed": asdict(self.removed) if self.removed is not None else None,
        }

    def table(self) -> str:
        """For people."""
        lines = [self.report.table(), "", *_standstills(self)]
        lines += [
            f"worker {name} ended by itself and was started again: {', '.join(map(str, codes))}"
            for name, codes in self.fell.items()
        ]
        lines += [f"trouble: {text}" for text in self.troubles]
        told = ", ".join(f"{count} {name}" for name, count in self.facts.items())
        words = "All promises were kept." if self.ok else "NOT EVERYTHING WAS KEPT."
        return "\n".join([*lines, "", f"{words} {told}; seed {self.seed}"])


def _standstills(verdict: Verdict) -> Sequence[str]:
    rows = [("FAULT", "WHOM", "AT s", "FOR s", "STANDSTILL s", "NOT LESS THAN")]
    rows += [
        (
            one.injection.fault,
            one.injection.target,
            f"{one.at_s:.1f}",
            f"{one.injection.for_s:.1f}",
            f"{one.standstill_s:.1f}",
            one.bound,
        )
        for one in verdict.struck
    ]
    rows.append(("none", "", "", "", f"{verdict.undisturbed_s:.1f}", ""))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [
        *shown,
        "(standstill: the longest time without a transition in any one partition; the session timeout was "
        f"{verdict.session_s:g} s)",
    ]
