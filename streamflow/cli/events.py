"""`streamflow events`: send events of the catalog, watch topics, and show the fate of events."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END

from streamflow.cli import events_send, events_trace, output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.kafka import reserved_topics
from streamflow.kafka.publication import read_log
from streamflow.kafka.topics import STATE, UNCLAIMED
from streamflow.kafka.unknown_names import require_definition
from streamflow.ops.deliveries import read_deliveries
from streamflow.ops.sending import bound_topic, event_spec, legal_topic, reader_of
from streamflow.ops.topic_reader import Reading
from streamflow.ops.unclaimed import read_unclaimed
from streamflow.settings import Settings
from streamflow.terminal import visible
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import Unreadable

app = typer.Typer(
    add_completion=False,
    help="Send events of the catalog, and watch topics.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=examples("events unclaimed", "events unclaimed --key A-1", "events unclaimed --event payment.received")
)
def unclaimed(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Option(help="only those of this business key")] = None,
    event: Annotated[str | None, typer.Option(help="only those of this name")] = None,
    definition: Annotated[str | None, typer.Option(help="only those for this definition")] = None,
    limit: Annotated[int, typer.Option(min=1, help="maximum number, newest first")] = 50,
) -> None:
    """Lists events that no run consumed, newest first, with the reason and the run that came closest."""
    session = session_of(ctx)
    unreadable = Unreadable(UNCLAIMED)
    with output.reading("reading unclaimed events") as progress:
        found = [
            one
            for one in read_unclaimed(session.installation, key=key, progress=progress, unreadable=unreadable)
            if event in (None, one.event.event) and definition in (None, one.event.definition)
        ]
    if not found and (event is not None or definition is not None):
        _require_known(session.settings, event, definition)
    found.sort(key=lambda one: one.event.ended_ms, reverse=True)
    counts = dict(Counter(one.event.reason for one in found).most_common())
    rows = [
        (
            output.local_time(one.event.ended_ms),
            one.event.event,
            one.event.id,
            one.event.key,
            one.event.definition,
            one.event.outcome,
            one.words(),
        )
        for one in found[:limit]
    ]
    heads = ("when", "event", "id", "key", "definition", "outcome", "why")
    text = output.table(heads, rows, "there are no unclaimed events")
    if found:
        text += f"\n\n{len(found)} events: " + ", ".join(f"{count} {reason}" for reason, count in counts.items())
    if skipped := unreadable.summary():
        text += f"\n\n{skipped}"
    shown = [one.described() for one in found[:limit]]
    session.show({"unclaimed": shown, "counts": counts, "total": len(found), "unreadable": unreadable.count}, text)


@app.command(epilog=examples("events counts", "events counts --definition payment --json"))
def counts(
    ctx: typer.Context,
    definition: Annotated[str | None, typer.Option(help="only those for this definition")] = None,
) -> None:
    """Counts the outcomes of deliveries of events since the topics were created, as of the last checkpoints: events
    that started a run or were claimed, duplicates (`duplicate`), events that a definition suppresses (`refused`:
    `run_open`), and unclaimed ones. If `delivered` is larger than the sum of outcomes, the others are kept for later
    runs."""
    session, unreadable = session_of(ctx), Unreadable(STATE)
    with output.reading("reading the state") as progress:
        found = read_deliveries(session.installation, progress, unreadable)
    rows, deliveries = [], []
    for name, counted in found.items():
        if definition not in (None, name):
            continue
        for place, count in sorted(counted.items()):
            event, outcome, *reason = place.split("/", 2)
            rows.append((name, event, outcome, *(reason or [""]), str(count)))
            deliveries.append(
                {"definition": name, "event": event, "outcome": outcome, "reason": "".join(reason), "count": count}
            )
    if not deliveries and definition is not None:
        _require_known(session.settings, None, definition)
    text = output.table(("definition", "event", "outcome", "reason", "count>"), rows, "no event was delivered")
    if skipped := unreadable.summary():
        text += f"\n\n{skipped}"
    session.show({"deliveries": deliveries, "unreadable": unreadable.count}, text)


@app.command(epilog=examples("events tail shipping", "events tail order.shipped --from-beginning --limit 5 --json"))
def tail(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="TOPIC|EVENT", help="a topic, or an event of the published catalog")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="begin with the oldest record")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="end after this number of records")] = None,
    wait_s: Annotated[
        float | None, typer.Option("--wait", min=0, help="end when nothing has arrived for this many seconds")
    ] = None,
) -> None:
    """Shows records as they arrive, until Ctrl-C. For an event, only its records, as ingress decodes them."""
    session = session_of(ctx)
    catalog = read_log(session.settings).catalog()
    spec = catalog.event(what)
    topic, readers = (legal_topic(what), None) if spec is None else (bound_topic(spec), reader_of([spec]))
    if (owner := reserved_topics.owner(session.settings, topic)) not in (None, session.settings.topics.prefix):
        output.warn(f"the topic {topic} belongs to another installation of Streamflow, with the prefix {owner}")
    left, heard = limit, time.monotonic()
    with Reading(session.settings, topic, start=OFFSET_BEGINNING if from_beginning else OFFSET_END) as reading:
        output.note(f"reading {topic} ({len(reading.partitions)} partitions); Ctrl-C ends")
        while left is None or left > 0:
            for record in reading.follow():
                heard = time.monotonic()
                if readers is not None and not readers.read(record, "")[0]:
                    continue
                _show_record(record, as_json=session.json)
                left = None if left is None else left - 1
                if left == 0:
                    return
            if wait_s is not None and time.monotonic() - heard > wait_s:
                return


def _require_known(settings: Settings, event: str | None, definition: str | None) -> None:
    """Raises Rejected (`event_unknown`, `unknown_definition`) for a name that nothing published has."""
    log = read_log(settings)
    if event is not None:
        event_spec(log.catalog(), event)
    if definition is not None:
        require_definition(log, definition)


def _show_record(record: Record, *, as_json: bool) -> None:
    key = None if record.key is None else record.key.decode("utf-8", "backslashreplace")
    value = None if record.value is None else record.value.decode("utf-8", "backslashreplace")
    headers = {name: (text or b"").decode("utf-8", "backslashreplace") for name, text in record.headers}
    if as_json:
        place = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
        }
        output.say_json(place | {"key": key, "headers": headers, "value": value}, line=True)
        return
    kind = f" {headers['ce_type']}" if "ce_type" in headers else ""
    where = f"{output.local_time(record.timestamp_ms)} {record.partition}/{record.offset}"
    output.say(visible(f"{where} {key}{kind} {value}"))


events_send.add_to(app)
events_trace.add_to(app)
