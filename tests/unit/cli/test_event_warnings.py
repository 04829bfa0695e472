"""What `events send` warns of is what ingress does with the record."""

from __future__ import annotations

import pytest

from streamflow.definition.syntax import parse_catalog
from streamflow.errors import DefinitionError
from streamflow.ops.produce import Outgoing
from streamflow.ops.sending import reader_of, warnings_for

CATALOG = parse_catalog("""
events:
  - name: parcel.packed
    topics: [parcels]
    match: {path: type, equals: packed}
    schema: {type: object, properties: {items: {type: integer}}}
  - {name: parcel.sent, topics: [parcels], match: {header: kind, equals: sent}}
  - {name: parcel.lost, topics: [parcels]}
""")
RECEIVED = {"parcel.packed"}  # by published definitions


def warnings(value: bytes, key: bytes | None = b"P-1", headers: dict[str, str] | None = None) -> list[str]:
    record = Outgoing(key, value, tuple((name, text.encode()) for name, text in (headers or {}).items()))
    return list(warnings_for(record, topic="parcels", specs=CATALOG.events, received=RECEIVED, event_bytes=1000))


def test_a_record_that_starts_a_run_is_sent_without_a_warning() -> None:
    assert warnings(b'{"type": "packed", "items": 2}') == []


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b'{"type": "other"}', {}),
        (b'{"type": 1}', {}),
        (b"{}", {}),
        (b"[]", {}),
        (b"{}", {"kind": "Sent"}),
        (b"{}", {"ce_type": "parcel.unknown", "ce_id": "1", "ce_source": "/s", "ce_specversion": "1.0"}),
    ],
)
def test_a_record_that_is_no_event_of_its_topic_is_told_to_be_ignored(value: bytes, headers: dict[str, str]) -> None:
    (said,) = warnings(value, headers=headers)
    assert said == (
        "this is no event that the catalog has in the topic parcels (parcel.packed, parcel.sent, parcel.lost): "
        "it is sent, and ignored"
    )


@pytest.mark.parametrize(
    ("value", "key", "headers", "said"),
    [
        (b"no JSON", b"k", {}, "this will become a dead letter (not_json)"),
        (b'{"type": "packed", "items": "two"}', b"k", {}, "this will become a dead letter (schema_mismatch)"),
        (b'{"type": "packed"}', None, {}, "this has no key"),
        (
            b'{"type": "packed", "items": "' + b"x" * 1000 + b'"}',
            b"k",
            {},
            "this will become a dead letter (event_",
        ),
        (b'{"n": "' + b"x" * 1000 + b'"}', b"k", {}, "this is no event that the catalog has"),
        (b"not JSON" * 1000, b"k", {}, "this will become a dead letter (event_too_large)"),
        (b"{}", b"k", {"kind": "sent"}, "no published definition starts by parcel.sent or waits for it"),
    ],
)
def test_what_becomes_of_an_event_is_told(value: bytes, key: bytes | None, headers: dict[str, str], said: str) -> None:
    (warning,) = warnings(value, key, headers)
    assert warning.startswith(said)


def test_the_named_event_is_the_one_that_is_looked_for() -> None:
    spec = CATALOG.events[0]
    (warning,) = warnings_for(Outgoing(b"k", b"{}"), topic="parcels", specs=[spec], event=spec.name, event_bytes=1000)
    assert warning.startswith("this will not be recognised as parcel.packed")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("match: {expr: event.x ==}", "the expression cannot be read"),
        ("schema: {type: nope}", "the value is not valid"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(entry: str, why: str) -> None:
    specs = parse_catalog(f"events: [{{name: a, topics: [t]}}, {{name: b, topics: [t], {entry}}}]").events
    (warning,) = warnings_for(Outgoing(b"k", b"{}"), topic="t", specs=specs, event_bytes=1000)
    assert warning.startswith(f"The entry of the event b in the catalog cannot be used: {why}")
    with pytest.raises(DefinitionError) as caught:
        reader_of(specs)
    assert caught.value.code == "catalog_invalid"
