"""The promises by name, and what was found of each: how often it was looked at, how often it was broken, and the first
evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

PROMISES: dict[str, str] = {
    "acknowledged-input": "every acknowledged input has its one outcome",
    "one-outcome": "no command vanishes",
    "counts-add-up": "the durable counts are what the topics hold",
    "at-rest": "everything is read and decided, and committed so",
    "one-chain": "seq counts from 1 without gap or fork, each with its cause",
    "identical-copies": "what comes again is the same bytes",
    "broker-time": "times are the broker's at the cause",
    "pinned-version": "a run keeps the version that it started with",
    "once-consumed": "an event is consumed once at most, and a run takes it once at most",
    "events-accounted": "every delivered event is consumed, or accounted for",
    "timers-on-time": "no timer is early, none is too late",
    "one-result": "at most one accepted result of an attempt",
    "calls-sent": "attempts and tasks are the same",
    "children-answered": "child runs are asked for, and their parents notified",
    "ledger-complete": "the outside knows of every call that was done",
    "events-emitted": "every emitted event is published",
    "dead-letters-whole": "dead letters hold the original bytes",
    "state-is-fold": "the changelog is what the transitions add up to",
    "cli-agrees": "the command line reports the same",
    "api-agrees": "the API returns the same",
    "history-agrees": "the history store holds the same",
}

Word = Literal["kept", "BROKEN", "not looked at"]
SHOWN = 5


@dataclass
class Finding:
    """The result of one promise. `looked` counts what was compared, `broken` the violations, `evidence` the first of
    them in words."""

    promise: str
    looked: int = 0
    broken: int = 0
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def word(self) -> Word:
        return "BROKEN" if self.broken else "kept" if self.looked else "not looked at"


@dataclass
class Report:
    """All findings. `facts` are counts that are neither right nor wrong."""

    findings: dict[str, Finding] = field(default_factory=lambda: {name: Finding(name) for name in PROMISES})
    facts: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def looked(self, promise: str, times: int = 1) -> None:
        self.findings[promise].looked += times

    def broken(self, promise: str, evidence: str, times: int = 1) -> None:
        finding = self.findings[promise]
        finding.looked = max(finding.looked, 1)
        finding.broken += times
        if len(finding.evidence) < SHOWN:
            finding.evidence.append(evidence)

    def hold(self, promise: str, holds: bool, evidence: str) -> None:
        """One look: a violation unless `holds`. For rare looks; `evidence` is made each time."""
        self.looked(promise)
        if not holds:
            self.broken(promise, evidence)

    def note(self, promise: str, text: str) -> None:
        notes = self.findings[promise].notes
        if len(notes) < SHOWN and text not in notes:
            notes.append(text)

    @property
    def ok(self) -> bool:
        return not self.broken_promises

    @property
    def broken_promises(self) -> list[str]:
        return [name for name, finding in self.findings.items() if finding.broken]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "promises": [
                {
                    "promise": name,
                    "verdict": finding.word,
                    "looked": finding.looked,
                    "broken": finding.broken,
                    "evidence": finding.evidence,
                    "notes": finding.notes,
                }
                for name, finding in self.findings.items()
            ],
            "facts": self.facts | dict(sorted(self.counts.items())),
        }

    def table(self) -> str:
        """For people: a line a promise, the evidence and the facts below."""
        lines = [("PROMISE", "VERDICT", "LOOKED AT", "BROKEN", "")]
        lines += [
            (name, f.word, f"{f.looked:,}", f"{f.broken:,}" if f.broken else "", PROMISES[name])
            for name, f in self.findings.items()
        ]
        widths = [max(len(line[place]) for line in lines) for place in range(4)]
        shown = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]).rstrip()
            for line in lines
        ]
        for finding in self.findings.values():
            shown += [f"  {finding.promise}: {text}" for text in finding.evidence]
            if finding.broken > len(finding.evidence):
                shown.append(f"  {finding.promise}: and {finding.broken - len(finding.evidence):,} more")
            shown += [f"  {finding.promise}, note: {text}" for text in finding.notes]
        shown += [f"{name}: {value}" for name, value in self.as_json()["facts"].items()]
        return "\n".join(shown)
