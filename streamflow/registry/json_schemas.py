"""The data that payloads of a registered schema are read as, as a JSON Schema: what a catalog says of an event."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from streamflow.errors import OperationError
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.unreadable import UNREADABLE

_AVRO = {
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "string": {"type": "string"},
    "bytes": {"type": "string"},  # base64
}
_FORMATS = {
    "timestamp-millis": {"type": "string", "format": "date-time"},
    "timestamp-micros": {"type": "string", "format": "date-time"},
    "local-timestamp-millis": {"type": "string"},
    "local-timestamp-micros": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "time-millis": {"type": "string"},
    "time-micros": {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
    "decimal": {"type": "string"},
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string"},
    "FieldMask": {"type": "string"},
    "Struct": {"type": "object"},
    "Value": {},
    "ListValue": {"type": "array"},
    "Any": {"type": "object"},
    "Empty": {"type": "object"},
    "DoubleValue": {"type": "number"},
    "FloatValue": {"type": "number"},
    "Int64Value": {"type": "integer"},
    "UInt64Value": {"type": "integer"},
    "Int32Value": {"type": "integer"},
    "UInt32Value": {"type": "integer"},
    "BoolValue": {"type": "boolean"},
    "StringValue": {"type": "string"},
    "BytesValue": {"type": "string"},
}
_DEFS = "#/$defs/"


def described(schema: RegisteredSchema, message: str | None = None) -> tuple[str, dict[str, Any]]:
    """What the data is called (empty: it has no name), and its JSON Schema. `message` is one of Protobuf; None: the
    first.

    Raises OperationError (`schema_unusable`)."""
    try:
        if schema.type == "JSON":
            return _of_json(schema)
        return _of_protobuf(schema, message) if schema.type == "PROTOBUF" else _of_avro(schema)
    except (*UNREADABLE, AttributeError) as error:
        raise OperationError(
            "schema_unusable",
            f"The schema {schema.id} cannot be described: {str(error)[:300]}. Correct it in the registry.",
            retryable=False,
        ) from error


def _of_json(schema: RegisteredSchema) -> tuple[str, dict[str, Any]]:
    found = json.loads(schema.text)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if schema.references:
        raise ValueError("it refers to other subjects, which a catalog has as its own `schemas`")
    title = found.get("title")
    return title if isinstance(title, str) else "", {name: value for name, value in found.items() if name != "$id"}


def _of_avro(schema: RegisteredSchema) -> tuple[str, dict[str, Any]]:
    from streamflow.registry.avro import AvroSchema

    avro = AvroSchema(schema)
    describing = _Avro(avro.named, avro.parsed)
    found = describing.schema(avro.parsed)
    return avro.name, _with_defs(found, describing.defs)


def _with_defs(found: dict[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to. One that is nothing but a reference is what it refers to."""
    if found.get("$ref", "").startswith(_DEFS):
        found = dict(defs[found["$ref"].removeprefix(_DEFS)])
    return found | {"$defs": dict(sorted(defs.items()))} if defs else found


class _Avro:
    """Types that are named more than once go into `defs`."""

    def __init__(self, named: Mapping[str, Any], whole: Any) -> None:
        self._named = named
        self._often: Counter[str] = Counter()
        self._count(whole)
        self.defs: dict[str, Any] = {}

    def _count(self, schema: Any) -> None:
        if isinstance(schema, list):
            for one in schema:
                self._count(one)
        elif isinstance(schema, str):
            if schema in self._named:
                self._count(self._named[schema])
        elif schema["type"] in ("record", "error"):
            self._often[schema["name"]] += 1
            if self._often[schema["name"]] == 1:
                for field in schema["fields"]:
                    self._count(field["type"])
        elif schema["type"] in ("array", "map"):
            self._count(schema.get("items", schema.get("values")))
        elif not isinstance(schema["type"], str):
            self._count(schema["type"])

    def schema(self, schema: Any) -> dict[str, Any]:
        """The JSON Schema of a type."""
        if isinstance(schema, list):
            return _one_of([self.schema(one) for one in schema])
        if isinstance(schema, str):
            return self.schema(self._named[schema]) if schema in self._named else dict(_AVRO[schema])
        kind = schema["type"]
        if schema.get("logicalType") in _FORMATS and kind in _AVRO | {"fixed": None}:
            return dict(_FORMATS[schema["logicalType"]])
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array":
            return {"type": "array", "items": self.schema(schema["items"])}
        if kind == "map":
            return {"type": "object", "additionalProperties": self.schema(schema["values"])}
        if kind == "enum":
            return {"type": "string", "enum": list(schema["symbols"])}
        if kind == "fixed":
            return {"type": "string"}
        return self.schema(kind)

    def _record(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        name = schema["name"]
        if self._often[name] < 2:
            return self._object(schema)
        if name not in self.defs:
            self.defs[name] = {}  # it may be within itself
            self.defs[name] = self._object(schema)
        return {"$ref": _DEFS + name}

    def _object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": "object",
            "properties": {field["name"]: self.schema(field["type"]) for field in schema["fields"]},
        }
        if required := [field["name"] for field in schema["fields"] if "default" not in field]:
            found["required"] = required
        return found


def _one_of(branches: list[dict[str, Any]]) -> dict[str, Any]:
    """A value of one of these types; null beside one type is expressed by the type alone."""
    others = [branch for branch in branches if branch != {"type": "null"}]
    if len(others) == len(branches):
        return others[0] if len(others) == 1 else {"anyOf": branches}
    if not others:
        return {"type": "null"}
    if len(others) == 1 and isinstance(others[0].get("type"), str):
        nullable = others[0] | {"type": [others[0]["type"], "null"]}
        return nullable | {"enum": [*nullable["enum"], None]} if "enum" in nullable else nullable
    return {"anyOf": branches}


def _of_protobuf(schema: RegisteredSchema, name: str | None) -> tuple[str, dict[str, Any]]:
    from streamflow.registry.protobuf import ProtobufSchema

    messages = ProtobufSchema(schema)
    descriptor = messages.message(messages.indexes(name)).DESCRIPTOR
    defs: dict[str, Any] = {}
    found = _message(descriptor, defs, frozenset())
    return descriptor.full_name, _with_defs(found, defs)


def _message(descriptor: Any, defs: dict[str, Any], inside: frozenset[str]) -> dict[str, Any]:
    name = descriptor.full_name
    if descriptor.file.package == "google.protobuf" and descriptor.name in _WELL_KNOWN:
        return dict(_WELL_KNOWN[descriptor.name])
    if name in inside:
        if name not in defs:
            defs[name] = {}
            defs[name] = _message(descriptor, defs, frozenset())
        return {"$ref": _DEFS + name}
    found: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _field(field, defs, inside | {name}) for field in descriptor.fields},
    }
    if required := [field.name for field in descriptor.fields if not field.has_presence]:
        found["required"] = required
    return found


def _field(field: Any, defs: dict[str, Any], inside: frozenset[str]) -> dict[str, Any]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = message.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _single(value, defs, inside)}
    found = _single(field, defs, inside)
    return {"type": "array", "items": found} if field.is_repeated else found


def _single(field: Any, defs: dict[str, Any], inside: frozenset[str]) -> dict[str, Any]:
    if field.message_type is not None:
        return _message(field.message_type, defs, inside)
    if field.enum_type is not None:
        return {"enum": [value.name for value in field.enum_type.values]}
    return dict(_SCALARS[field.cpp_type])


# by the numbers of CppType in descriptors
_SCALARS: dict[int, dict[str, Any]] = {
    **{key: {"type": "integer"} for key in (1, 2, 3, 4)},
    **{key: {"type": "number"} for key in (5, 6)},
    7: {"type": "boolean"},
    9: {"type": "string"},
}
