"""JSON Schemas of operations: what can be used as one, and where a value breaks it. Nothing is fetched from
elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from streamflow.definition.validation import compiled, schema_fault


def unusable(schema: Mapping[str, Any]) -> str | None:
    """Why `schema` cannot be used, or None."""
    return schema_fault(schema)


def first_fault(value: Any, schema: Mapping[str, Any]) -> jsonschema_rs.ValidationError | None:
    """The first way in which `value` breaks `schema`; None when it fits. Raises ValueError when the schema cannot be
    used."""
    return next(iter(compiled(schema).iter_errors(value)), None)


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Where `value` breaks `schema`, and how; None when it fits. Raises ValueError when the schema cannot be used."""
    wrong = first_fault(value, schema)
    return None if wrong is None else f"{'/'.join(map(str, wrong.instance_path)) or 'the whole'}: {wrong.message}"[:300]
