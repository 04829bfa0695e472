"""`streamflow runs erase`: erases a business key from the state, and lists the topics that still contain it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.confirmation import confirm
from streamflow.cli.output import examples
from streamflow.cli.session import Session, session_of
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.ops.erasure import Remains, described, drop_letters, known_definitions, remains
from streamflow.ops.erasure import erase as erase_key
from streamflow.ops.erasure_batch import erase_keys, find_keys

_SHOWN = 20  # keys in a plan
_ELSEWHERE = (
    "Not covered: copies in runs of other keys, data in users' topics and external systems, the source topics, and "
    "files of local stores until they are compacted."
)


def erase(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Option("--key", help="the business key")] = None,
    key_prefix: Annotated[
        str | None,
        typer.Option("--key-prefix", help="instead of --key: all keys with this prefix, such as those of a load run"),
    ] = None,
    definition: Annotated[str | None, typer.Option(help="only of this definition; default: all")] = None,
    why: Annotated[str, typer.Option("--why", help="reason, kept in `audit` for years: no personal data")] = "",
    plan: Annotated[
        bool, typer.Option("--plan", help="only list which topics contain the key, and until when")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="cancel open runs of the key first")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="seconds to wait for the engine")] = 60.0,
) -> None:
    """Erases a business key from the state, drops its open dead letters, and lists which topics still contain it and
    until when. May be repeated."""
    session = session_of(ctx)
    settings = session.settings
    definitions = known_definitions(read_log(settings), definition)
    if (key is None) == (key_prefix is None):
        raise Rejected("key_missing", "Both or neither of --key and --key-prefix are given. Give one of them.")
    if not plan and not why.strip():
        raise Rejected("reason_missing", "Erasing a key needs a reason. Give it with --why, without personal data.")
    if key is None:
        _erase_all(
            session,
            key_prefix or "",
            definitions,
            why,
            definition=definition,
            plan=plan,
            force=force,
            yes=yes,
            timeout_s=timeout_s,
        )
        return
    account, dropped = None, 0
    if not plan:
        confirm("Erase this key? It cannot be undone.", yes=yes)
        account = erase_key(settings, key, definitions, reason=why, force=force, timeout_s=timeout_s)
        dropped = drop_letters(settings, [key], definition)
    with output.reading("searching the topics") as progress:
        left = remains(settings, key, definitions, progress)
    lines = []
    if account is not None:
        lines.append(
            f"erased: {account.records} records of the state, {account.events} of them kept events; {dropped} dead "
            f"letters dropped. The account in audit is {account.command_id}"
        )
    lines += [_table(left), _ELSEWHERE]
    answer = {
        "erased": None if account is None else described(account),
        "dropped": dropped,
        "remains": [asdict(one) for one in left],
    }
    session.show(answer, "\n".join(lines))


def _erase_all(
    session: Session,
    prefix: str,
    definitions: Sequence[str],
    why: str,
    *,
    definition: str | None,
    plan: bool,
    force: bool,
    yes: bool,
    timeout_s: float,
) -> None:
    """Every key that begins with `prefix`; `definition` is the one that was named."""
    with output.reading("reading runs") as progress:
        found = find_keys(session.installation, prefix, definitions, progress)
    facts = {"keys": len(found.keys), "open_runs": len(found.open_runs)}
    said = f"{len(found.keys)} keys begin with {prefix}; {len(found.open_runs)} runs of them are open"
    if plan or not found.keys:
        session.show(facts | {"first": found.keys[:_SHOWN]}, said)
        return
    confirm(f"{said}. Erase them? It cannot be undone.", yes=yes)
    with output.reading("erasing", "keys") as progress:
        done = erase_keys(
            session.settings,
            found,
            definitions,
            reason=why,
            force=force,
            timeout_s=timeout_s,
            progress=progress,
        )
    dropped = drop_letters(session.settings, done.erased, definition) if done.erased else 0
    counts = Counter(done.left.values())
    text = (
        f"erased: {len(done.erased)} keys, {done.records} records of the state, {done.events} of them kept events; "
        f"{dropped} dead letters dropped"
    )
    left = ", ".join(f"{count} {code}" for code, count in counts.items())
    text += f"; not erased: {left}" if left else ""
    erased = {"erased": len(done.erased), "records": done.records, "dropped": dropped, "left": done.left}
    session.show(facts | erased, f"{text}\n{_ELSEWHERE}")


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "erase",
        epilog=examples(
            "runs erase --key A-1 --plan",
            'runs erase --key A-1 --why "request 17"',
            'runs erase --key-prefix load-3f2a1c- --force --yes --why "load run"',
            'runs erase --key A-1 --definition payment --force --yes --why "request 17"',
        ),
    )(erase)


def _table(left: list[Remains]) -> str:
    rows = [
        (
            one.topic,
            str(one.records),
            output.local_time(one.newest_ms)[:19],
            "not bounded" if one.gone_ms is None else output.local_time(one.gone_ms)[:19],
            one.why,
        )
        for one in left
    ]
    return output.table(("topic", "records>", "newest", "gone by", "because"), rows, "no own topic keeps the key")
