"""Schemas of operations: nothing is fetched from elsewhere to use one."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operations.schema import misfit, unusable

ELSEWHERE: tuple[dict[str, Any], ...] = (
    {"$ref": "http://127.0.0.1:9/schema.json"},
    {"properties": {"a": {"$ref": "https://schemas.example/a"}}},
    {"$ref": "file:///etc/hostname"},
)


@pytest.mark.parametrize("schema", [*ELSEWHERE, {"type": "nonsense"}])
def test_what_is_no_schema_or_is_elsewhere_cannot_be_used(schema: dict[str, Any]) -> None:
    assert unusable(schema) is not None
    with pytest.raises(ValueError):
        misfit({}, schema)


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}])
def test_what_holds_its_own_references_can_be_used(schema: dict[str, Any]) -> None:
    assert unusable(schema) is None


def test_a_misfit_says_where_and_how() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}

    assert misfit({"a": [1]}, schema) is None
    assert misfit({"a": [1, "x"]}, schema) == '/a/1: "x" is not of type "integer"'
    assert misfit(1, {"type": "string"}) == '1 is not of type "string"'
