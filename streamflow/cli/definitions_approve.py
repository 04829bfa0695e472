"""`streamflow definitions approve`, `approvals` and `approval-key`: signed approvals of definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamflow.approvals.report import Approved, Report
from streamflow.cli import definition_files, output, places
from streamflow.cli.actor import audited, user_name
from streamflow.cli.approval_files import write_new
from streamflow.cli.checking import CatalogFile, checked_all, tell
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.definition_approvals import approval_of, approvals_of, keep, report_on
from streamflow.ops.definitions import resolve
from streamflow.ops.shadow import MOST_RUNS, read_recorded, shadow


def approve(
    ctx: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="FILE|FOLDER|NAME[@VERSION]", help="a file, or a published definition")
    ],
    authors: Annotated[
        list[str] | None, typer.Option("--author", help="author of the definition; may be given several times")
    ] = None,
    by: Annotated[str | None, typer.Option(help="who approves; default: the user of this machine")] = None,
    note: Annotated[str, typer.Option(help="kept with the approval")] = "",
    hash: Annotated[str | None, typer.Option(help="the sha256 of the content that was reviewed")] = None,
    out: Annotated[Path | None, typer.Option(help="also write approval and report to this file")] = None,
    last: Annotated[
        int, typer.Option("--shadow", min=0, max=MOST_RUNS, help="number of newest runs to replay for the report")
    ] = 0,
    catalog: CatalogFile = None,
) -> None:
    """Approves a definition for this environment: checks it, plays its scenarios, and signs an approval of exactly this
    content and this report. `definitions publish` reads it from the log.

    The key is the setting approvals.signing_key."""
    session = session_of(ctx)
    log = read_log(session.settings)
    definition, events, scenarios, warnings = reviewed(session, log, reference, catalog)
    summary = None
    if last:
        recorded = read_recorded(session.settings, definition.name, last)
        summary = shadow(log, recorded, (definition, events)).summary()
    report = report_on(log, definition, events, warnings=warnings, scenarios=scenarios, shadow=summary)
    if hash is not None and hash != report.sha256:
        raise Rejected(
            "hash_mismatch",
            f"The content has the sha256 {report.sha256}, and {hash} was to be approved. Review this content, and "
            "approve it with its own hash.",
            hash=report.sha256,
        )
    approval = approval_of(
        session.settings, log.environment, report, authors=authors or [], by=by or user_name(), note=note
    )
    approved = Approved(approval=approval, report=report)
    facts = msgspec.to_builtins(approved)
    named = {"sha": report.sha256, "report": approval.report, "by": approval.by, "authors": approval.authors}
    audited(session.settings, "definition.approve", f"{report.name}@{report.version}", after=named)
    keep(session.settings, approved)
    if out is not None:
        write_new(out, json.dumps(facts, indent=2) + "\n")
    session.show(
        facts, "\n".join([_told(report), f"approved by {approval.by} for {log.environment}, key {approval.key}"])
    )


def approvals(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="only those of this definition")] = None,
) -> None:
    """Lists approvals, newest first: who approved which content, and whether it is published with it."""
    session = session_of(ctx)
    found = approvals_of(read_log(session.settings), name)
    rows = [
        (
            one["definition"],
            one["version"],
            one["state"],
            one["approval"]["by"],
            ", ".join(one["approval"]["authors"]) or "-",
            output.local_time(one["approval"]["at_ms"])[:19],
            one["approval"]["sha256"][:12],
        )
        for one in found
    ]
    empty = "there are no approvals; `streamflow definitions approve FOLDER` adds one"
    heads = ("definition", "version", "state", "approved by", "authors", "time", "sha256")
    session.show(found, output.table(heads, rows, empty))


def approval_key(
    ctx: typer.Context,
    new: Annotated[Path | None, typer.Option(metavar="FILE", help="generate a key and write it to this file")] = None,
) -> None:
    """Shows the public key of the key that signs approvals, as lines of a settings file, and its id."""
    from streamflow.approvals.signing import key_id, new_private_key, public_text, read_private_key

    session = session_of(ctx)
    reference = session.known.approvals.signing_key
    if new is not None:
        write_new(new, new_private_key())
        reference = f"file:{new.resolve()}"
    public = read_private_key(reference).public_key()
    facts = {"key": key_id(public), "public": public_text(public), "reference": reference}
    lines = [
        f"# key {facts['key']}",
        "approvals:",
        f"  trusted_keys: [{facts['public']}]",
        f"  signing_key: {reference}",
    ]
    session.show(facts, "\n".join(lines))


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command(
        "approve",
        epilog=examples(
            "definitions approve definitions/order-fulfilment --author ann --by bob",
            "definitions approve order-fulfilment@1 --by bob",
        ),
    )(approve)
    app.command("approvals", epilog=examples("definitions approvals", "definitions approvals order-fulfilment --json"))(
        approvals
    )
    app.command("approval-key", epilog=examples("definitions approval-key --new approvals.pem"))(approval_key)


def reviewed(
    session: Session, log: Snapshot, reference: str, catalog: Path | None
) -> tuple[Definition, Catalog, str | None, list[str]]:
    """What a file or a published version holds: the definition, its catalog, the text of its scenarios, and warnings
    about it. Raises Exit after telling of errors in it; Rejected, OperationError."""
    path = Path(reference)
    if not path.exists():
        name, version = resolve(log, reference)
        return *log.read_version(name, version), log.scenarios.get((name, version)), []
    around = CatalogResolver(lambda: log, whole=True)
    found = checked_all(session.settings, [path], catalog, around, published=around.events)
    if not all(each.ok for each in found):
        tell(session, found)
        raise typer.Exit(EXIT_AUTHOR)
    if len(found) != 1:
        raise Rejected(
            "approval_mismatch", f"There are {len(found)} definitions at {path}. Review and approve each on its own."
        )
    (each,) = found
    assert each.definition is not None
    assert each.catalog is not None
    beside = each.source.definition.parent / definition_files.SCENARIOS
    scenarios = places.text_of(beside) if beside.is_file() else None
    return each.definition, each.catalog, scenarios, [str(placed.problem) for placed in each.problems]


def _told(report: Report) -> str:
    """The report in a few lines."""
    parts: list[Any] = [f"{report.name}@{report.version}: sha256 {report.sha256[:12]}"]
    parts.append(f"{len(report.scenarios)} scenarios as expected" if report.scenarios else "no scenarios")
    if report.untaken:
        parts.append(f"never taken: {', '.join(report.untaken)}")
    lines = [", ".join(parts)]
    if (found := report.shadow) is not None:
        counts = f"{found.same} same, {found.different} different, {found.incomparable} incomparable"
        lines.append(f"{found.runs} runs against version {found.against}: {counts}")
    lines += [f"warning: {one}" for one in report.warnings]
    return "\n".join(lines)
