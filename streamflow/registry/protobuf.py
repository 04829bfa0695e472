"""Payloads in Protobuf to data, and data to Protobuf, by the descriptors that the registry has: no generated code."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as ProtobufError

from streamflow.engine.depth import deeper
from streamflow.registry.misread import misread, too_deep
from streamflow.registry.protoc import descriptors, encoded, shipped
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import message_indexes
from streamflow.wire.json_text import MAX_DEPTH

_OWN_JSON = frozenset(
    {"Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value", "Empty"}
)  # of google.protobuf: those that JSON has in a special form
_WRAPPER = re.compile(r"google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value")


class ProtobufSchema:
    """The messages of one schema. Raises ValueError when it cannot be used."""

    def __init__(self, schema: RegisteredSchema) -> None:
        self.id = schema.id
        self.pool = DescriptorPool()
        self._added: set[str] = set()
        self._classes: dict[tuple[int, ...], Any] = {}
        own = f"schema-{schema.id}.proto"
        files = descriptors(own, schema.text, schema.references)
        try:
            for file in files.values():
                self._add(file, files)
            self._file = self.pool.FindFileByName(own)
        except (TypeError, KeyError, RecursionError) as error:  # of the pool: a name that is not there, or twice
            raise ValueError(f"its descriptor does not stand ({str(error)[:150]})") from error
        self._messages = [message.name for message in files[own].message_type]

    def message(self, indexes: tuple[int, ...]) -> Any:
        """The class of the message at `indexes`. Raises LookupError."""
        found = self._classes.get(indexes)
        if found is None:
            at = self._file.message_types_by_name[self._messages[indexes[0]]]
            for index in indexes[1:]:
                at = at.nested_types[index]
            found = self._classes[indexes] = message_factory.GetMessageClass(at)
        return found

    def name(self, value: bytes) -> str:
        """The full name of the message in a framed value; empty when there is none."""
        try:
            return str(self.message(message_indexes(value)[0]).DESCRIPTOR.full_name)
        except (DecodeError, LookupError):
            return ""

    def indexes(self, name: str | None) -> tuple[int, ...]:
        """Where the message called `name` is (its full name, or that in its package); None: the first.

        Raises LookupError."""
        if name is None:
            self.message((0,))
            return (0,)
        package = f"{self._file.package}." if self._file.package else ""
        first, *rest = name.removeprefix(package).split(".")
        indexes = [self._messages.index(first)] if first in self._messages else []
        if not indexes:
            raise LookupError(name)
        at = self._file.message_types_by_name[first]
        for part in rest:
            indexes.append([nested.name for nested in at.nested_types].index(part))
            at = at.nested_types[indexes[-1]]
        return tuple(indexes)

    def _add(self, file: FileDescriptorProto, files: dict[str, FileDescriptorProto]) -> None:
        """Adds `file` after what it imports."""
        if file.name in self._added:
            return
        self._added.add(file.name)
        for name in file.dependency:
            imported = files.get(name) or shipped(name)
            if imported is None:
                raise ValueError(f"it imports {name[:100]}, which it has no reference to")
            self._add(imported, files)
        self.pool.Add(file)


def with_descriptors(schema: RegisteredSchema) -> RegisteredSchema:
    """`schema` with descriptors in the place of texts, so that nobody else has to compile them.

    Raises ValueError when it cannot be used, OperationError (`extra_missing`)."""
    own = f"schema-{schema.id}.proto"
    files = {name: encoded(file) for name, file in descriptors(own, schema.text, schema.references).items()}
    text = files.pop(own)
    return replace(schema, text=text, references={name: body for name, body in files.items() if shipped(name) is None})


def protobuf_reader(messages: ProtobufSchema) -> Callable[[bytes], Any]:
    """What gives the payload of a framed value.

    Fields have the names of the schema. One that is not there is left out if its absence can be detected, else it has
    its default. Whole numbers stay whole, bytes are base64, enums are names; timestamps and durations are texts. The
    reader raises DecodeError: `schema_decode_failed`, `out_of_range`, `too_deep`."""
    schema_id = messages.id

    def reader(value: bytes) -> Any:
        indexes, at = message_indexes(value)
        try:
            message = messages.message(indexes)()
        except LookupError as error:
            raise misread(schema_id, "it names a message that the schema has not") from error
        try:
            message.ParseFromString(value[at:])
            data = as_data(message, messages.pool)
        except DecodeError:
            raise
        except (ProtobufError, json_format.Error, ValueError, TypeError) as error:
            raise misread(schema_id, type(error).__name__) from error
        if deeper(data, MAX_DEPTH):
            raise too_deep("messages")
        return data

    return reader


def as_data(message: Any, pool: DescriptorPool) -> Any:
    """A message as JSON has it. Raises json_format.Error, ValueError, or DecodeError (`out_of_range`)."""
    descriptor = message.DESCRIPTOR
    if has_own_json(descriptor):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
    if is_wrapper(descriptor):
        return _single(message.value, descriptor.fields_by_name["value"], pool)
    found: dict[str, Any] = {}
    for field in descriptor.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if is_map(field):
            inner = field.message_type.fields_by_name["value"]
            found[field.name] = {_map_key(key): _single(one, inner, pool) for key, one in value.items()}
        elif is_repeated(field):
            found[field.name] = [_single(one, field, pool) for one in value]
        else:
            found[field.name] = _single(value, field, pool)
    return found


def _single(value: Any, field: Any, pool: DescriptorPool) -> Any:
    if field.message_type is not None:
        return as_data(value, pool)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise DecodeError("out_of_range", "A number is not finite, which JSON cannot hold. Send a text.")
    return value


def has_own_json(descriptor: Any) -> bool:
    """Whether JSON has a special form for a message, such as a text for a time."""
    return descriptor.file.package == "google.protobuf" and descriptor.name in _OWN_JSON


def is_wrapper(descriptor: Any) -> bool:
    """Whether a message is a single value, which can be absent."""
    return _WRAPPER.fullmatch(descriptor.full_name) is not None


def is_repeated(field: Any) -> bool:
    """Whether a field is a list or a map."""
    return bool(field.is_repeated)


def is_map(field: Any) -> bool:
    """Whether a field is a map."""
    return is_repeated(field) and field.message_type is not None and field.message_type.GetOptions().map_entry


def _map_key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
