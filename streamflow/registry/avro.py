"""Payloads in Avro to data, and data to Avro."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
from fastavro import _read_py

from streamflow.engine.depth import deeper
from streamflow.registry.misread import misread, too_deep
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import HEAD_BYTES
from streamflow.wire.json_text import MAX_DEPTH

# what reading bytes that are something else may raise
_FAULTS = (EOFError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, AttributeError, struct.error)
_LEAST = {"null": 0, "float": 4, "double": 8}  # bytes of a value; of every other primitive type one


class _Unusable(ValueError):
    """Why a schema is not used; the text says it."""


class AvroSchema:
    """A schema of Avro that can be used. Raises ValueError for one that cannot: no Avro, nested too deep, or with lists
    of values without bytes, of which a short record may hold any number."""

    def __init__(self, schema: RegisteredSchema) -> None:
        self.id = schema.id
        named: dict[str, Any] = {}
        self.named: Mapping[str, Any] = named
        try:
            for text in schema.references.values():
                fastavro.parse_schema(json.loads(text), named_schemas=named)
            self.parsed = fastavro.parse_schema(json.loads(schema.text), named_schemas=named)
            self.is_recursive = _Look(named).is_recursive(self.parsed)
            if schema.references:  # which the readers of fastavro find in the schema of a record alone
                self.parsed = fastavro.parse_schema(_whole(self.parsed, named, set()))
        except _Unusable:
            raise
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
        except (*_FAULTS, fastavro.schema.SchemaParseException) as error:
            raise ValueError(f"it is no Avro schema ({type(error).__name__})") from error

    @property
    def name(self) -> str:
        """The full name of a record; empty for what has none."""
        return str(self.parsed.get("name", "")) if isinstance(self.parsed, dict) else ""


def avro_reader(avro: AvroSchema) -> Callable[[bytes], Any]:
    """What gives the payload of a framed value.

    Bytes are base64, decimals, dates, times and UUIDs are texts, an instant is RFC 3339 text; a union is the value in
    it. The reader raises DecodeError: `schema_decode_failed`, `out_of_range`, `too_deep`."""
    parsed, name = avro.parsed, avro.id
    # the reader in C has no guard for its stack, and values of such schemas may be as deep as they are long
    read = _read_py.schemaless_reader if avro.is_recursive else fastavro.schemaless_reader

    def reader(value: bytes) -> Any:
        stream = io.BytesIO(value)
        stream.seek(HEAD_BYTES)
        try:
            found = read(stream, parsed, None)
            left = len(value) - stream.tell()
            data = _plain(found)
        except RecursionError as error:
            raise too_deep("records") from error
        except DecodeError:
            raise
        except _FAULTS as error:
            raise misread(name, type(error).__name__) from error
        if left:
            raise misread(name, f"{left} bytes are left")
        if avro.is_recursive and deeper(data, MAX_DEPTH):
            raise too_deep("records")
        return data

    return reader


def _whole(schema: Any, named: Mapping[str, Any], defined: set[str]) -> Any:
    """The schema with the definition of every type where it is named first."""
    if isinstance(schema, list):
        return [_whole(one, named, defined) for one in schema]
    if isinstance(schema, str):
        return _whole(named[schema], named, defined) if schema in named and schema not in defined else schema
    if schema["type"] in ("record", "error", "enum", "fixed"):
        defined.add(schema["name"])
    # marks of fastavro, which say that it is parsed already
    plain = {name: value for name, value in schema.items() if not name.startswith("__")}
    for part in ("items", "values"):
        if part in plain:
            plain[part] = _whole(plain[part], named, defined)
    if "fields" in plain:
        plain["fields"] = [field | {"type": _whole(field["type"], named, defined)} for field in plain["fields"]]
    return plain


def _plain(value: Any) -> Any:
    """What fastavro read, as JSON has it."""
    kind = value.__class__
    if kind is dict:
        return {name: _plain(one) for name, one in value.items()}
    if kind is list:
        return [_plain(one) for one in value]
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise DecodeError("out_of_range", "A number is not finite, which JSON cannot hold. Send null or a text.")
        return value
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is datetime:
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(kind.__name__)


class _Look:
    """What is to be known of a schema before anything is read with it."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._least: dict[str, int] = {}  # by name, once it is looked into
        self._open: list[str] = []  # the names that the present place is in
        self._recursive = False

    def is_recursive(self, schema: Any) -> bool:
        """Whether a value may hold another one of its own type. Raises ValueError."""
        self._look(schema, 0)
        return self._recursive

    def _look(self, schema: Any, depth: int) -> int:
        """The least number of bytes of a value."""
        if depth > MAX_DEPTH:
            raise _Unusable("it is nested too deep")
        if isinstance(schema, list):
            for one in schema:
                self._look(one, depth + 1)
            return 1
        if isinstance(schema, str):
            return self._named_type(schema, depth) if schema in self._named else _LEAST.get(schema, 1)
        kind = schema["type"]
        if kind in ("array", "map"):
            inner = self._look(schema["items" if kind == "array" else "values"], depth + 1)
            if kind == "array" and inner == 0:
                raise _Unusable("it has lists of values without bytes")
            return 1
        if kind in ("record", "error"):
            return self._named_type(schema["name"], depth)
        if kind == "fixed":
            return int(schema["size"])
        if kind == "enum":
            return 1
        return self._look(kind, depth + 1)

    def _named_type(self, name: str, depth: int) -> int:
        if name in self._open:
            self._recursive = True
            return 1
        if name not in self._least:
            schema = self._named[name]
            if schema["type"] not in ("record", "error"):
                return int(schema["size"]) if schema["type"] == "fixed" else 1
            self._open.append(name)
            self._least[name] = sum(self._look(field["type"], depth + 1) for field in schema["fields"])
            self._open.pop()
        return self._least[name]
