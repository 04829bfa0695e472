"""Values against the schemas that a plan declares: the place that does not fit, whatever the value is."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.validation import Validator, validator

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
