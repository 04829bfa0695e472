"""Records to the events of a catalog: which event, its id, time, key, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.engine.trace import Trace
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader

AT = 1_700_000_000_000


def record(
    data: Any, *, key: bytes | None = b"record-key", headers: dict[str, str] | None = None, raw: bytes | None = None
) -> Record:
    value = raw if raw is not None else json.dumps(data).encode()
    return Record(
        "orders", 2, 7, AT, key, value, tuple((name, text.encode()) for name, text in (headers or {}).items())
    )


def spec(name: str = "order.created", **fields: Any) -> EventSpec:
    return EventSpec.model_validate({"name": name, "topics": ["orders"], **fields})


def reader(*specs: EventSpec) -> TopicReader:
    return TopicReader(enumerate(specs), compile_expression)


def names(specs: tuple[EventSpec, ...], data: Any, **record_fields: Any) -> list[str]:
    occurrences, refusals = reader(*specs).read(record(data, **record_fields), "T")
    assert not refusals
    return [found.event.name for found in occurrences]


def reason(one: EventSpec, data: Any = None, **record_fields: Any) -> str:
    occurrences, refusals = reader(one).read(record(data, **record_fields), "T")
    assert not occurrences
    assert [refusal.event for refusal in refusals] in (["order.created"], [""])
    return refusals[0].reason


ALL: dict[str, Any] = {"match": {"expr": "true"}}


def test_without_a_match_the_cloudevents_type_is_the_name() -> None:
    assert names((spec(),), {}, headers={"ce_type": "order.created"}) == ["order.created"]
    assert names((spec(),), {}, headers={"ce_type": "order.changed"}) == []
    assert names((spec(),), {}) == []


def test_events_are_told_apart_by_type_header_path_and_expression() -> None:
    specs = (
        spec("by-type", match={"type": "T1"}),
        spec("by-header", match={"header": "kind", "equals": "created"}),
        spec("by-path", match={"path": "order.state", "equals": "new"}),
        spec("by-expr", match={"expr": "event.amount > 10"}),
    )
    assert names(specs, {"amount": 1}, headers={"ce_type": "T1"}) == ["by-type"]
    assert names(specs, {"amount": 1}, headers={"kind": "created"}) == ["by-header"]
    assert names(specs, {"amount": 1, "order": {"state": "new"}}) == ["by-path"]
    assert names(specs, {"amount": 11}) == ["by-expr"]
    assert names(specs, {"amount": 1, "order": {"state": "old"}}, headers={"kind": "x", "ce_type": "T2"}) == []


def test_everything_that_a_match_says_must_hold() -> None:
    whole = (spec(match={"type": "T1", "path": "a", "equals": 1, "expr": "event.b == 2"}),)
    assert names(whole, {"a": 1, "b": 2}, headers={"ce_type": "T1"}) == ["order.created"]
    assert names(whole, {"a": 2, "b": 2}, headers={"ce_type": "T1"}) == []
    assert names(whole, {"a": 1, "b": 3}, headers={"ce_type": "T1"}) == []
    assert names(whole, {"a": 1, "b": 2}) == []
    both = (spec(match={"header": "h", "path": "a", "equals": "x"}),)
    assert names(both, {"a": "x"}, headers={"h": "x"}) == ["order.created"]
    assert names(both, {"a": "y"}, headers={"h": "x"}) == []


def test_true_is_not_one_and_a_number_is_not_its_text() -> None:
    assert names((spec(match={"path": "a", "equals": 1}),), {"a": True}) == []
    assert names((spec(match={"path": "a", "equals": True}),), {"a": 1}) == []
    assert names((spec(match={"path": "a", "equals": "1"}),), {"a": 1}) == []
    assert names((spec(match={"path": "a", "equals": True}),), {"a": True}) == ["order.created"]
    assert names((spec(match={"header": "h", "equals": True}),), {}, headers={"h": "true"}) == ["order.created"]


def test_one_record_may_be_several_events() -> None:
    specs = (spec("a", match={"path": "x", "equals": 1}), spec("b", match={"path": "y", "equals": 1}))
    assert names(specs, {"x": 1, "y": 1}) == ["a", "b"]


def test_an_expression_that_reads_what_a_record_does_not_have_is_another_event() -> None:
    assert names((spec(match={"expr": "event.order.state == 'new'"}),), {"other": 1}) == []


def test_an_expression_that_fails_otherwise_is_refused() -> None:
    assert reason(spec(match={"expr": "event.amount > 10"}), {"amount": "eleven"}) == "expression_failed"


@pytest.mark.parametrize("data", [[1, 2], "text", 3, None])
def test_a_payload_that_is_no_object_matches_no_path(data: Any) -> None:
    assert names((spec(match={"path": "a.b", "equals": 1}),), data) == []


def test_id_time_and_key_come_from_where_the_catalog_says() -> None:
    one = spec(id={"path": "meta.id"}, time={"header": "at"}, key={"path": "order"}, **ALL)
    occurrences, _ = reader(one).read(
        record({"meta": {"id": 17}, "order": 4711}, headers={"at": "2026-01-01T01:00:00+01:00"}), "T"
    )
    (found,) = occurrences
    assert (found.event.id, found.event.time_ms, found.key) == ("17", 1_767_225_600_000, "4711")


@pytest.mark.parametrize(
    ("fields", "log_append", "limit_time_ms"),
    [
        ({}, True, AT),  # the arrival at the broker, whatever ce_time says
        ({}, False, 0),  # nobody but the producer says a time, and the catalog does not name it
        ({"time": {"path": "at"}}, False, AT - 5000),
        ({"time": {"path": "at"}}, True, AT - 5000),
        ({"time": {"path": "ahead"}}, True, AT),  # it has happened when it arrives
        ({"time": {"path": "ahead"}}, False, AT + 5000),
    ],
)
def test_a_producers_time_counts_for_limits_only_where_the_catalog_names_it(
    fields: dict[str, Any], log_append: bool, limit_time_ms: int
) -> None:
    headers = {"ce_type": "order.created", "ce_id": "e-1", "ce_time": "2020-01-01T00:00:00Z"}
    one = record({"at": AT - 5000, "ahead": AT + 5000}, headers=headers)._replace(log_append=log_append)
    (found,), _ = reader(spec(**fields)).read(one, "T")
    assert found.event.limit_time_ms == limit_time_ms


def test_what_the_catalog_says_goes_before_the_cloudevents_attributes() -> None:
    one = spec(id={"path": "id"}, time={"path": "at"}, key={"path": "order"}, **ALL)
    headers = {"ce_type": "order.created", "ce_id": "e-1", "ce_time": "2026-01-01T00:00:00.250Z"}
    data = {"id": "p-1", "at": "2026-01-01T01:00:00+01:00", "order": "o-1"}
    occurrences, _ = reader(one).read(record(data, headers=headers), "T")
    (found,) = occurrences
    assert (found.event.id, found.event.time_ms, found.key) == ("p-1", 1_767_225_600_000, "o-1")


def test_an_id_that_is_not_where_the_catalog_says_is_not_replaced_by_another() -> None:
    headers = {"ce_type": "order.created", "ce_id": "e-1"}
    assert reason(spec(id={"path": "id"}, **ALL), {"other": 1}, headers=headers) == "missing_id"


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_id_time_and_key_default_to_cloudevents_and_the_records_key() -> None:
    headers = {"ce_type": "order.created", "ce_id": "e-1", "ce_time": "2026-01-01T00:00:00.250Z", "traceparent": PARENT}
    occurrences, _ = reader(spec()).read(record({}, headers=headers), "T")
    (found,) = occurrences
    assert (found.event.id, found.event.time_ms, found.key, found.trace) == (
        "e-1",
        1_767_225_600_250,
        "record-key",
        Trace(PARENT),
    )


def test_without_any_id_or_time_they_are_the_records_place_and_timestamp() -> None:
    occurrences, _ = reader(spec(**ALL)).read(record({}), "T")
    assert (occurrences[0].event.id, occurrences[0].event.time_ms) == ("T/2/7", AT)


@pytest.mark.parametrize("data", [{}, {"order": None}, {"order": ""}, {"order": 1.5}, {"order": True}, {"order": {}}])
def test_a_key_that_is_no_text_or_whole_number_is_missing(data: Any) -> None:
    occurrences, refusals = reader(spec(key={"path": "order"}, **ALL)).read(record(data), "T")
    assert occurrences[0].key is None
    assert not refusals


@pytest.mark.parametrize("key", [None, b"\xff"])
def test_a_record_key_that_is_no_text_is_missing(key: bytes | None) -> None:
    occurrences, _ = reader(spec(**ALL)).read(record({}, key=key), "T")
    assert occurrences[0].key is None


def test_a_number_is_a_time_in_the_unit_that_the_catalog_names() -> None:
    def time_ms(at: Any, **time: Any) -> int:
        (found,), _ = reader(spec(time={"path": "at", **time}, **ALL)).read(record({"at": at}), "T")
        return found.event.time_ms

    assert time_ms(1_767_225_600_123_456, unit="us") == 1_767_225_600_123
    assert time_ms(0, unit="s") == 0
    assert time_ms(1_767_225_600_123_456) == 1_767_225_600_123
    assert reason(spec(time={"path": "at"}, **ALL), {"at": 20240101}) == "bad_time"
    assert reason(spec(time={"path": "at", "unit": "ns"}, **ALL), {"at": "x"}) == "bad_time"


def test_a_bad_or_missing_time_or_id_is_refused() -> None:
    assert reason(spec(time={"path": "at"}, **ALL), {"at": "soon"}) == "bad_time"
    assert reason(spec(time={"path": "at"}, **ALL), {}) == "bad_time"
    assert reason(spec(id={"path": "id"}, **ALL), {}) == "missing_id"


def test_bytes_that_are_no_json_are_refused_where_they_could_be_an_event() -> None:
    assert reason(spec(match={"path": "a", "equals": 1}), raw=b"\xff") == "not_json"
    assert reason(spec(), raw=b"\xff", headers={"ce_type": "order.created"}) == "not_json"
    assert names((spec(),), None, raw=b"\xff") == []  # told apart by a header that it does not have


def test_a_payload_against_the_schema_is_refused_with_the_place_and_without_the_value() -> None:
    one = spec(schema={"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}, **ALL)
    assert names((one,), {"amount": 1}) == ["order.created"]
    _, refusals = reader(one).read(record({"amount": "a secret"}), "T")
    assert refusals[0].reason == "schema_mismatch"
    assert "/amount" in refusals[0].message
    assert "secret" not in refusals[0].message
    assert reason(one, {"amount": None}) == "schema_mismatch"
    assert reason(one, {}) == "schema_mismatch"


@pytest.mark.parametrize("wrong", [1, 2, 5, 9])
def test_a_payload_is_refused_with_several_faults_at_once(wrong: int) -> None:
    properties = {f"n{number}": {"type": "number"} for number in range(9)}
    one = spec(schema={"type": "object", "properties": properties}, **ALL)
    _, refusals = reader(one).read(record({f"n{number}": "a secret" for number in range(wrong)}), "T")
    message = refusals[0].message
    assert [f"/n{number}:" in message for number in range(9)] == [number < min(wrong, 5) for number in range(9)]
    assert ("; and 4 more." in message) == (wrong == 9)
    assert "secret" not in message


def test_a_schema_never_fetches_anything() -> None:
    with pytest.raises(ValueError, match="not fetched"):
        reader(spec(schema={"$ref": "https://example.com/schema.json"}, **ALL))


def test_one_event_that_is_refused_does_not_take_another_with_it() -> None:
    specs = (spec("order.created", id={"path": "id"}, **ALL), spec("b", **ALL))
    occurrences, refusals = reader(*specs).read(record({}), "T")
    assert [found.event.name for found in occurrences] == ["b"]
    assert [refusal.event for refusal in refusals] == ["order.created"]


def test_a_record_without_a_value_is_no_event_unless_its_headers_say_so() -> None:
    tombstone = Record("orders", 0, 1, AT, b"k", None)
    assert reader(spec(match={"path": "a", "equals": 1}), spec(**ALL)).read(tombstone, "T") == ([], [])
    typed = tombstone._replace(headers=(("ce_type", b"order.created"),))
    occurrences, _ = reader(spec()).read(typed, "T")
    assert occurrences[0].event.data is None


# -- who made an event


def identity_of(one: EventSpec, data: Any, **record_fields: Any) -> tuple[str, str]:
    """Source and id of an event."""
    ((found,), refusals) = reader(one).read(record(data, **record_fields), "T")
    assert not refusals
    return found.event.source, found.event.id


BINARY = {"ce_type": "order.created", "ce_id": "1", "ce_source": "https://shop.example"}


def test_the_source_of_a_cloudevent_in_binary_mode() -> None:
    assert identity_of(spec(), {}, headers=BINARY) == ("https://shop.example", "1")


def test_the_source_of_a_structured_cloudevent() -> None:
    envelope = {"specversion": "1.0", "type": "order.created", "source": "shop", "id": "1", "data": {}}
    assert identity_of(spec(), envelope, headers={"content-type": "application/cloudevents+json"}) == ("shop", "1")


def test_the_source_of_plain_json_is_what_the_catalog_says_and_never_the_topic() -> None:
    plain: dict[str, Any] = {**ALL, "id": {"path": "id"}}
    assert identity_of(spec(**plain), {"id": 1}) == ("", "1")
    assert identity_of(spec(**plain, source="legacy"), {"id": 1}) == ("legacy", "1")


def test_a_cloudevents_own_source_goes_before_the_catalogs() -> None:
    assert identity_of(spec(source="legacy"), {}, headers=BINARY)[0] == "https://shop.example"


def test_without_an_id_an_event_is_its_record_whatever_its_source() -> None:
    assert identity_of(spec(**ALL, source="legacy"), {}) == ("", "T/2/7")


@pytest.mark.parametrize(
    ("where", "code"), [("id", "missing_id"), ("time", "bad_time"), ("key", None), ("match", None)]
)
def test_a_header_that_is_no_utf_8_is_not_there(where: str, code: str | None) -> None:
    """Read with replacements, two ids would be one."""
    place = {"header": "h", "equals": "\ufffd"} if where == "match" else {"header": "h"}
    one = spec(**({where: place} if where == "match" else {**ALL, where: place}))
    found, refusals = reader(one).read(Record("orders", 2, 7, AT, b"k", b"{}", (("h", b"\xff"),)), "T")
    assert [refusal.reason for refusal in refusals] == ([code] if code else [])
    assert [occurrence.key for occurrence in found] == ([None] if where == "key" else [])


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("integer", "17 Main Street", '/a: the value is not of type "integer" but a text.'),
        ("integer", 1.5, '/a: the value is not of type "integer" but a number.'),
        ("string", None, '/a: the value is not of type "string" but null.'),
        ("object", ["secret"], '/a: the value is not of type "object" but an array.'),
        (["string", "null"], {"k": 1}, '/a: the value is not of types "null", "string" but an object.'),
        ("array", True, '/a: the value is not of type "array" but true or false.'),
    ],
)
def test_a_value_of_another_type_is_named_by_its_kind_and_not_shown(declared: Any, value: Any, said: str) -> None:
    event = spec(**ALL, schema={"type": "object", "properties": {"a": {"type": declared}}})
    _, (refusal,) = reader(event).read(record({"a": value}), "T")
    assert said in refusal.message
    assert not any(word in refusal.message for word in ("17 Main", "secret"))
