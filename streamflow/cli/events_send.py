"""`streamflow events send`: sends events of the catalog, or records unchanged."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import definition_files, output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.definition.catalog import Catalog
from streamflow.errors import Rejected
from streamflow.kafka import reserved_topics
from streamflow.kafka.publication import read_log
from streamflow.ops.produce import Outgoing, Sent, event_of, send, with_schema
from streamflow.ops.sending import bound_topic, event_spec, legal_topic, received, unwanted, warnings_for
from streamflow.registry.event_writers import EventWriters
from streamflow.wire.codec import DecodeError
from streamflow.wire.event_record import at_path, key_text
from streamflow.wire.json_text import read_json

_NAMED = 5  # events that a warning names


def send_(
    ctx: typer.Context,
    event: Annotated[
        str | None, typer.Argument(metavar="[EVENT]", help="an event of the published catalog (or of --catalog)")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="send the data unchanged to this topic, without the catalog")
    ] = None,
    data: Annotated[str | None, typer.Option(help="the payload: JSON, @file, or - for stdin")] = None,
    file: Annotated[Path | None, typer.Option(help="a file with one payload a line (.jsonl or .jsonl.gz)")] = None,
    key: Annotated[
        str | None, typer.Option(help="the business key, added where the catalog reads it if it is missing")
    ] = None,
    key_path: Annotated[
        str | None, typer.Option(help="with --topic: path of the key in the payload, such as order.id")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="record header, such as ce_source=/shop; may be given several times"),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="maximum events a second")] = None,
    repeat_each: Annotated[
        int, typer.Option(min=1, help="send each event this many times in a row, to test duplicates")
    ] = 1,
    catalog: Annotated[Path | None, typer.Option(help="catalog file instead of the published one")] = None,
) -> None:
    """Sends events. With EVENT, missing fields that the catalog reads (discriminator, id, time, key) are added."""
    if (event is None) == (topic is None):
        raise Rejected("event_or_topic", "expected an EVENT or --topic but found both or neither. Give one of them.")
    if data is not None and file is not None:
        raise Rejected("data_or_file", "expected --data or --file but found both. Give one of them.")
    headers = _headers(header or [])
    session = session_of(ctx)
    if topic is not None:
        reserved_topics.require_users_topic(session.settings, topic)
    log = read_log(session.settings)
    events = definition_files.read_catalog(catalog) if catalog is not None else log.catalog()
    event_bytes = session.settings.limits.event_bytes
    if event is not None:
        spec = event_spec(events, event)
        target = bound_topic(spec)
        records: Iterator[Outgoing] = (
            event_of(spec, payload, key, headers, environment=log.environment) for payload in _payloads(data, file)
        )
        if event not in received(log):
            output.warn(unwanted([event]))
        warnings = partial(warnings_for, topic=target, specs=[spec], event=event, event_bytes=event_bytes)
        records = _looked_at(records, warnings)
        written = EventWriters().of(event, log.bindings.get(event))
        records = (with_schema(record, written) for record in records)
    else:
        assert topic is not None
        target = legal_topic(topic)
        path = key_path or (_common_key_path(events, topic) if key is None else None)
        records = (_plain(line, key, path, headers) for line in _lines(data, file))
        if specs := [each for each in events.events if topic in each.topics]:
            warnings = partial(warnings_for, topic=target, specs=specs, received=received(log), event_bytes=event_bytes)
            records = _looked_at(records, warnings)
        else:
            output.warn(f"no event of the catalog is in the topic {topic}: records sent there have no effect")
    if event is not None:
        reserved_topics.require_users_topic(session.settings, target)
    if repeat_each > 1:
        records = (copy for record in records for copy in repeat(record, repeat_each))
    last = Sent()
    for last in send(session.settings, target, records, rate=rate):
        if last.records and sys.stderr.isatty():
            sys.stderr.write(f"\r{last.records} sent")
    if sys.stderr.isatty() and last.records:
        sys.stderr.write("\r\033[K")
    place: dict[str, Any] = {"topic": target, "sent": last.records}
    text = f"{last.records} sent to {target}"
    if last.records == 1 and last.last is not None:
        place |= {"partition": last.last.partition(), "offset": last.last.offset()}
        text = f"sent to {target}, partition {last.last.partition()}, offset {last.last.offset()}"
    session.show(place, text)


def _lines(data: str | None, file: Path | None) -> Iterator[bytes]:
    try:
        if file is not None:
            with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
                yield from (line.rstrip(b"\r\n") for line in lines if line.strip())
        elif data == "-":
            yield sys.stdin.buffer.read()
        elif data is not None and data.startswith("@"):
            yield Path(data[1:]).read_bytes()
        else:
            yield os.fsencode(data or "{}")
    except (OSError, EOFError, zlib.error) as error:  # the last two, and an OSError without words, are of gzip
        name = file or (data or "").removeprefix("@")
        why = (error.strerror if isinstance(error, OSError) else None) or f"it is not a complete gzip file ({error})"
        raise Rejected("file_unreadable", f"{name} cannot be read: {why}. Check the path and the file.") from error


def _payloads(data: str | None, file: Path | None) -> Iterator[Any]:
    for number, line in enumerate(_lines(data, file), 1):
        try:
            yield read_json(line)
        except DecodeError as error:
            where = f"Line {number} of {file}" if file else "--data"
            raise Rejected(
                "data_not_json",
                f"{where} cannot be read ({error.code}). {error.message} With --topic it is sent unchanged.",
            ) from error


def _plain(line: bytes, key: str | None, path: str | None, headers: Mapping[str, str]) -> Outgoing:
    if key is None and path is not None:
        try:
            found = at_path(read_json(line), path)
        except DecodeError:
            found = None  # sent as it is: what is wrong with it is for the reader to say
        key = None if found is None else key_text(found)
    given = tuple((name, text.encode()) for name, text in headers.items())
    return Outgoing(None if key is None else key.encode(), line, given)


def _headers(given: list[str]) -> dict[str, str]:
    """The headers that `--header` names. Raises Rejected (`header_invalid`)."""
    found = {}
    for one in given:
        name, sign, text = one.partition("=")
        if not name or not sign:
            raise Rejected(
                "header_invalid", f"{one[:300]!r} is not a header. Write NAME=VALUE, such as ce_source=/shop."
            )
        found[name] = text
    return found


def _common_key_path(catalog: Catalog, topic: str) -> str | None:
    """Where the events of `topic` have their key, if they agree."""
    paths = {spec.key.path if spec.key is not None else None for spec in catalog.events if topic in spec.topics}
    return paths.pop() if len(paths) == 1 else None


def _looked_at(records: Iterator[Outgoing], warnings: Callable[[Outgoing], Iterator[str]]) -> Iterator[Outgoing]:
    """The same records; the `warnings` of the first one are told before it is sent."""
    for number, record in enumerate(records):
        if number == 0:
            for warning in warnings(record):
                output.warn(warning)
        yield record


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "send",
        epilog=examples(
            """events send order.placed --key A-1 --data '{"quantity": 2, "price_cents": 4500, "fragile": false}'""",
            "events send order.placed --data @order.json",
            "events send --topic loan-applications --file loan-events.jsonl.gz --key-path application",
        ),
    )(send_)
