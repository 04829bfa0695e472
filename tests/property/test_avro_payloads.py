"""Whatever a schema of Avro allows comes back as it was written, and is what the schema is described as."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.definition.catalog import BoundSchema
from streamflow.registry.json_schemas import described
from streamflow.registry.readers import payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.registry.writers import payload_writer
from streamflow.wire.codec import DecodeError

_NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")
_SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("string", _TEXTS),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats(allow_nan=False, allow_infinity=False)),
    ({"type": "long", "logicalType": "timestamp-micros"}, _TIMES),
    ({"type": "int", "logicalType": "date"}, st.dates().map(str)),
    ({"type": "string", "logicalType": "uuid"}, st.uuids().map(str)),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
        st.integers(-(10**12) + 1, 10**12 - 1).map(lambda whole: _decimal(whole)),
    ),
]


def _decimal(whole: int) -> str:
    sign, digits = "-" if whole < 0 else "", f"{abs(whole):04d}"
    return f"{sign}{digits[:-3]}.{digits[-3:]}"


@st.composite
def _typed(draw: st.DrawFn, numbers: Any, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema, and the data that it allows."""
    kind = draw(
        st.sampled_from(["scalar", "scalar", "enum", "array", "map", "record", "union"] if depth else ["scalar"])
    )
    if kind == "scalar":
        scalar: tuple[Any, st.SearchStrategy[Any]] = draw(st.sampled_from(_SCALARS))
        return scalar
    if kind == "enum":
        symbols = draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
        return {"type": "enum", "name": f"E{next(numbers)}", "symbols": symbols}, st.sampled_from(symbols)
    if kind == "record":
        names = draw(st.lists(_NAMES, max_size=4, unique=True))
        parts = {name: draw(_typed(numbers, depth - 1)) for name in names}
        fields = [{"name": name, "type": schema} for name, (schema, _) in parts.items()]
        record = {"type": "record", "name": f"R{next(numbers)}", "fields": fields}
        return record, st.fixed_dictionaries({name: data for name, (_, data) in parts.items()})
    schema, data = draw(_typed(numbers, depth - 1))
    if kind == "array":
        return {"type": "array", "items": ["null", schema] if _is_empty(schema) else schema}, st.lists(data, max_size=3)
    if kind == "map":
        return {"type": "map", "values": schema}, st.dictionaries(_TEXTS, data, max_size=3)
    return (schema, data) if isinstance(schema, list) else (["null", schema], st.none() | data)


def _is_empty(schema: Any) -> bool:
    return (
        isinstance(schema, dict) and schema["type"] == "record" and all(_is_empty(f["type"]) for f in schema["fields"])
    )


@settings(deadline=None)
@given(st.data())
def test_what_is_written_is_read(data: st.DataObject) -> None:
    schema, values = data.draw(_typed(count()))
    value = data.draw(values)
    text = json.dumps(schema)
    registered = RegisteredSchema(id=7, type="AVRO", text=text)
    write = payload_writer(BoundSchema(subject="s", version=1, id=7, type="AVRO", text=text))

    written = write(json.dumps(value).encode())

    read = payload_reader(registered).read(written)
    assert _same(read, value), (read, value)
    assert write(json.dumps(value).encode()) == written
    _, description = described(registered)
    assert jsonschema_rs.is_valid(description, read), (description, read)


_EDGES = st.sampled_from([2**power + step for power in (23, 24, 31, 53, 63) for step in (-1, 0, 1)])
_NUMBERS = _EDGES | _EDGES.map(float) | st.integers() | st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["null", "int", "long", "float", "double"]), min_size=1, unique=True), _NUMBERS)
def test_a_number_is_written_as_it_is_or_refused(kinds: list[str], value: float) -> None:
    text = json.dumps(kinds)
    write = payload_writer(BoundSchema(subject="s", version=1, id=7, type="AVRO", text=text))
    try:
        written = write(json.dumps(value).encode())
    except DecodeError as error:
        assert error.code == "schema_encode_failed"
        assert not (kinds == ["double"] and isinstance(value, float))
    else:
        assert payload_reader(RegisteredSchema(id=7, type="AVRO", text=text)).read(written) == value


def _same(read: Any, value: Any) -> bool:
    """Whether they are equal but for how an instant is written."""
    if isinstance(read, dict) and isinstance(value, dict):
        return read.keys() == value.keys() and all(_same(read[name], value[name]) for name in read)
    if isinstance(read, list) and isinstance(value, list):
        return len(read) == len(value) and all(map(_same, read, value))
    if isinstance(read, str) and isinstance(value, str) and read != value:
        return read.endswith("Z") and value.replace(".000000Z", "Z") == read
    return bool(read == value)
