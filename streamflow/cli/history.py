"""`streamflow history`: queries of the history store."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from streamflow.cli import history_shown, history_upkeep, output
from streamflow.cli.output import examples
from streamflow.cli.session import Session, session_of
from streamflow.errors import Rejected, StreamflowError
from streamflow.history.database import Database, closing
from streamflow.history.filters import STATUSES, RunFilter
from streamflow.history.queries import SORTS, count_runs, list_runs
from streamflow.history.reading import (
    SILENT_S,
    Behind,
    TroubleFilter,
    behind,
    list_trouble,
    trouble_counts,
)
from streamflow.history.rows import TROUBLE_KINDS, RunRow, TroubleRow
from streamflow.history.store import open_store
from streamflow.wire.event_time import epoch_ms

app = typer.Typer(
    add_completion=False,
    help="Search the history store of runs and events.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_CAP = 10_000


@app.command(
    epilog=examples(
        "history find --definition order-fulfilment --status failed",
        "history find --key-prefix A- --sort -duration --limit 10",
        "history find --attribute country=DE --from 2026-05-01T00:00:00Z --json",
    )
)
def find(
    ctx: typer.Context,
    definition: Annotated[str | None, typer.Option(help="only runs of this definition")] = None,
    version: Annotated[str | None, typer.Option("--of-version", help="only runs of this version of it")] = None,
    status: Annotated[str | None, typer.Option(help=f"only runs that are {', '.join(STATUSES)}")] = None,
    key: Annotated[str | None, typer.Option(help="only runs of this business key")] = None,
    key_prefix: Annotated[str | None, typer.Option(help="only runs whose business key starts with this")] = None,
    error: Annotated[str | None, typer.Option(help="only runs whose latest error has this code")] = None,
    parked_step: Annotated[str | None, typer.Option(help="only runs that are parked at this step")] = None,
    waits_for: Annotated[
        str | None,
        typer.Option(help="only runs that wait for this: an event, approval:WHO, call:OPERATION"),
    ] = None,
    parent: Annotated[str | None, typer.Option(help="only child runs of this run")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="only runs with this search attribute")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="only runs that started then or later (RFC 3339)")] = None,
    until: Annotated[str | None, typer.Option("--to", help="only runs that started before")] = None,
    sort: Annotated[str, typer.Option(help=f"one of {', '.join(SORTS)}")] = "-started",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="maximum number")] = 50,
    cursor: Annotated[str | None, typer.Option(help="cursor that the previous page printed")] = None,
) -> None:
    """Finds runs by their fields, newest first, and counts all that match (up to 10,000)."""
    wanted = RunFilter(
        definition=definition,
        version=version,
        status=status,
        key=key,
        key_prefix=key_prefix,
        error_code=error,
        parked_step=parked_step,
        waits_for=waits_for,
        parent=parent,
        attributes=dict(_pair(text) for text in attribute or ()),
        started_from_ms=_time(since),
        started_to_ms=_time(until),
    )
    session = session_of(ctx)
    with closing(_opened(session)) as database:
        page = list_runs(database, wanted, sort=sort, cursor=cursor, limit=limit)  # type: ignore[arg-type]
        count = count_runs(database, wanted, _CAP)
    rows = [
        (
            run.run,
            f"{run.definition}@{run.version}",
            run.key,
            "parked" if run.parked_step else run.status,
            _what(run),
            output.length(run.duration_ms) if run.duration_ms is not None else "",
            output.local_time(run.started_ms),
        )
        for run in page.rows
    ]
    text = output.table(("run", "definition", "key", "status", "what", "took>", "began"), rows, "no run matches")
    total = f"{count.n:,}{'+' if count.capped else ''}"
    text += f"\n\n{total} {'run matches' if count.n == 1 and not count.capped else 'runs match'}"
    if page.next is not None:
        text += f"; the next page: --cursor {page.next}"
    answer = {
        "runs": [msgspec.to_builtins(run) for run in page.rows],
        "next": page.next,
        "partial": page.partial,
        "count": msgspec.to_builtins(count),
    }
    session.show(answer, text)


def _what(run: RunRow) -> str:
    if run.parked_step:
        return f"{run.parked_step}: {run.error_code}"
    if run.status == "open":
        return f"waits for {run.waits_for}" if run.waits_for else run.error_code or ""
    return run.error_code or run.error_message or ""


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Rejected("filter_invalid", f"expected NAME=VALUE as an attribute but found {text!r}. Correct it.")
    return name, value


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return epoch_ms(text)
    except StreamflowError as error:
        raise Rejected(
            "filter_invalid", f"expected a time such as 2026-05-01T09:00:00Z but found {text!r}. Correct it."
        ) from error


def _opened(session: Session) -> Database:
    return open_store(session.known)


@app.command(epilog=examples("history status", "history status --json"))
def status(ctx: typer.Context) -> None:
    """Shows how far the history store is behind the topics, and whether its worker runs."""
    session = session_of(ctx)
    with closing(_opened(session)) as database:
        found = behind(database, int(time.time() * 1000))
        ((runs,),) = database.rows("SELECT count(*) FROM run")
    topics: dict[str, list[Behind]] = {}
    for one in found:
        topics.setdefault(one.topic, []).append(one)
    rows = [
        (topic, str(len(parts)), f"{sum(one.records for one in parts):,}", f"{max(one.seconds for one in parts):.1f}")
        for topic, parts in topics.items()
    ]
    silent_s = max((one.silent_s for one in found), default=0.0)
    running = bool(found) and silent_s <= SILENT_S
    text = output.table(("topic", "partitions>", "records>", "seconds>"), rows, "nothing is projected yet")
    text += f"\n\n{runs:,} runs; the worker {'runs' if running else f'has written nothing for {silent_s:.0f} s'}"
    session.show({"runs": runs, "worker_runs": running, "behind": [msgspec.to_builtins(one) for one in found]}, text)


@app.command(epilog=examples("history trouble", "history trouble --kind unclaimed --definition order-fulfilment"))
def trouble(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option(help=f"one of {', '.join(TROUBLE_KINDS)}")] = None,
    definition: Annotated[str | None, typer.Option(help="only of this definition")] = None,
    code: Annotated[str | None, typer.Option(help="only with this reason")] = None,
    settled: Annotated[bool, typer.Option("--all", help="also resolved entries")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="maximum number")] = 50,
    cursor: Annotated[str | None, typer.Option(help="cursor that the previous page printed")] = None,
) -> None:
    """Lists what needs attention: parked runs, dead letters, rejections, unclaimed events, newest first."""
    wanted = TroubleFilter(kind=kind, definition=definition, code=code, state=None if settled else "open")
    session = session_of(ctx)
    with closing(_opened(session)) as database:
        page = list_trouble(database, wanted, cursor=cursor, limit=limit)
        counts = trouble_counts(database, wanted, _CAP)
    rows = [
        (row.kind, row.code, row.definition, row.key or row.event, _where(row), output.local_time(row.at_ms))
        for row in page.rows
    ]
    text = output.table(("kind", "reason", "definition", "key", "where", "when"), rows, "nothing needs attention")
    counted = ", ".join(f"{n:,}{'+' if n >= _CAP else ''} {name}" for name, n in counts.items() if n)
    text += f"\n\n{counted}" if counted else ""
    if page.next is not None:
        text += f"\nthe next page: --cursor {page.next}"
    session.show(
        {"trouble": [msgspec.to_builtins(row) for row in page.rows], "counts": counts, "next": page.next}, text
    )


def _where(row: TroubleRow) -> str:
    return ".".join(part for part in (row.run, row.step) if part) or row.place


history_shown.add_to(app)
history_upkeep.add_to(app)
