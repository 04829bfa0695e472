"""Values against the schemas that a plan declares: the place that does not fit, whatever the value is."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from streamflow.definition.validation import SchemaFault, Validator, compiled, schema_fault, validator
from streamflow.operations.schema import misfit, unusable

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"a/b~": {"enum": ["x", "y"]}}}},
    },
}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"id": "a"}, None),
        ({"id": "a", "count": 1.0}, None),
        ({"id": "a", "count": 1.5}, "/count"),
        ({"id": "a", "count": 0}, "/count"),
        ({"count": 1}, ""),
        ([], ""),
        ({"id": "a", "lines": [{"a/b~": "x"}, {"a/b~": "z"}]}, "/lines/1/a~1b~0"),
        ({"id": 1, "count": "many", "lines": {}}, "/count"),
        ({"id": "a", "count": 10**400}, None),
    ],
)
def test_the_fault_is_the_first_place_that_does_not_fit(value: Any, fault: str | None) -> None:
    assert Validator(SCHEMA).fault(value) == fault


def test_a_value_that_no_json_can_hold_does_not_fit() -> None:
    assert Validator(SCHEMA).fault({"id": "a", "count": object()}) == ""


def test_a_place_is_no_longer_than_a_transition_can_hold() -> None:
    fault = Validator({"additionalProperties": {"type": "string"}}).fault({"n" * 5000: 1})
    assert fault is not None
    assert len(fault) == 200


def test_a_schema_that_allows_anything_needs_no_validator() -> None:
    assert validator({}) is None
    assert validator({"type": "object"}) is not None


def test_nothing_is_fetched_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="not fetched"):
        Validator({"$ref": "http://127.0.0.1:1/schema.json"})


@pytest.fixture
def visits() -> Any:
    """(an address on this machine that counts who connects, the count)"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen: list[Any] = []

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                seen.append(address)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("read", [schema_fault, unusable])
@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "{}/a"}, "not fetched"),
        ({"$ref": "{}/a#/b"}, "not fetched"),
        ({"$schema": "{}/dialect"}, "dialect that is not known"),
        ({"$schema": "{}/dialect", "$id": "{}/dialect"}, "dialect that is not known"),
        ({"$id": "{}/a", "$ref": "b"}, "not fetched"),
        ({"$id": "{}/a", "properties": {"p": {"$ref": "./b#x"}}}, "not fetched"),
        ({"$dynamicRef": "{}/a#x"}, "not fetched"),
        ({"$schema": "http://json-schema.org/draft-07/schema", "$ref": "{}/a"}, "not fetched"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "id": "{}/a", "$ref": "b"}, "not fetched"),
        ({"$defs": {"a": {"$id": "{}/b", "$schema": "{}/dialect", "$ref": "{}/c"}}, "$ref": "{}/b"}, "not fetched"),
        ({"$ref": "#/$defs/gone"}, "leads to '/$defs/gone', which is not there"),
        ({"properties": {"p": {"type": "text"}}}, "/properties/p/type"),
        ({"$ref": "file:///etc/hostname"}, "not fetched"),
    ],
)
def test_nothing_is_ever_fetched_and_what_cannot_be_used_says_why(
    read: Any, schema: dict[str, Any], reason: str, visits: tuple[str, list[Any]]
) -> None:
    address, seen = visits
    fault = read(at(schema, address))
    assert reason in fault
    assert not seen


def test_addresses_that_are_only_names_are_never_visited(visits: tuple[str, list[Any]]) -> None:
    address, seen = visits
    schema = {"$id": "{}/a", "properties": {"p": {"$id": "b", "type": "string"}, "q": {"$ref": "b"}}}
    assert schema_fault(at(schema, address)) is None
    assert not compiled(at(schema, address)).is_valid({"q": 1})
    assert not seen


def at(schema: Any, address: str) -> Any:
    if isinstance(schema, dict):
        return {name: at(part, address) for name, part in schema.items()}
    return schema.replace("{}", address) if isinstance(schema, str) else schema


@pytest.mark.parametrize("draft", ["draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12", ""])
@pytest.mark.parametrize(
    ("format_", "right", "wrong"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
        ("email", "a@b.example", "a"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("uri", "https://a.example/", "not a uri"),
        ("of-our-own", "anything", None),
    ],
)
def test_format_is_checked_in_every_draft(draft: str, format_: str, right: str, wrong: str | None) -> None:
    schema: dict[str, Any] = {"type": "string", "format": format_}
    if draft:
        schema["$schema"] = f"http{'s' if '/' in draft else ''}://json-schema.org/{draft}/schema#".rstrip("#")
    assert Validator(schema).fault(right) is None
    assert misfit(right, schema) is None
    if wrong is not None:
        assert Validator(schema).fault(wrong) == ""
        assert misfit(wrong, schema) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "nullable": True},
        {"type": "string", "nullable": True, "enum": ["a"]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "nullable": True}}},
        {"anyOf": [{"type": "string", "nullable": True}]},
    ],
)
def test_nullable_of_openapi_allows_null(schema: dict[str, Any]) -> None:
    of = {"properties": {"nullable": schema}, "$defs": schema.get("$defs", {})}
    assert Validator(schema).fault(None) is None
    assert Validator(of).fault({"nullable": None}) is None
    assert Validator(of).fault({"nullable": 1}) == "/nullable"


def test_a_property_called_nullable_is_only_a_property() -> None:
    assert Validator({"properties": {"p": {"type": "string", "nullable": False}}}).fault({"p": None}) == "/p"
    assert (
        Validator({"const": {"type": "string", "nullable": True}}).fault({"type": "string", "nullable": True}) is None
    )


def test_a_schema_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"not": deep}
    with pytest.raises(SchemaFault):
        compiled(deep)
    while deep:  # an object this deep is taken apart level by level
        deep = deep["not"]
