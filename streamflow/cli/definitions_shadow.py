"""`streamflow definitions shadow`: replays of the last runs with another content."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.checking import CatalogFile
from streamflow.cli.definitions_approve import reviewed
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.kafka.publication import read_log
from streamflow.ops.shadow import MOST_RUNS, Shadow, read_recorded
from streamflow.ops.shadow import shadow as replayed
from streamflow.ops.shadow_range import read_range, shadow_range

MOMENTS = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


def shadow(
    ctx: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="FILE|FOLDER|NAME@VERSION", help="the other content: a file, or a version")
    ],
    last: Annotated[int, typer.Option(min=1, max=MOST_RUNS, help="number of newest ended runs to replay")] = 20,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=MOMENTS,
            help="replay the events from this time on (UTC) instead of runs",
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, help="with --since: end of the period (UTC); default: now")
    ] = None,
    catalog: CatalogFile = None,
) -> None:
    """Replays the last runs of a definition with another content and with the current version, and shows which end
    differently and the first step that differs. With --since, the events of a period are replayed, so that runs that
    only one of the two starts are shown too. Nothing is called or emitted: operations return their recorded answers."""
    session = session_of(ctx)
    log = read_log(session.settings)
    definition, events, _, _ = reviewed(session, log, reference, catalog)
    pair = definition, events
    if since is not None:
        recorded = read_range(session.settings, log, pair, _ms(since), _ms(until or datetime.now(UTC)))
        found = shadow_range(log, recorded, pair)
    else:
        found = replayed(log, read_recorded(session.settings, definition.name, last), pair)
    session.show(found.facts(), summary(found))


def _ms(moment: datetime) -> int:
    """A time in epoch milliseconds; without an offset it is one of UTC."""
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def summary(found: Shadow) -> str:
    """The result in a few lines."""
    counts = ", ".join(f"{found.count(name)} {name}" for name in ("same", "different", "incomparable"))
    lines = [f"{found.definition}: {len(found.rows)} runs against version {found.against}: {counts}"]
    rows = []
    for row in found.rows:
        if row.result == "same":
            continue
        ends = [
            one["status"] + (f" ({one['ended']})" if one["ended"] else "") for one in (row.before, row.after) if one
        ]
        detail = row.why or f"{' -> '.join(ends)}; differs in {', '.join(row.what)}"
        rows.append((row.run or "-", row.key, row.result, row.first or "-", detail))
    if rows:
        lines.append(output.table(("run", "key", "result", "first step", "what"), rows, ""))
    return "\n".join(lines)


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "shadow",
        epilog=examples(
            "definitions shadow definitions/order-fulfilment",
            "definitions shadow payment@2 --last 100",
            "definitions shadow payment@2 --since 2026-03-01T08:00",
        ),
    )(shadow)
