"""An event that is sent by hand is one that ingress reads: what is added has the types that the schema declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import EventSpec
from streamflow.wire.decoding import Record
from streamflow.wire.event_record import Stamp, event_record
from streamflow.wire.extraction import TopicReader

STAMP = Stamp(id="6f1e-a", time_ms=1_774_857_600_123, number=17)
WHOLE, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}


def spec(properties: dict[str, Any], **places: Any) -> EventSpec:
    return EventSpec.model_validate(
        {
            "name": "placed",
            "topics": ["t"],
            "match": {"path": "kind", "equals": "P"},
            "schema": {"type": "object", "properties": properties},
        }
        | places
    )


CASES: list[tuple[dict[str, Any], dict[str, Any], str | None, dict[str, Any]]] = [
    ({"id": WHOLE}, {"id": {"path": "id"}}, None, {"id": 17}),
    ({"id": NUMBER}, {"id": {"path": "id"}}, None, {"id": 17}),
    ({"id": TEXT}, {"id": {"path": "id"}}, None, {"id": "6f1e-a"}),
    ({"id": {"type": ["string", "integer"]}}, {"id": {"path": "id"}}, None, {"id": "6f1e-a"}),
    ({}, {"id": {"path": "id"}}, None, {"id": "6f1e-a"}),
    ({"m": {"type": "object", "properties": {"id": WHOLE}}}, {"id": {"path": "m.id"}}, None, {"m": {"id": 17}}),
    ({"at": WHOLE}, {"time": {"path": "at"}}, None, {"at": 1_774_857_600_123}),
    ({"at": WHOLE}, {"time": {"path": "at", "unit": "s"}}, None, {"at": 1_774_857_600}),
    ({"at": TEXT}, {"time": {"path": "at"}}, None, {"at": "2026-03-30T08:00:00.123Z"}),
    ({}, {"time": {"path": "at"}}, None, {"at": "2026-03-30T08:00:00.123Z"}),
    ({"no": WHOLE}, {"key": {"path": "no"}}, "4711", {"no": 4711}),
    ({"no": WHOLE}, {"key": {"path": "no"}}, "-1", {"no": -1}),
    ({"no": TEXT}, {"key": {"path": "no"}}, "4711", {"no": "4711"}),
    ({"no": TEXT}, {"key": {"path": "no"}}, "007", {"no": "007"}),
]


@pytest.mark.parametrize(("properties", "places", "key", "expected"), CASES)
def test_what_is_added_is_as_declared(
    properties: dict[str, Any], places: dict[str, Any], key: str | None, expected: dict[str, Any]
) -> None:
    event = spec(properties, **places)
    made = event_record(event, {}, key, STAMP)
    assert json.loads(made.value) == {"kind": "P"} | expected
    record = Record("t", 0, 0, 1_774_857_600_500, made.key, made.value, made.headers)
    found, refused = TopicReader([(0, event)], lambda text: pytest.fail(text)).read(record, "topic")
    assert (len(found), refused) == (1, [])
    if key is not None:
        assert found[0].key == key


@pytest.mark.parametrize("key", ["007", "+1", "A-1", "1.0", " 1"])
def test_a_key_that_writes_no_whole_number_stays_text(key: str) -> None:
    made = event_record(spec({"no": WHOLE}, key={"path": "no"}), {}, key, STAMP)
    assert json.loads(made.value)["no"] == key
    assert made.key == key.encode()


def test_an_id_that_somebody_chose_is_not_replaced() -> None:
    made = event_record(spec({"id": WHOLE}, id={"path": "id"}), {}, None, Stamp(id="D-1", time_ms=0))
    assert json.loads(made.value)["id"] == "D-1"
