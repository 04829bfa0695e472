"""Avro schemas of our own records: `runs`, `commands` and `dead-letters`, made from the code, so never beside it.

`schemas/` holds them as `.avsc` files beside the JSON Schemas. What has any form (payloads, outputs) is a text of JSON
there, marked by `contentMediaType`. A test holds them against
the copies of released versions in `schemas/released`: what was written then can be read now.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec.inspect as inspect
from msgspec import NODEFAULT, UNSET, Struct

from streamflow.engine.commands import Command
from streamflow.engine.transitions import FACTS, Transition

NAMESPACE = "streamflow"
JSON_TEXT = {"type": "string", "contentMediaType": "application/json"}


def avro_schemas() -> dict[str, dict[str, Any]]:
    """Schema by file name."""
    return {"runs.avsc": _runs(), "commands.avsc": _commands(), "dead-letters.avsc": _dead_letters()}


def _runs() -> dict[str, Any]:
    writer = _Writer()
    facts = [writer.record(fact) for fact in FACTS.values()]
    return {**writer.record(Transition, {"data": facts}), "namespace": NAMESPACE}


def _commands() -> dict[str, Any]:
    writer = _Writer()
    return {
        "type": "record",
        "name": "CommandRecord",
        "namespace": NAMESPACE,
        "doc": "A record of commands: one request to the engine.",
        "fields": [{"name": "command", "type": [writer.record(kind) for kind in get_args(Command)]}],
    }


def _dead_letters() -> dict[str, Any]:
    header = {
        "type": "record",
        "name": "Header",
        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"], "default": None}],
    }
    optional = {"type": ["null", "bytes"], "default": None}
    return {
        "type": "record",
        "name": "DeadLetter",
        "namespace": NAMESPACE,
        "doc": "A record that was refused: why, where it was, and what it held.",
        "fields": [
            {"name": "id", "type": "string", "doc": "the same refusal has the same one"},
            {"name": "reason", "type": "string", "doc": "a stable code"},
            {"name": "message", "type": "string", "doc": "for people"},
            {"name": "stage", "type": "string", "doc": "the part of Streamflow that refused it"},
            {"name": "topic", "type": "string", "doc": "where the record was"},
            {"name": "partition", "type": "int", "doc": "likewise"},
            {"name": "offset", "type": "long", "doc": "likewise"},
            {
                "name": "facts",
                "type": {"type": "map", "values": "string"},
                "default": {},
                "doc": "what else is known: definition, version, run, step, event, ...",
            },
            {"name": "key", **optional, "doc": "of the record"},
            {"name": "value", **optional, "doc": "of the record"},
            {"name": "headers", "type": {"type": "array", "items": header}, "default": [], "doc": "of the record"},
            {
                "name": "settles",
                "type": ["null", "string"],
                "default": None,
                "doc": "the id of the letter that this record ends, and then no letter itself: the reason says how "
                "(replayed, dropped), the message why, and topic, partition and offset where its record was sent to",
            },
        ],
    }


class _Writer:
    """Writes structs as records; one that was written before is named."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def record(self, struct: type[Struct], types: dict[str, Any] | None = None) -> Any:
        """The record of `struct`, with `types` for the fields that say nothing themselves."""
        name = struct.__name__
        if name in self._written:
            return name
        self._written.add(name)
        info = inspect.type_info(struct)
        assert isinstance(info, inspect.StructType)
        fields = [self._field(field, (types or {}).get(field.encode_name)) for field in info.fields]
        doc = " ".join((struct.__doc__ or "").split())
        record: dict[str, Any] = {"type": "record", "name": name, "fields": fields}
        return record | {"doc": doc} if doc and not doc.startswith(f"{name}(") else record

    def _field(self, field: inspect.Field, type_: Any) -> dict[str, Any]:
        written: dict[str, Any] = {"name": field.encode_name, "type": type_ or self._type(field.type)}
        default = self._default(field)
        if default is not UNSET and type_ is None:
            written["default"] = "null" if written["type"] == JSON_TEXT else default
        return written

    def _default(self, field: inspect.Field) -> Any:
        if field.default is not NODEFAULT:
            return list(field.default) if isinstance(field.default, tuple) else field.default
        return UNSET if field.default_factory is NODEFAULT else field.default_factory()

    def _type(self, of: inspect.Type) -> Any:
        if isinstance(of, inspect.AnyType):
            return JSON_TEXT
        if isinstance(of, inspect.StrType | inspect.LiteralType):
            return "string"
        if isinstance(of, inspect.IntType):
            return "long"
        if isinstance(of, inspect.BoolType):
            return "boolean"
        if isinstance(of, inspect.FloatType):
            return "double"
        if isinstance(of, inspect.NoneType):
            return "null"
        if isinstance(of, inspect.VarTupleType | inspect.ListType):
            return {"type": "array", "items": self._type(of.item_type)}
        if isinstance(of, inspect.DictType):
            inner = self._type(of.value_type)
            return inner if inner == JSON_TEXT else {"type": "map", "values": inner}
        if isinstance(of, inspect.UnionType):
            return [self._type(one) for one in sorted(of.types, key=lambda one: not isinstance(one, inspect.NoneType))]
        if isinstance(of, inspect.StructType):
            return self.record(of.cls)
        raise TypeError(f"no type of Avro for {of!r}")
