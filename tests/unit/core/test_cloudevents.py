"""CloudEvents from topic to command: the same event in binary mode, in structured mode and in a batch."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from streamflow.core.event_router import NOTHING, EventRouter, Routed
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.commands import Deliver
from streamflow.engine.match import Published
from streamflow.wire.codec import decode_command
from streamflow.wire.decoding import Record

MODES = ["binary", "structured", "batch"]
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop/de",
    "type": "order.placed",
    "subject": "o-7",
    "time": "2026-01-01t00:00:00.5z",
    "tenant": "acme",
    "sampled": True,
    "attempt": 3,
    "data": {"amount": 12},
}


def a_record(mode: str, *events: dict[str, Any], data: bytes | None = None) -> Record:
    headers: tuple[tuple[str, bytes], ...]
    if mode == "binary":
        (event,) = events
        headers = (("content-type", b"application/json"),)
        headers += tuple(
            (f"ce_{name}", (str(value).lower() if isinstance(value, bool) else str(value)).encode())
            for name, value in event.items()
            if name != "data"
        )
        value = json.dumps(event["data"]).encode()
    elif mode == "structured":
        (event,) = events
        headers, value = (("content-type", b"application/cloudevents+json; charset=utf-8"),), json.dumps(event).encode()
    else:
        headers, value = (
            (("content-type", b"application/cloudevents-batch+json"), ("relay", b"r-1")),
            json.dumps(events).encode(),
        )
    return Record("orders", 0, 7, 1_700_000_000_000, b"k", value if data is None else data, headers)


def a_router(
    *, trigger: dict[str, Any] | None = None, wait: str | None = None, **event: Any
) -> tuple[EventRouter, list[str]]:
    """A router for one definition, and the codes of its check."""
    catalog = Catalog.model_validate({"events": [{"name": "order.placed", "topics": ["orders"], **event}]})
    steps: list[dict[str, Any]] = [{"id": "p", "print": {"text": "'x'"}}]
    if wait is not None:
        clause = {"id": "s", "event": "order.placed", "where": wait}
        steps = [{"id": "w", "wait": {"events": [clause], "forever": True}}]
    on = [{"id": "t", "event": "order.placed", **(trigger or {})}]
    definition = Definition.model_validate({"name": "d", "version": "1", "on": on, "steps": steps})
    plan = compile_plan(definition, catalog, "sha")
    specs = {spec.name: spec for spec in catalog.events}
    router = EventRouter(
        [Published(plan=plan, specs=specs, at=1, newest=True)], event_bytes=512_000, record_bytes=900_000
    )
    return router, [problem.code for problem in check(definition, catalog) if problem.severity == "error"]


def route(router: EventRouter, record: Record) -> Routed:
    return router.route(record, "T", 0)


def deliveries(routed: Routed) -> list[Deliver]:
    found = [decode_command(value) for _, value in routed.commands]
    assert all(isinstance(one, Deliver) for one in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("cloudevent.source == '/shop/de' && cloudevent.subject == 'o-7'", True),
        ("cloudevent.type == 'order.placed' && cloudevent.time.startsWith('2026')", True),
        ("cloudevent.tenant == 'acme' && cloudevent.sampled == 'true' && cloudevent.attempt == '3'", True),
        ("has(cloudevent.nothing)", False),
        ("cloudevent.source == '/shop/fr'", False),
        ("cloudevent['tenant'] == 'acme' && event.amount == 12.0", True),
    ],
)
def test_a_condition_reads_the_attributes_in_every_mode(mode: str, where: str, holds: bool) -> None:
    router, problems = a_router(trigger={"where": where})
    assert problems == []
    routed = route(router, a_record(mode, EVENT))
    assert len(routed.commands) == holds
    assert not routed.refusals


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", [{"key": {"header": "ce_subject"}}, {}])
def test_the_key_may_be_an_attribute_in_every_mode(mode: str, place: dict[str, Any]) -> None:
    router, problems = a_router(trigger=None if place else {"key": "cloudevent.subject"}, **place)
    assert problems == []
    assert [one.key for one in deliveries(route(router, a_record(mode, EVENT)))] == ["o-7"]


@pytest.mark.parametrize("mode", MODES)
def test_identity_and_time_are_the_same_in_every_mode(mode: str) -> None:
    router, _ = a_router()
    (found,) = deliveries(route(router, a_record(mode, EVENT)))
    assert (found.event.id, found.event.source, found.event.time_ms) == ("e-1", "/shop/de", 1_767_225_600_500)
    assert found.event.data == {"amount": 12}
    router, _ = a_router(id={"header": "ce_tenant"}, time={"header": "ce_time"})
    (found,) = deliveries(route(router, a_record(mode, EVENT)))
    assert (found.event.id, found.event.limit_time_ms) == ("acme", 1_767_225_600_500)


@pytest.mark.parametrize("mode", MODES)
def test_a_match_reads_attributes_and_headers_of_attributes(mode: str) -> None:
    for match in (
        {"expr": "cloudevent.tenant == 'acme'"},
        {"header": "ce_tenant", "equals": "acme"},
        {"type": "order.placed", "expr": "has(cloudevent.subject)"},
    ):
        assert len(route(a_router(match=match)[0], a_record(mode, EVENT)).commands) == 1
        assert route(a_router(match=match)[0], a_record(mode, {**EVENT, "tenant": "b", "type": "x"})) is NOTHING


def test_only_waits_that_read_attributes_are_given_them() -> None:
    plain, _ = a_router(wait="event.amount > 1.0", trigger={"where": "cloudevent.tenant == 'acme'"})
    (found,) = deliveries(route(plain, a_record("structured", EVENT)))
    assert found.event.attributes == {}
    reading, problems = a_router(wait="cloudevent.tenant == 'acme'")
    assert not {"SF260", "SF261", "SF270"} & set(problems)
    (found,) = deliveries(route(reading, a_record("binary", EVENT)))
    assert (found.event.attributes["tenant"], found.event.attributes["datacontenttype"]) == ("acme", "application/json")


def test_a_plain_record_has_no_attributes() -> None:
    router, _ = a_router(trigger={"where": "!has(cloudevent.source)"}, match={"path": "kind", "equals": "o"})
    record = Record("orders", 0, 7, 0, b"k", b'{"kind": "o"}', (("content-type", b"application/json"),))
    assert len(route(router, record).commands) == 1


def test_each_event_of_a_batch_is_an_event_of_its_own() -> None:
    router, _ = a_router(trigger={"key": "cloudevent.subject"})
    events = [
        EVENT,
        {**EVENT, "id": "e-2"},
        {**EVENT, "source": "/shop/fr"},
        {**EVENT, "id": "e-3", "type": "order.changed"},
    ]
    found = deliveries(route(router, a_record("batch", *events)))
    assert [(one.event.source, one.event.id) for one in found] == [
        ("/shop/de", "e-1"),
        ("/shop/de", "e-2"),
        ("/shop/fr", "e-1"),
    ]
    assert len({one.id for one in found}) == 3
    assert all(one.id.startswith("T/0/7/") for one in found)
    assert [one.id for one in found] == [one.id for one in deliveries(route(router, a_record("batch", *events)))]


def test_a_bad_event_of_a_batch_is_a_dead_letter_of_its_own() -> None:
    router, _ = a_router(
        trigger={"key": "cloudevent.subject"}, schema={"required": ["amount"], "properties": {"amount": {"minimum": 1}}}
    )
    bad: list[Any] = [
        {**EVENT, "id": ""},
        {**EVENT, "data": {"amount": 0}},
        [],
        {**EVENT, "time": "soon"},
        {name: value for name, value in EVENT.items() if name != "subject"},
    ]
    routed = route(router, a_record("batch", bad[0], EVENT, *bad[1:]))
    assert len(routed.commands) == 1
    reasons = ["bad_cloudevent", "schema_mismatch", "bad_cloudevent", "bad_time", "expression_failed"]
    assert [one.reason for one in routed.refusals] == reasons
    letters = [dict(letter.headers) for letter in routed.dead_letters]
    assert [one["streamflow.dlq.part"] for one in letters] == [b"0", b"2", b"3", b"4", b"5"]
    assert len({one["streamflow.dlq.id"] for one in letters}) == 5
    assert [json.loads(letter.value or b"") for letter in routed.dead_letters] == bad
    assert {(one["content-type"], one["relay"]) for one in letters} == {(b"application/cloudevents+json", b"r-1")}


def test_a_dead_letter_of_a_batch_can_be_sent_again_alone() -> None:
    router, _ = a_router(trigger={"key": "event.order"})
    routed = route(router, a_record("batch", EVENT, {**EVENT, "id": "e-2", "data": {"order": "o-9"}}))
    (letter,) = routed.dead_letters
    own = tuple(pair for pair in letter.headers if not pair[0].startswith(("streamflow.", "__streams.")))
    (refusal,) = route(router, Record("orders", 0, 8, 0, letter.key, letter.value, own)).refusals
    assert (refusal.reason, refusal.part) == ("expression_failed", None)


@pytest.mark.parametrize("value", [b"{}", b"null", b'"x"', b"3"])
def test_a_batch_that_is_none_is_one_dead_letter(value: bytes) -> None:
    routed = route(a_router()[0], a_record("batch", EVENT, data=value))
    assert [(one.reason, one.part) for one in routed.refusals] == [("bad_cloudevent", None)]
    assert route(a_router()[0], a_record("batch", EVENT, data=b"[]")) is NOTHING
    assert [one.reason for one in route(a_router()[0], a_record("batch", EVENT, data=b"[{")).refusals] == ["not_json"]


def test_a_batch_may_carry_base64() -> None:
    encoded = {name: value for name, value in EVENT.items() if name != "data"}
    encoded["data_base64"] = base64.b64encode(b'{"amount": 5}').decode()
    (found,) = deliveries(route(a_router()[0], a_record("batch", encoded)))
    assert found.event.data == {"amount": 5}
    routed = route(a_router()[0], a_record("batch", {**encoded, "data": 1}))
    assert [one.reason for one in routed.refusals] == ["bad_cloudevent"]


@pytest.mark.parametrize("payload", [None, [], "text", 5, {"order": None}, {"order": "x"}, {"order": []}, {}])
def test_a_match_expression_is_false_for_payloads_of_another_form(payload: Any) -> None:
    for expr in ("has(event.order.id)", "event.order.id == 'o'", "has(event.k)", "event.k == 1"):
        router, _ = a_router(match={"expr": expr})
        record = Record("orders", 0, 7, 0, b"k", json.dumps(payload).encode())
        assert route(router, record) is NOTHING


def test_a_match_expression_that_compares_what_cannot_be_compared_is_a_dead_letter() -> None:
    router, _ = a_router(match={"expr": "event.amount > 5"})
    routed = route(router, Record("orders", 0, 7, 0, b"k", b'{"amount": "x"}'))
    assert [one.reason for one in routed.refusals] == ["expression_failed"]


@pytest.mark.parametrize("written", ["10", "10.0", "1e1", "1.0E+1"])
def test_a_whole_number_is_one_however_it_is_written(written: str) -> None:
    value = f'{{"n": {written}, "m": {{"n": {written}}}}}'.encode()
    record = Record("orders", 0, 7, 0, b"k", value)
    place = {"path": "n"}
    router, _ = a_router(match={"path": "m.n", "equals": 10}, id=place, key=place)
    (found,) = deliveries(route(router, record))
    assert (found.key, found.event.id) == ("10", "10")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    for key in ("event.n", "event.n + 1 - 1", "dyn(event.n)"):
        router, _ = a_router(match={"path": "n", "equals": 10}, trigger={"key": key}, schema=schema)
        assert [one.key for one in deliveries(route(router, record))] == ["10"]


@pytest.mark.parametrize("written", ["10.5", "1e300", "true", "null", "[]"])
def test_what_is_no_whole_number_is_no_key(written: str) -> None:
    router, _ = a_router(match={"expr": "true"}, key={"path": "n"})
    routed = route(router, Record("orders", 0, 7, 0, b"k", f'{{"n": {written}}}'.encode()))
    assert [one.reason for one in routed.refusals] == ["missing_key"]
