"""Values between JSON and PostgreSQL."""

from __future__ import annotations

import base64
import datetime as dt
import math
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from streamflow.errors import OperationError


def parameter(value: Any) -> Any:
    """A JSON value as a parameter: objects, and lists that hold any, as jsonb; other lists as arrays."""
    from psycopg.types.json import Jsonb

    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        return Jsonb(value)
    return value


def plain_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows as JSON objects. Raises OperationError (`statement_invalid` when two columns share a name,
    `value_refused`)."""
    if len(set(columns)) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        message = f"expected columns with different names but {', '.join(twice)} is there twice; do rename one with AS"
        raise OperationError("statement_invalid", message, retryable=False)
    return [{name: _plain(value, name) for name, value in zip(columns, row, strict=True)} for row in rows]


def _plain(value: Any, column: str) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal() | float():
            if not math.isfinite(value):
                message = (
                    f"expected numbers that JSON has in column {column} but one is {value}; do turn it into "
                    "null or text in the query"
                )
                raise OperationError("value_refused", message, retryable=False)
            return float(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [_plain(item, column) for item in value]
        case dict():
            return {str(name): _plain(item, column) for name, item in value.items()}
        case uuid.UUID():
            return str(value)
    return str(value)  # ranges, networks and the like: PostgreSQL's own text, as far as psycopg keeps it
