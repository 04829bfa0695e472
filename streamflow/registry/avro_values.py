"""Data as JSON has it to values that fastavro writes, strictly: what a schema has no place for is refused, and nothing
is dropped or rounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

from streamflow.registry.exact_values import (
    UUID_TEXT,
    Unfit,
    base64_of,
    date_of,
    decimal_of,
    double_of,
    moment_of,
    single_of,
    time_of,
)

_WHOLE = {"int": 2**31, "long": 2**63}
_DIGITS = {"millis": 3, "micros": 6}  # of a second, by how types of times end
_TIMES = {
    "timestamp": "a time with its offset, with at most {digits} digits after the second",
    "local-timestamp": "a date and time without an offset, with at most {digits} digits after the second",
    "time": "a time of day without an offset, with at most {digits} digits after the second",
    "": "a date",
}
_PLAIN = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


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
        return _fixed(data, schema, at)
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
    """The first branch that takes the data as it is, named: fastavro would take the first for the kind of value."""
    first: Unfit | None = None
    for branch in sorted(branches, key=lambda branch: _is_rounded(data, branch)):
        try:
            value = avro_value(data, branch, named, at)
        except Unfit as unfit:
            first = first if first is not None or branch == "null" else unfit
            continue
        return _branch_name(branch), value
    raise first if first is not None and len(branches) <= 2 else _unfit(at, f"one of {len(branches)} types")


def _branch_name(branch: Any) -> str:
    if isinstance(branch, str):
        return branch
    return str(branch["name"] if branch["type"] in ("record", "error", "enum", "fixed") else branch["type"])


def _is_rounded(data: Any, branch: Any) -> bool:
    kind = branch.get("type") if isinstance(branch, dict) else branch
    return kind == "float" and isinstance(data, float) and single_of(data) != data


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
            found = double_of(data) if kind == "double" else single_of(data)
            if found is None:
                raise _unfit(at, f"a number that the type {kind} holds")
            return found
    elif kind == "bytes":
        return _bytes(data, at)
    elif kind == "string" and isinstance(data, str):
        return data
    raise _unfit(at, f"a value of the type {kind}" if kind in _PLAIN else f"a type that is known, not {kind[:40]}")


def _logical(data: Any, schema: Mapping[str, Any], at: str) -> Any:
    kind, logical = schema["type"], schema["logicalType"]
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(data, schema, at)
    if isinstance(data, str):
        digits = _DIGITS.get(logical.rpartition("-")[2], 0)
        try:
            if logical in ("timestamp-millis", "timestamp-micros"):
                return moment_of(data, digits, with_offset=True).astimezone(UTC)
            if logical in ("local-timestamp-millis", "local-timestamp-micros"):
                return moment_of(data, digits, with_offset=False)
            if logical in ("time-millis", "time-micros"):
                return time_of(data, digits)
            if logical == "date":
                return date_of(data)
        except (ValueError, OverflowError) as error:
            raise _unfit(at, _TIMES[logical.rpartition("-")[0]].format(digits=digits)) from error
        if logical == "uuid":
            if UUID_TEXT.fullmatch(data) is None:
                raise _unfit(at, "a UUID")
            return data.lower()
    if kind == "fixed":
        return _fixed(data, schema, at)
    return _primitive(data, kind, at)


def _decimal(data: Any, schema: Mapping[str, Any], at: str) -> Decimal:
    precision, scale = schema["precision"], schema.get("scale", 0)
    wanted = f"a decimal of {precision} digits, {scale} after the point"
    try:
        number = decimal_of(data)
    except ValueError as error:
        raise _unfit(at, wanted) from error
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > scale or number.adjusted() + 1 + scale > precision:
        raise _unfit(at, wanted)
    return number


def _fixed(data: Any, schema: Mapping[str, Any], at: str) -> bytes:
    found = _bytes(data, at)
    if len(found) != schema["size"]:
        raise _unfit(at, f"{schema['size']} bytes in base64")
    return found


def _bytes(data: Any, at: str) -> bytes:
    try:
        return base64_of(data)
    except ValueError as error:
        raise _unfit(at, "bytes in base64") from error


def _unfit(at: str, wanted: str) -> Unfit:
    return Unfit(f"at {at or '/'} there should be {wanted}")
