"""What is known of an event before it is sent: where it goes, and what ingress will make of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from streamflow.core.event_router import too_large
from streamflow.definition.catalog import TOPIC, Catalog, EventSpec
from streamflow.definition.content import received_events
from streamflow.definition.expression import compile_expression
from streamflow.errors import DefinitionError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.produce import Outgoing
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader

_NAMED = 5  # events that a warning names


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


def received(log: Snapshot) -> set[str]:
    """The events that published definitions start by or wait for."""
    return {name for served in log.served() for name in received_events(served.definition)}


def unwanted(events: Iterable[str]) -> str:
    """A sentence that no published definition receives these events."""
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
            yield (
                f"this will not be recognised as {event}: the condition that distinguishes it from other events does "
                "not hold"
            )
        else:
            names = ", ".join(spec.name for spec in specs[:_NAMED]) + (", ..." if len(specs) > _NAMED else "")
            yield f"this is no event that the catalog has in the topic {topic} ({names}): it is sent, and ignored"
        return
    events = {specs[number].name for number in meant}
    if received is not None and events.isdisjoint(received):
        yield unwanted(events)
        return
    for refusal in refusals:
        yield f"this will become a dead letter ({refusal.reason}): {refusal.message}"
    if any(one.key is None for one in found):
        yield "this has no key: a trigger without a key of its own makes a dead letter of it. Give --key."
