"""Events as the catalog says that they are found: what ingress would read is what was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Binding, BoundSchema, EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.errors import Rejected
from streamflow.ops.produce import Outgoing, event_of, with_schema
from streamflow.registry.event_writers import EventWriters
from streamflow.registry.readers import payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.decoding import Record
from streamflow.wire.event_record import at_path
from streamflow.wire.extraction import Occurrence, TopicReader


def spec(**fields: Any) -> EventSpec:
    return EventSpec.model_validate({"name": "order.placed", "topics": ["orders"], **fields})


def read(one: EventSpec, record: Outgoing) -> Occurrence:
    """The event that ingress makes of it."""
    found, refusals = TopicReader([(0, one)], compile_expression).read(
        Record("orders", 0, 7, 5, record.key, record.value, record.headers), "id"
    )
    assert not refusals
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"match": {"type": "shop.placed"}},
        {"match": {"path": "type", "equals": "placed"}},
        {"match": {"path": "head.kind", "equals": 3}},
        {"match": {"path": "is_order", "equals": True}},
        {"match": {"header": "kind", "equals": "placed"}},
        {"match": {"header": "flag", "equals": True}},
    ],
)
def test_an_event_is_told_from_others_as_its_catalog_says(fields: dict[str, Any]) -> None:
    one = spec(**fields)

    found = read(one, event_of(one, {"total": 5}, "A-1"))

    assert found.event.name == "order.placed"
    assert found.event.data["total"] == 5
    assert found.key == "A-1"


def test_id_time_and_key_are_put_where_the_catalog_says() -> None:
    one = spec(
        match={"path": "type", "equals": "placed"},
        id={"path": "head.id"},
        time={"header": "sent"},
        key={"path": "order"},
    )

    record = event_of(one, {}, "A-1")

    found = read(one, record)
    assert found.event.id == json.loads(record.value or b"")["head"]["id"]
    assert found.event.time_ms > 1_700_000_000_000
    assert (found.key, record.key) == ("A-1", b"A-1")


def test_headers_that_are_given_go_before_the_others() -> None:
    one = spec(id={"header": "X-Delivery"}, key={"header": "X-Key"})
    record = event_of(one, {}, None, {"X-Delivery": "D-1", "X-Key": "A-1", "ce_source": "/shop"})
    found = read(one, record)
    assert (found.event.id, found.event.source, found.key, record.key) == ("D-1", "/shop", "A-1", b"A-1")


def test_what_the_payload_says_is_left_alone() -> None:
    one = spec(match={"path": "type", "equals": "placed"}, id={"path": "id"}, key={"path": "order"})

    record = event_of(one, {"id": "mine", "order": "B-2", "type": "other"}, "A-1")

    assert json.loads(record.value or b"") == {"id": "mine", "order": "B-2", "type": "other"}
    assert record.key == b"B-2"


def test_two_events_have_two_ids() -> None:
    one = spec(id={"path": "id"}, match={"path": "type", "equals": "placed"})

    assert event_of(one, {}).value != event_of(one, {}).value


def test_an_event_without_a_key_has_none() -> None:
    assert event_of(spec(), {}).key is None


def test_a_payload_that_cannot_hold_what_is_read_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        event_of(spec(match={"path": "type", "equals": "placed"}), [1, 2])

    assert caught.value.code == "payload_no_object"


def test_a_path_that_leads_nowhere_is_nothing() -> None:
    assert at_path({"a": {"b": 1}}, "a.b") == 1
    assert at_path({"a": 1}, "a.b") is None
    assert at_path([], "a") is None


def test_an_event_that_is_bound_to_a_subject_is_written_with_its_schema() -> None:
    text = '{"type": "record", "name": "Order", "fields": [{"name": "total", "type": "long"}]}'
    schema = BoundSchema(subject="orders-value", version=1, id=7, type="AVRO", text=text, uri="http://r/schemas/ids/7")
    written = EventWriters().of("order.placed", Binding(topics=["orders"], written=schema))

    record = with_schema(event_of(spec(), {"total": 5}, "A-1"), written)

    unframe = payload_reader(RegisteredSchema(id=7, type="AVRO", text=text))
    found, refusals = TopicReader([(0, spec())], compile_expression, unframe=unframe).read(
        Record("orders", 0, 7, 5, record.key, record.value, record.headers), "id"
    )
    assert not refusals
    assert found[0].event.data == {"total": 5}
    assert dict(record.headers)["content-type"] == b"application/avro"
    assert dict(record.headers)["ce_dataschema"] == b"http://r/schemas/ids/7"
