"""The gate before a publication: an approval of exactly this content, for this environment, by another person."""

from __future__ import annotations

from streamflow.approvals.approval import Approval, Refusal
from streamflow.approvals.report import Approved, Report, hash_of, text_hash
from streamflow.errors import Rejected
from streamflow.settings import Approvals


def accepted(
    settings: Approvals,
    environment: str,
    *,
    name: str,
    version: str,
    sha256: str,
    by: str,
    given: Approval | None = None,
    kept: Approved | None = None,
    published: Approval | None = None,
    scenarios: str | None = None,
) -> Approval | None:
    """The approval that goes with `name@version` when `by` publishes it in `environment`: the one that was `given`,
    else the one that is `kept` for this content, else the one that the version was `published` with. None only where
    none is required. `scenarios` are those that are published with it.

    Raises Rejected (`approval_missing`, `approval_mismatch`, `approval_invalid`, `approval_own_work`) where approvals
    are required or one was given, and OperationError (`approval_key_invalid`)."""
    found = given or (kept.approval if kept is not None else None) or published
    must_hold = settings.required or given is not None
    if found is None and not must_hold:
        return None
    from streamflow.approvals.trust import Trust  # with cryptography: only for those who need it

    try:
        trust = Trust(environment, settings.trusted_keys)
        refusal = trust.refusal(found, name=name, version=version, sha256=sha256)
        if refusal is not None or found is None:
            raise _refused(refusal or "approval_missing", f"{name}@{version}", sha256, environment, found)
        if found != published:
            require_four_eyes(settings, found, by)
        if kept is not None:
            _require_report(found, kept.report, scenarios)
    except Rejected:
        if must_hold:
            raise
        return None
    return found


def require_four_eyes(settings: Approvals, approval: Approval, by: str) -> None:
    """Raises Rejected (`approval_own_work`) if two people are required and the approver is an author, or is
    `by`, who publishes."""
    if not settings.four_eyes:
        return
    if approval.by in approval.authors:
        raise _own_work(approval, "wrote it")
    if approval.by == by:
        raise _own_work(approval, "publishes it")


def _own_work(approval: Approval, what: str) -> Rejected:
    return Rejected(
        "approval_own_work",
        f"{approval.by} has approved {approval.name}@{approval.version} and {what}. Have another person approve it.",
        by=approval.by,
    )


def _require_report(approval: Approval, report: Report, scenarios: str | None) -> None:
    if hash_of(report) != approval.report:
        return  # the approval is of another report than the one that is kept; that one says nothing about it
    if scenarios is not None and text_hash(scenarios) != report.scenarios_sha256:
        raise Rejected(
            "approval_mismatch",
            f"The scenarios that are to be published with {approval.name}@{approval.version} are not those that were "
            "approved. Publish the approved ones, or have these approved.",
        )


def _refused(refusal: Refusal, reference: str, sha256: str, environment: str, approval: Approval | None) -> Rejected:
    if refusal == "approval_missing" or approval is None:
        return Rejected(
            "approval_missing",
            f"{reference} has no approval, and one is required in the environment {environment}. Approve its content, "
            "and publish it with that.",
            hash=sha256,
        )
    if refusal == "approval_mismatch":
        return Rejected(
            "approval_mismatch",
            f"The approval is one of {approval.name}@{approval.version} with the sha256 {approval.sha256[:12]} for the "
            f"environment {approval.environment}, not of {reference} with {sha256[:12]} for {environment}. Approve "
            "this content here.",
            hash=sha256,
        )
    return Rejected(
        "approval_invalid",
        f"The approval of {reference} is not signed by a trusted key (it names the key {approval.key[:32]!a}). Approve "
        "the content again, or add the key to approvals.trusted_keys.",
        hash=sha256,
    )
