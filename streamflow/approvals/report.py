"""The report that an approval is bound to: what checks, scenarios and a replay of earlier runs found about a content.
Pure."""

from __future__ import annotations

import hashlib

import msgspec

from streamflow.approvals.approval import Approval


class PlayedScenario(msgspec.Struct, frozen=True, kw_only=True):
    """How a scenario went."""

    name: str
    ok: bool  # whether everything went as it expects
    paths: tuple[tuple[str, ...], ...]  # of its runs: the outcomes of their steps
    differences: tuple[str, ...]  # sentences, none if it went as expected


class ShadowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay of earlier runs through this content found (`ops.shadow`)."""

    runs: int  # runs that were replayed
    against: str  # the version that each was compared with; empty: with what really happened
    same: int  # ended in the same way
    different: int  # ended differently
    incomparable: int  # could not be replayed


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about a content."""

    name: str  # of the definition
    version: str
    sha256: str  # of the content, in hex
    warnings: tuple[str, ...]  # of the checks; with an error there is no report
    scenarios_sha256: str | None  # of the text of the scenarios, in hex; None: there are none
    scenarios: tuple[PlayedScenario, ...]
    untaken: tuple[str, ...]  # steps and outcomes that no scenario reached
    shadow: ShadowSummary | None = None  # None: no earlier runs were replayed

    @property
    def failed(self) -> list[str]:
        """The names of the scenarios that did not go as expected."""
        return [one.name for one in self.scenarios if not one.ok]


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """An approval with the report that it is bound to, as `definitions` keeps it."""

    approval: Approval
    report: Report


def hash_of(report: Report) -> str:
    """The SHA-256 of a report as JSON with sorted names, in hex."""
    return hashlib.sha256(msgspec.json.encode(report, order="sorted")).hexdigest()


def text_hash(text: str) -> str:
    """The SHA-256 of the text of scenarios, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
