"""`streamflow audit`: the audit log, and whether it is intact."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer

from streamflow.access.audit import Entry, verify
from streamflow.access.audit_log import read_entries
from streamflow.access.records import AuditHead
from streamflow.access.topic import AccessTopic
from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.topics import AUDIT
from streamflow.wire.unreadable import Unreadable

app = typer.Typer(add_completion=False, help="The audit log.", no_args_is_help=True, rich_markup_mode=None)

_EXPECTED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@app.command("list", epilog=examples("audit list", "audit list --who alice --json", "audit list --action key."))
def list_(
    ctx: typer.Context,
    who: Annotated[str | None, typer.Option(help="only actions of this user")] = None,
    action: Annotated[str | None, typer.Option(help="only actions that start with this, such as `user.`")] = None,
    target: Annotated[str | None, typer.Option(help="only targets whose name contains this")] = None,
    limit: Annotated[int, typer.Option(min=1, help="maximum number, newest first")] = 100,
) -> None:
    """Lists the entries, oldest first: time, user, action; with --json also the values before and after."""
    session = session_of(ctx)
    unreadable = Unreadable(AUDIT)

    def fits(entry: Entry) -> bool:
        return (
            who in (None, entry.who)
            and (action is None or entry.action.startswith(action))
            and (target is None or target in entry.target)
        )

    found = read_entries(session.settings, unreadable, fits)[-limit:]
    rows = [
        (str(one.number), output.local_time(one.at_ms)[:19], one.who, one.via, one.action, one.target) for one in found
    ]
    text = output.table(("number>", "time", "who", "by", "action", "target"), rows, "there are no entries")
    session.show({"entries": [msgspec.to_builtins(one) for one in found], "unreadable": unreadable.count}, text)


@app.command("verify", epilog=examples("audit verify", "audit verify --expect 4711:9f86d081884c7d65..."))
def verify_(
    ctx: typer.Context,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER:DIGEST that an earlier verification printed; may be given several times"),
    ] = None,
) -> None:
    """Checks that the entries are one hash chain in which nothing was changed, removed, inserted or cut off, and prints
    its last digest. Store that elsewhere: with --expect, a chain that was rebuilt is detected too."""
    session = session_of(ctx)
    expected = []
    for text in expect or []:
        given = _EXPECTED.fullmatch(text)
        if given is None:
            raise Rejected(
                "expected_invalid", f"{text[:200]!a} is not NUMBER:DIGEST. Give what `audit verify` printed."
            )
        expected.append(AuditHead(int(given[1]), given[2]))
    with AccessTopic(session.settings) as access:
        head = access.require_loaded().head
    unreadable = Unreadable(AUDIT)
    entries = [one for one in read_entries(session.settings, unreadable) if one.number <= head.number]
    found = verify(entries, head, expected)
    if found.breaks or unreadable.count:
        lines = "; ".join(f"entry {one.number}: {one.why}" for one in found.breaks[:20])
        raise OperationError(
            "audit_broken",
            f"The audit log is not intact: {lines or 'a record cannot be read'}. Check who may write to the topics.",
            retryable=False,
            breaks=len(found.breaks),
            unreadable=unreadable.count,
        )
    verified = {"entries": found.entries, "first": found.first, "last": found.last, "digest": found.digest}
    text = f"{found.entries} entries are one chain, numbers {found.first} to {found.last}\n{found.last}:{found.digest}"
    session.show(verified, text)
