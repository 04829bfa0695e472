"""What is said of a value that does not fit its schema."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.schema_faults import MOST_FAULTS, schema_faults
from streamflow.definition.validation import Validator, compiled

SCHEMA = {
    "type": "object",
    "required": ["id", "owner"],
    "properties": {
        "id": {"type": "string"},
        "amount": {"type": "number", "minimum": 1},
        "state": {"enum": ["open", "paid"]},
        "lines": {"type": "array", "items": {"type": "integer"}},
    },
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": "a", "owner": "b"}, ""),
        ([], 'the value is not of type "object" but an array'),
        ({"owner": "b"}, '"id" is a required property'),
        ({}, '"id" is a required property; "owner" is a required property'),
        (
            {"id": None, "owner": 1, "amount": "s3cret", "state": "s3cret"},
            '/amount: the value is not of type "number" but a text; /id: the value is not of type "string" but null; '
            '/state: the value is not one of "open" or "paid"',
        ),
        ({"id": "a", "owner": 1, "lines": [True]}, '/lines/0: the value is not of type "integer" but true or false'),
    ],
)
def test_every_fault_is_told_at_once_in_the_order_of_places_and_without_values(value: Any, text: str) -> None:
    assert schema_faults(compiled(SCHEMA, masked=True), value) == text
    assert Validator(SCHEMA).faults(value) == text


@pytest.mark.parametrize(
    ("wrong", "more"), [(5, ""), (6, "; and 1 more"), (150, "; and 145 more"), (5000, "; and many more")]
)
def test_of_many_faults_the_first_are_told_and_how_many_more_there_are(wrong: int, more: str) -> None:
    text = schema_faults(compiled(SCHEMA, masked=True), {"id": "a", "owner": 1, "lines": ["x"] * wrong})
    assert text.count(" is not of type ") == MOST_FAULTS
    assert text.endswith(f"a text{more}")


@pytest.mark.parametrize("key", ["k" * 10_000, "ä" * 10_000])
def test_the_text_is_bounded_whatever_fields_are_called(key: str) -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    value = {f"{number}{key}": "x" for number in range(50)}
    assert len(schema_faults(compiled(schema, masked=True), value)) < 2_000
    closed = {"additionalProperties": False}
    assert len(schema_faults(compiled(closed, masked=True), value)) < 2_000


def test_a_value_that_no_json_can_hold_is_told_as_such() -> None:
    assert Validator(SCHEMA).faults({"id": object()}) == "it holds a value that cannot be checked"
