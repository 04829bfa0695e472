"""A schema as a registry has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

SchemaType = Literal["AVRO", "JSON", "PROTOBUF"]
SCHEMA_TYPES: tuple[SchemaType, ...] = get_args(SchemaType)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSchema:
    """One schema. A text of Protobuf may be its FileDescriptorProto in base64."""

    id: int  # in the frame of every value that is written with it
    type: SchemaType  # the format of its payloads
    text: str  # the schema itself
    references: Mapping[str, str] = field(default_factory=dict)  # texts it builds on, by name, each after its own
    subject: str = ""  # empty when it was found by its id
    version: int = 0  # in its subject
