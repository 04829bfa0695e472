"""Approving what was handed in: the report on it, the signed approval that is bound to the report, and both in the log
of definitions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streamflow.approvals.approval import Approval, Promotion, Source
from streamflow.approvals.gate import accepted, require_four_eyes
from streamflow.approvals.report import Approved, PlayedScenario, Report, ShadowSummary, hash_of, text_hash
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_writing import Records, encoded, write
from streamflow.ops.scenarios import perform, published_children, read_scenarios
from streamflow.settings import Settings

Pair = tuple[Definition, Catalog]


def report_on(
    log: Snapshot,
    definition: Definition,
    catalog: Catalog,
    *,
    warnings: Iterable[str] = (),
    scenarios: str | None = None,
    children: Sequence[Pair] | None = None,
    shadow: ShadowSummary | None = None,
) -> Report:
    """What is found about a definition that was checked without errors: its `warnings`, how its `scenarios` (a text)
    go, and what a replay of earlier runs found. `children` are what it starts; else those that are published.

    Raises DefinitionError (`scenarios_invalid`), OperationError (`version_unreadable`)."""
    played: tuple[PlayedScenario, ...] = ()
    untaken: tuple[str, ...] = ()
    if scenarios is not None:
        done = perform(
            read_scenarios(scenarios),
            Lines(scenarios),
            definition,
            catalog,
            children=published_children(log, definition) if children is None else children,
        )
        untaken = tuple(done.untaken)
        played = tuple(
            PlayedScenario(name=one.name, ok=one.ok, paths=one.paths, differences=one.problems) for one in done.played
        )
    return Report(
        name=definition.name,
        version=definition.version,
        sha256=sha256_of(canonical(definition, catalog)),
        warnings=tuple(warnings),
        scenarios_sha256=text_hash(scenarios) if scenarios is not None else None,
        scenarios=played,
        untaken=untaken,
        shadow=shadow,
    )


def approval_of(
    settings: Settings,
    environment: str,
    report: Report,
    *,
    authors: Sequence[str],
    by: str,
    note: str = "",
    source: Source | None = None,
) -> Approval:
    """The signed approval of what `report` is about, by the person `by`, for `environment`; `source` is the revision of
    a conversation that has the content.

    Raises Rejected (`report_failed`, `approval_own_work`), OperationError (`approval_key_missing`,
    `approval_key_invalid`, `secret_missing`)."""
    if report.failed:
        raise Rejected(
            "report_failed",
            f"{report.name}@{report.version} cannot be approved: of its scenarios, {', '.join(report.failed)} did not "
            "go as expected. Correct the definition or the scenario.",
        )
    unsigned = Approval(
        name=report.name,
        version=report.version,
        sha256=report.sha256,
        report=hash_of(report),
        environment=environment,
        authors=tuple(dict.fromkeys(authors)),
        by=by,
        at_ms=time.time_ns() // 1_000_000,
        note=note,
        source=msgspec.UNSET if source is None else source,
    )
    require_four_eyes(settings.approvals, unsigned, by="")
    return _signed(settings, unsigned)


def promoted(settings: Settings, environment: str, approval: Approval, *, by: str) -> Approval:
    """`approval`, which is one of another environment, signed for `environment` by the key of `settings`; `by` promotes
    it. Raises OperationError as `approval_of`."""
    source = Promotion(environment=approval.environment, signature=approval.signature, by=by)
    moved = msgspec.structs.replace(approval, environment=environment, promoted=source)
    return _signed(settings, moved)


def _signed(settings: Settings, approval: Approval) -> Approval:
    from streamflow.approvals.signing import read_private_key, sign  # with cryptography: only for those who need it

    return sign(approval, read_private_key(settings.approvals.signing_key))


def keep(settings: Settings, approved: Approved) -> int:
    """Writes an approval with its report to the log of definitions, instead of an earlier one of the same content;
    its offset. Raises OperationError."""
    key = f"approval/{approved.approval.sha256}"

    def records(_log: Snapshot) -> Records:
        return {key: encoded(approved)}

    _, offsets = write(settings, records)
    return offsets[key]


def require_approval(
    settings: Settings,
    log: Snapshot,
    definition: Definition,
    sha: str,
    *,
    by: str,
    approval: Approval | None,
    scenarios: str | None,
) -> Approval | None:
    """The approval that publishing the content `sha` of `definition` would take, `by` whom it is published (see
    `approvals.gate.accepted`). Raises what publishing would raise, before anything is done."""
    kept = log.approvals.get(sha)
    if approval is None and kept is None and not settings.approvals.required:
        return None
    record = log.versions.get((definition.name, definition.version))
    return accepted(
        settings.approvals,
        log.environment,
        name=definition.name,
        version=definition.version,
        sha256=sha,
        by=by,
        given=approval,
        kept=kept,
        published=record.approval if record is not None and record.sha == sha else None,
        scenarios=scenarios,
    )


def read_approval(data: Any) -> Approval:
    """The approval in what a caller sent (JSON as data). Raises Rejected (`approval_invalid`)."""
    try:
        return msgspec.convert(data, type=Approval)
    except msgspec.ValidationError as error:
        raise Rejected(
            "approval_invalid",
            f"The request is not an approval: {error}. Send the approval as the approve request returned it.",
        ) from error


def approvals_of(log: Snapshot, name: str | None = None) -> list[dict[str, Any]]:
    """The approvals that are kept, or those of the definition `name`, the newest first, as JSON would have them.
    `state` is `published`, or `open`: the content is not published with it."""
    found = []
    for sha, approved in log.approvals.items():
        approval = approved.approval
        if name is not None and approval.name != name:
            continue
        record = log.versions.get((approval.name, approval.version))
        is_published = record is not None and record.sha == sha and record.approval == approval
        found.append(
            {
                "definition": approval.name,
                "version": approval.version,
                "state": "published" if is_published else "open",
                "approval": msgspec.to_builtins(approval),
                "report": msgspec.to_builtins(approved.report),
            }
        )
    return sorted(found, key=lambda one: -one["approval"]["at_ms"])
