"""`streamflow events send`: events as the catalog says, or records as they are."""

from __future__ import annotations

import gzip
import os
import re
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import output, sources
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.core.event_router import too_large
from streamflow.definition.catalog import TOPIC, Catalog, EventSpec
from streamflow.definition.content import received_events
from streamflow.definition.expression import compile_expression
from streamflow.errors import DefinitionError, Rejected
from streamflow.kafka import reserved_topics
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.produce import Outgoing, Sent, event_of, send
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Record
from streamflow.wire.event_record import at_path, key_text
from streamflow.wire.extraction import TopicReader
from streamflow.wire.json_text import read_json

_NAMED = 5  # events that a warning names


def send_(
    ctx: typer.Context,
    event: Annotated[
        str | None, typer.Argument(metavar="[EVENT]", help="an event of the published catalog (or of --catalog)")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="send the data as it is to this topic, whatever the catalog says")
    ] = None,
    data: Annotated[str | None, typer.Option(help="the payload: JSON, @file, or - for stdin")] = None,
    file: Annotated[Path | None, typer.Option(help="a file with one payload a line (.jsonl or .jsonl.gz)")] = None,
    key: Annotated[
        str | None, typer.Option(help="the business key, put where the catalog says if it is not there")
    ] = None,
    key_path: Annotated[
        str | None, typer.Option(help="with --topic: where in the payload the key is, such as order.id")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="a header of the record, such as ce_source=/shop; may be given again"),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="events a second at most")] = None,
    repeat_each: Annotated[
        int, typer.Option(min=1, help="send each one so many times in a row, as some producers do")
    ] = 1,
    catalog: Annotated[Path | None, typer.Option(help="catalog file instead of the published one")] = None,
) -> None:
    """Sends events. With EVENT, what the catalog reads (what tells it from others, id, time, key) is added where it is
    missing."""
    if (event is None) == (topic is None):
        raise Rejected("event_or_topic", "expected an EVENT or --topic but found both or neither. Give one of them.")
    if data is not None and file is not None:
        raise Rejected("data_or_file", "expected --data or --file but found both. Give one of them.")
    headers = _headers(header or [])
    session = session_of(ctx)
    if topic is not None:
        reserved_topics.require_users_topic(session.settings, topic)
    log = read_log(session.settings)
    events = sources.read_catalog(catalog) if catalog is not None else log.catalog()
    event_bytes = session.settings.limits.event_bytes
    if event is not None:
        spec = event_spec(events, event)
        target = bound_topic(spec)
        records: Iterator[Outgoing] = (
            event_of(spec, payload, key, headers, environment=log.environment) for payload in _payloads(data, file)
        )
        if event not in _received(log):
            output.warn(_unwanted([event]))
        warnings = partial(warnings_for, topic=target, specs=[spec], event=event, event_bytes=event_bytes)
        records = _looked_at(records, warnings)
    else:
        assert topic is not None
        target = legal_topic(topic)
        path = key_path or (_common_key_path(events, topic) if key is None else None)
        records = (_plain(line, key, path, headers) for line in _lines(data, file))
        if specs := [each for each in events.events if topic in each.topics]:
            warnings = partial(
                warnings_for, topic=target, specs=specs, received=_received(log), event_bytes=event_bytes
            )
            records = _looked_at(records, warnings)
        else:
            output.warn(f"no event of the catalog is in the topic {topic}: nothing will happen with what is sent there")
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


def event_spec(catalog: Catalog, event: str) -> EventSpec:
    """The event of the catalog that is called `event`. Raises Rejected (`event_unknown`)."""
    spec = catalog.event(event)
    if spec is None:
        fix = remedy(event, [each.name for each in catalog.events], "events")
        raise Rejected("event_unknown", f"The catalog has no event {event}. {fix}")
    return spec


def bound_topic(spec: EventSpec) -> str:
    """The topic that `spec` is sent to. Raises Rejected when it is bound to none."""
    if not spec.topics:
        raise Rejected(
            "event_unbound",
            f"The event {spec.name} is bound to no topic here. Publish a catalog that says which, or name one with "
            "--topic.",
        )
    return spec.topics[0]


def legal_topic(topic: str) -> str:
    """`topic`. Raises Rejected (`topic_invalid`) when no topic can be called so."""
    if re.fullmatch(TOPIC, topic) is None:
        raise Rejected(
            "topic_invalid",
            f"{topic[:300]!r} cannot be the name of a topic. Use letters, digits and . _ -, at most 249 of them",
        )
    return topic


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
        why = (error.strerror if isinstance(error, OSError) else None) or f"it is no whole gzip ({error})"
        raise Rejected("file_unreadable", f"{name} cannot be read: {why}. Check the path and the file.") from error


def _payloads(data: str | None, file: Path | None) -> Iterator[Any]:
    for number, line in enumerate(_lines(data, file), 1):
        try:
            yield read_json(line)
        except DecodeError as error:
            where = f"Line {number} of {file}" if file else "--data"
            raise Rejected(
                "data_not_json",
                f"{where} cannot be read ({error.code}). {error.message} With --topic it is sent as it is.",
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
            raise Rejected("header_invalid", f"{one[:300]!r} is no header. Write NAME=VALUE, such as ce_source=/shop.")
        found[name] = text
    return found


def _common_key_path(catalog: Catalog, topic: str) -> str | None:
    """Where the events of `topic` have their key, if they agree."""
    paths = {spec.key.path if spec.key is not None else None for spec in catalog.events if topic in spec.topics}
    return paths.pop() if len(paths) == 1 else None


def _received(log: Snapshot) -> set[str]:
    """The events that published definitions start by or wait for."""
    return {name for served in log.served() for name in received_events(served.definition)}


def _unwanted(events: Iterable[str]) -> str:
    return f"no published definition starts by {' or '.join(sorted(events))} or waits for it: it is sent, and ignored"


def reader_of(specs: Sequence[EventSpec]) -> TopicReader:
    """A reader of records that may be the events `specs`. Raises DefinitionError (`catalog_invalid`), which names the
    event whose entry in the catalog cannot be used."""
    for spec in specs:
        try:
            TopicReader([(0, spec)], compile_expression)
        except (ValueError, DefinitionError) as error:
            problems = error.problems if isinstance(error, DefinitionError) else ()
            why = problems[0].message if problems else f"{error}."
            text = f"The entry of the event {spec.name} in the catalog cannot be used: {why} Correct it there."
            raise DefinitionError(problems, code="catalog_invalid", message=text) from error
    return TopicReader(enumerate(specs), compile_expression)


def warnings_for(
    record: Outgoing,
    *,
    topic: str,
    specs: Sequence[EventSpec],
    event_bytes: int,
    event: str | None = None,
    received: Collection[str] | None = None,
) -> Iterator[str]:
    """What ingress will not take of `record`, which is read as ingress reads it: a line for each fault.

    `specs` are the events that may be in the topic, and `event` is the one of them that the sender named. `received`
    are those that published definitions receive; None: all of them. `event_bytes` is the limit of the settings."""
    try:
        reader = reader_of(specs)
    except DefinitionError as error:
        yield error.message
        return
    given = Record(topic, 0, 0, 0, record.key, record.value, record.headers)
    size, meant = len(record.value or b""), reader.specs(given)
    found, refusals = reader.read(given, "") if size <= event_bytes else ([], [too_large(size, event_bytes)])
    if not meant:
        if event is not None:
            yield f"this will not be taken for {event}: what tells it from other events does not hold"
        else:
            names = ", ".join(spec.name for spec in specs[:_NAMED]) + (", ..." if len(specs) > _NAMED else "")
            yield f"this is no event that the catalog has in the topic {topic} ({names}): it is sent, and ignored"
        return
    events = {specs[number].name for number in meant}
    if received is not None and events.isdisjoint(received):
        yield _unwanted(events)
        return
    for refusal in refusals:
        yield f"this will become a dead letter ({refusal.reason}): {refusal.message}"
    if any(one.key is None for one in found):
        yield "this has no key: a trigger without a key of its own makes a dead letter of it. Give --key."


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
