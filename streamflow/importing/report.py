"""What an import says of its source: each part mapped, approximated or refused, with its place and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition

Outcome = Literal["mapped", "approximated", "refused"]


class Refused(Exception):
    """A part of the source that has no place in a definition: why, and what to do about it."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the part at `pointer` (JSON pointer into the source). `became` is it in the definition, empty when
    it is not there."""

    outcome: Outcome
    pointer: str
    reason: str
    became: str = ""
    fix: str = ""

    def __str__(self) -> str:
        became = f" -> {self.became}" if self.became else ""
        return f"{self.pointer or '/'}{became}: {self.reason}" + (f" {self.fix}" if self.fix else "")


@dataclass(slots=True)
class Report:
    """Findings while they are made, in the order of the source."""

    findings: list[Finding] = field(default_factory=list)

    def mapped(self, pointer: str, reason: str, became: str = "") -> None:
        self.findings.append(Finding("mapped", pointer, reason, became))

    def approximated(self, pointer: str, reason: str, became: str = "", fix: str = "") -> None:
        self.findings.append(Finding("approximated", pointer, reason, became, fix))

    def refused(self, pointer: str, reason: str, fix: str) -> None:
        self.findings.append(Finding("refused", pointer, reason, fix=fix))


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of an import. `definition` is None when nothing of it can be a definition that passes the check.
    `catalog` holds a contract for every operation that it calls and nobody declared. `renamed` maps names of the source
    to ids of the definition where they differ."""

    definition: Definition | None
    catalog: Catalog
    findings: tuple[Finding, ...]
    renamed: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether nothing was refused."""
        return self.definition is not None and not self.of("refused")

    def of(self, outcome: Outcome) -> tuple[Finding, ...]:
        """The findings of one outcome."""
        return tuple(finding for finding in self.findings if finding.outcome == outcome)

    def facts(self) -> dict[str, Any]:
        """The report as JSON data."""
        counts = {outcome: len(self.of(outcome)) for outcome in ("mapped", "approximated", "refused")}
        return {
            "counts": counts,
            "findings": [asdict(finding) for finding in self.findings],
            "renamed": dict(self.renamed),
        }
