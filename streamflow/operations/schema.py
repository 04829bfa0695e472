"""JSON Schemas of operations: what can be used as one, and where a value breaks it. Nothing is fetched from
elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import compiled, schema_fault


def unusable(schema: Mapping[str, Any]) -> str | None:
    """Why `schema` cannot be used, or None."""
    return schema_fault(schema)


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Where `value` breaks `schema`, and how, as `schema_faults` words it; None when it fits.

    Raises ValueError when the schema cannot be used."""
    return schema_faults(compiled(schema), value) or None
