"""`streamflow events trace`: the fate of one event."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.history.database import closing
from streamflow.history.reading import SILENT_S, behind, event_fates
from streamflow.history.rows import EventFate
from streamflow.history.store import open_store

_OUTCOMES = {
    "started": "started a run",
    "taken": "was taken by a wait",
    "copied": "was copied by a wait",
    "emitted": "was emitted by a run",
    "unclaimed": "was taken by no run",
    "expired": "was kept, and taken by no run in its time",
    "refused": "was refused",
    "rejected": "was rejected",
    "dead_letter": "is a dead letter",
}


def add_to(app: typer.Typer) -> None:
    """Give `app` its command."""
    app.command("trace", epilog=examples("events trace a81f-2291", "events trace a81f-2291 --source /shop --json"))(
        trace
    )


def trace(
    ctx: typer.Context,
    event_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="the event's id; for an event without one: topic id/partition/offset of its record",
        ),
    ],
    source: Annotated[str | None, typer.Option(help="only the event of this source")] = None,
) -> None:
    """Shows the fate of an event: the runs that it started, the waits that consumed it, or why nothing did."""
    session = session_of(ctx)
    settings = session.known
    with closing(open_store(settings)) as database:
        fates = event_fates(database, event_id, source)
        late = [one for one in behind(database, int(time.time() * 1000)) if one.records or one.silent_s > SILENT_S]
    rows = [
        (
            _OUTCOMES.get(fate.outcome, fate.outcome) + (f": {fate.reason}" if fate.reason else ""),
            fate.event,
            fate.definition,
            fate.key,
            ".".join(part for part in (fate.run, fate.step) if part) or fate.place,
            output.local_time(fate.at_ms),
        )
        for fate in fates
    ]
    text = output.table(
        ("fate", "event", "definition", "key", "where", "when"),
        rows,
        _nothing(settings.history.events_days),
    )
    if late:
        text += "\n\nThe history is behind, so this may not be all. See `streamflow history status`."
    session.show({"id": event_id, "outcomes": [_plain(fate) for fate in fates], "behind": bool(late)}, text)


def _nothing(days: int) -> str:
    return (
        "This event is not known. It is kept for a run that waits later, or no definition reads it, or it is a "
        f"repetition of an event with another id, or it came more than {days} days ago. `streamflow events tail` shows "
        "what is in its topic."
    )


def _plain(fate: EventFate) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(fate)
    return found
