"""One record to commands and dead letters: every outcome, and exactly one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.core.event_router import NOTHING, EventRouter, Routed, readable
from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.match import Published
from streamflow.errors import DefinitionError
from streamflow.wire.codec import decode_command
from streamflow.wire.decoding import Record


def published(
    name: str = "loan",
    where: str | None = None,
    schema: dict[str, Any] | None = None,
    *,
    version: str = "1",
    newest: bool = True,
    waits: bool = False,
    match: dict[str, Any] | None = None,
) -> Published:
    """A version that starts by `submitted`, and may wait for it."""
    spec = {
        "name": "submitted",
        "topics": ["orders"],
        "match": match or {"path": "kind", "equals": "s"},
        "key": {"path": "order"},
        "schema": schema or {},
    }
    catalog = Catalog.model_validate({"events": [spec]})
    wait = {"events": [{"id": "s", "event": "submitted"}], "forever": True}
    steps = [{"id": "w", "wait": wait} if waits else {"id": "p", "print": {"text": "'x'"}}]
    definition = Definition.model_validate(
        {"name": name, "version": version, "on": [{"id": "t", "event": "submitted", "where": where}], "steps": steps}
    )
    return Published(
        plan=compile_plan(definition, catalog, "sha"), specs={"submitted": catalog.events[0]}, at=1, newest=newest
    )


def router(*versions: Published, event_bytes: int = 512_000, record_bytes: int = 900_000) -> EventRouter:
    return EventRouter(versions, event_bytes=event_bytes, record_bytes=record_bytes)


def route(by: EventRouter, value: Any, topic: str = "orders", headers: tuple[tuple[str, bytes], ...] = ()) -> Routed:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return by.route(Record(topic, 0, 7, 1_700_000_000_000, b"k", data, headers), "T", 5)


def reasons(routed: Routed) -> list[str]:
    found = [dict(letter.headers)["streamflow.dlq.reason"].decode() for letter in routed.dead_letters]
    assert found == [refusal.reason for refusal in routed.refusals]
    return found


def test_a_matching_record_becomes_an_encoded_command_with_its_key() -> None:
    routed = route(router(published()), {"kind": "s", "order": "a"})
    ((key, value),) = routed.commands
    assert (key, decode_command(value).id.split("/")[:3], reasons(routed)) == ("a", ["T", "0", "7"], [])


@pytest.mark.parametrize(("value", "topic"), [({"kind": "x"}, "orders"), ({"kind": "s", "order": "a"}, "elsewhere")])
def test_a_record_that_nobody_wants_is_nothing(value: Any, topic: str) -> None:
    assert route(router(published()), value, topic) is NOTHING


def test_an_event_whose_trigger_does_not_hold_is_nothing() -> None:
    assert route(router(published(where="event.amount > 5")), {"kind": "s", "order": "a", "amount": 1}) is NOTHING


def test_each_bad_record_has_its_reason() -> None:
    by = router(
        published(where="event.amount > 5", schema={"required": ["kind"], "properties": {"n": {"type": "string"}}})
    )
    assert reasons(route(by, b"\xff")) == ["not_json"]
    assert reasons(route(by, {"kind": "s", "order": "a", "n": 1})) == ["schema_mismatch"]
    assert reasons(route(by, {"kind": "s", "amount": 6})) == ["missing_key"]
    assert reasons(route(by, {"kind": "s", "order": "a", "amount": "x"})) == ["expression_failed"]


def test_an_event_over_the_limit_is_kept_in_part_whoever_would_want_it() -> None:
    by = router(published(), event_bytes=1000)
    routed = route(by, b"x" * 200_000)
    assert reasons(routed) == ["event_too_large"]
    assert len(routed.dead_letters[0].value or b"") == 65_536


def test_a_command_that_grows_over_the_limit_is_a_dead_letter() -> None:
    by = router(published(), event_bytes=1000, record_bytes=1000)
    assert reasons(route(by, {"kind": "s", "order": "a", "text": "x" * 900})) == ["event_too_large"]


def test_a_definition_that_fails_leaves_the_others_their_commands() -> None:
    by = router(published("a", where="event.amount > 5"), published("b"))
    routed = route(by, {"kind": "s", "order": "k", "amount": "x"})
    assert (len(routed.commands), reasons(routed)) == (1, ["expression_failed"])


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": {"type": "nonsense"}},
        {"schema": {"$ref": "https://example.com/a.json"}},
        {"match": {"expr": "event."}},
    ],
)
def test_a_catalog_that_cannot_be_used_is_told_before_it_is_used(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, DefinitionError)):
        readable([EventSpec.model_validate({"name": "a", "topics": ["orders"], **fields})])


def test_a_fault_of_ours_is_a_dead_letter_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    by = router(published())
    monkeypatch.setattr(by._matcher, "match", lambda *_: 1 / 0)
    assert reasons(route(by, {"kind": "s", "order": "k"})) == ["matching_failed"]


TEXT = {"properties": {"n": {"type": "string"}}}
NUMBER = {"properties": {"n": {"type": "number"}}}


def test_what_an_older_version_cannot_read_is_counted_and_is_no_dead_letter() -> None:
    old, new = published(schema=TEXT, newest=False, waits=True), published(schema=NUMBER, version="2", waits=True)
    both = router(old, new)
    routed = route(both, {"kind": "s", "order": "a", "n": 1})
    assert (len(routed.commands), reasons(routed), routed.outdated) == (1, [], 1)
    # what only the older one can read, it gets; the newest one's refusal stays visible
    routed = route(both, {"kind": "s", "order": "a", "n": "1"})
    assert (len(routed.commands), reasons(routed), routed.outdated) == (1, ["schema_mismatch"], 0)
    # what neither can read is one dead letter and not one for each version ever published
    routed = route(router(old, new), {"kind": "s", "order": "a", "n": []})
    assert (routed.commands, reasons(routed), routed.outdated) == ([], ["schema_mismatch"], 1)


def test_a_record_that_only_older_versions_would_want_and_cannot_have_is_ignored() -> None:
    by = router(published(newest=False, waits=True), event_bytes=1000)
    assert route(by, b"\xff") == Routed([], [], [], 1)
    assert route(by, {"kind": "s", "order": "a", "text": "x" * 2000}) == Routed([], [], [], 1)


@pytest.mark.parametrize(
    ("match", "value", "headers", "reason"),
    [
        ({"path": "kind", "equals": "s"}, {"kind": "other", "text": "x" * 2000}, (), None),
        ({"path": "kind", "equals": "s"}, {"kind": "s", "text": "x" * 2000}, (), "event_too_large"),
        ({"path": "kind", "equals": "s"}, b"x" * 2000, (), "event_too_large"),
        ({"type": "s"}, b"x" * 2000, (("ce_specversion", b"1.0"), ("ce_type", b"other")), None),
        ({"type": "s"}, b"x" * 2000, (("ce_specversion", b"1.0"), ("ce_type", b"s")), "event_too_large"),
        ({"header": "type", "equals": "s"}, b"x" * 2000, (("type", b"other"),), None),
        ({"path": "kind", "equals": "s"}, b"\xff", (("ce_specversion", b"1.0"), ("ce_type", b"other")), None),
        ({"path": "kind", "equals": "s"}, b"\xff", (), "not_json"),
    ],
)
def test_large_and_odd_records_are_dead_letters_only_if_a_version_may_want_them(
    match: dict[str, Any], value: Any, headers: tuple[tuple[str, bytes], ...], reason: str | None
) -> None:
    routed = route(router(published(match=match), event_bytes=1000), value, headers=headers)
    assert reasons(routed) == ([reason] if reason else [])
    assert not routed.commands


@pytest.mark.parametrize("size", [1001, 5000, 100_000])
@pytest.mark.parametrize("long", ["key", "id", "source"])
def test_a_name_that_is_too_long_is_refused_at_the_place_of_its_source(long: str, size: int) -> None:
    match = {"type": "submitted"}
    names = {"key": "k", "id": "i", "source": "s"} | {long: "ä" * (size // 2 + 1)}
    headers = (("ce_type", b"submitted"), ("ce_id", names["id"].encode()), ("ce_source", names["source"].encode()))
    value = json.dumps({"order": names["key"]}, ensure_ascii=False).encode()
    routed = route(router(published(match=match)), value, headers=headers)
    assert (routed.commands, reasons(routed)) == ([], ["name_too_long"])
    (letter,) = routed.dead_letters
    facts = dict(letter.headers)
    assert (facts["streamflow.dlq.topic"], facts["streamflow.dlq.offset"]) == (b"orders", b"7")
    assert letter.value == value
    assert {"key": "The key has", "id": "The event id has", "source": "The event source has"}[long] in routed.refusals[
        0
    ].message


def test_a_long_name_of_one_definition_leaves_the_others_their_commands() -> None:
    versions = [published("a"), published("b", where="true")]
    assert reasons(route(router(*versions), {"kind": "s", "order": "k" * 1001})) == ["name_too_long"] * 2
    assert len(route(router(*versions), {"kind": "s", "order": "k" * 1000}).commands) == 2
