"""Data as JSON has it to values that fastavro writes, strictly: what a schema has no place for is refused, and nothing
is dropped or rounded."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

_WHOLE = {"int": 2**31, "long": 2**63}
_SECONDS = {"timestamp-millis": 1000, "timestamp-micros": 1_000_000}
_PLAIN = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Unfit(ValueError):
    """Data that a schema has no place for; the text names the place and holds nothing of the data."""


def avro_value(data: Any, schema: Any, named: Mapping[str, Any], at: str = "") -> Any:
    """What fastavro writes for `data`. `named` are the types of the schema by name, `at` the place. Raises Unfit."""
    if isinstance(schema, list):
        return _in_union(data, schema, named, at)
    if isinstance(schema, str):
        return avro_value(data, named[schema], named, at) if schema in named else _primitive(data, schema, at)
    kind = schema["type"]
    if "logicalType" in schema and isinstance(kind, str):
        return _logical(data, schema, at)
    if kind in ("record", "error"):
        return _record(data, schema, named, at)
    if kind == "array":
        if not isinstance(data, list):
            raise _unfit(at, "a list")
        return [avro_value(one, schema["items"], named, f"{at}/{n}") for n, one in enumerate(data)]
    if kind == "map":
        if not isinstance(data, dict):
            raise _unfit(at, "an object")
        return {name: avro_value(one, schema["values"], named, f"{at}/{name}") for name, one in data.items()}
    if kind == "enum":
        if data not in schema["symbols"]:
            raise _unfit(at, f"one of {len(schema['symbols'])} symbols of {schema['name']}")
        return data
    if kind == "fixed":
        found = _bytes(data, at)
        if len(found) != schema["size"]:
            raise _unfit(at, f"{schema['size']} bytes in base64")
        return found
    return avro_value(data, kind, named, at)


def _record(data: Any, schema: Mapping[str, Any], named: Mapping[str, Any], at: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _unfit(at, "an object")
    fields = {field["name"]: field for field in schema["fields"]}
    if extra := sorted(data.keys() - fields.keys()):
        raise Unfit(f"at {at or '/'} the record {schema['name']} has no field {extra[0][:100]}")
    found = {}
    for name, field in fields.items():
        if name in data:
            found[name] = avro_value(data[name], field["type"], named, f"{at}/{name}")
        elif "default" not in field:
            raise Unfit(f"at {at or '/'} the field {name} is missing, which has no default")
    return found


def _in_union(data: Any, branches: list[Any], named: Mapping[str, Any], at: str) -> Any:
    """The first branch that takes the data, named where fastavro would have to guess."""
    first: Unfit | None = None
    for branch in branches:
        try:
            value = avro_value(data, branch, named, at)
        except Unfit as unfit:
            first = first if first is not None or branch == "null" else unfit
            continue
        name = branch if isinstance(branch, str) else branch.get("name")
        is_record = isinstance(value, dict) and name in named
        return (name, value) if is_record else value
    raise first if first is not None and len(branches) <= 2 else _unfit(at, f"one of {len(branches)} types")


def _primitive(data: Any, kind: str, at: str) -> Any:
    if kind == "null":
        if data is None:
            return None
    elif kind == "boolean":
        if isinstance(data, bool):
            return data
    elif kind in _WHOLE:
        if isinstance(data, float) and data.is_integer():
            data = int(data)
        if isinstance(data, int) and not isinstance(data, bool) and -_WHOLE[kind] <= data < _WHOLE[kind]:
            return data
    elif kind in ("float", "double"):
        if isinstance(data, int | float) and not isinstance(data, bool):
            found = float(data)
            if math.isfinite(found):
                return found
    elif kind == "bytes":
        return _bytes(data, at)
    elif kind == "string" and isinstance(data, str):
        return data
    raise _unfit(at, f"a value of the type {kind}" if kind in _PLAIN else f"a type that is known, not {kind[:40]}")


def _logical(data: Any, schema: Mapping[str, Any], at: str) -> Any:
    kind, logical = schema["type"], schema["logicalType"]
    try:
        if logical == "decimal" and kind in ("bytes", "fixed") and not isinstance(data, bool):
            number = Decimal(str(data) if isinstance(data, int | float) else data)
            places = number.as_tuple()
            if not isinstance(places.exponent, int):
                raise _unfit(at, "a finite decimal")
            if (
                -places.exponent > schema.get("scale", 0)
                or number.adjusted() + 1 + schema.get("scale", 0) > schema["precision"]
            ):
                raise _unfit(at, f"a decimal of {schema['precision']} digits, {schema.get('scale', 0)} after the point")
            return number
        if logical in _SECONDS and isinstance(data, str):
            moment = datetime.fromisoformat(data)
            if moment.tzinfo is None:
                raise _unfit(at, "a time with its offset")
            return moment.astimezone(UTC)
        if logical.startswith("local-timestamp-") and isinstance(data, str):
            return datetime.fromisoformat(data)
        if logical == "date" and isinstance(data, str):
            return date.fromisoformat(data)
        if logical in ("time-millis", "time-micros") and isinstance(data, str):
            return time.fromisoformat(data)
        if logical == "uuid" and isinstance(data, str):
            return str(UUID(data))
    except Unfit:
        raise
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise _unfit(at, f"a value of the type {logical}") from error
    if kind == "fixed":
        found = _bytes(data, at)
        if len(found) != schema["size"]:
            raise _unfit(at, f"{schema['size']} bytes in base64")
        return found
    return _primitive(data, kind, at)


def _bytes(data: Any, at: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise _unfit(at, "bytes in base64") from error


def _unfit(at: str, wanted: str) -> Unfit:
    return Unfit(f"at {at or '/'} there should be {wanted}")
