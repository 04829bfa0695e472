"""Events that are handed in and are bound to a subject: they leave with its schema, or are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Binding, BoundSchema, EventSpec
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.intake import Incoming, ready
from streamflow.registry.readers import payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.frame import framed_schema

TEXT = json.dumps({"type": "record", "name": "Packed", "fields": [{"name": "grams", "type": "int"}]})
SCHEMA = BoundSchema(subject="parcels-value", version=1, id=7, type="AVRO", text=TEXT, uri="http://r/schemas/ids/7")


@pytest.fixture
def log() -> Snapshot:
    found = Snapshot()
    spec: dict[str, Any] = EventSpec(name="packed", topics=["parcels"]).model_dump(mode="json", exclude_none=True)
    found.read(b"event/packed", json.dumps(spec).encode(), 1)
    binding = Binding(topics=["parcels"], written=SCHEMA)
    found.read(b"binding/packed", binding.model_dump_json().encode(), 1)
    return found


def test_an_event_leaves_with_the_schema_of_its_subject(log: Snapshot) -> None:
    sent = ready(log, Incoming(event="packed", key="P-1", data={"grams": 5}), 1000)

    value = sent.record.value or b""
    assert (sent.topic, framed_schema(value)) == ("parcels", 7)
    assert payload_reader(RegisteredSchema(id=7, type="AVRO", text=TEXT)).read(value) == {"grams": 5}
    headers = dict(sent.record.headers)
    assert headers["content-type"] == b"application/avro"
    assert headers["ce_dataschema"] == b"http://r/schemas/ids/7"


def test_what_the_schema_cannot_hold_is_refused(log: Snapshot) -> None:
    with pytest.raises(Rejected) as refused:
        ready(log, Incoming(event="packed", key="P-1", data={"grams": "five"}), 1000)
    assert (refused.value.code, refused.value.facts["reason"]) == ("event_refused", "schema_encode_failed")
