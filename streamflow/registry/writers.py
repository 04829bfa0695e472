"""Emitted events as the values of records, written with the schema that is kept in the publication. No registry is
asked, so every worker writes the same bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

from streamflow.definition.catalog import BoundSchema
from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import compiled
from streamflow.errors import OperationError
from streamflow.registry.exact_values import Unfit
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import encoded_indexes, head
from streamflow.wire.unreadable import UNREADABLE

PayloadWriter = Callable[[bytes], bytes]
"""What makes a framed value of a payload in JSON, or raises DecodeError (`schema_encode_failed`)."""


def payload_writer(schema: BoundSchema) -> PayloadWriter:
    """What writes payloads with `schema`; the same payload gives the same bytes.

    Raises OperationError (`schema_unusable`, `extra_missing`)."""
    registered = RegisteredSchema(id=schema.id, type=schema.type, text=schema.text, references=schema.references)
    try:
        if schema.type == "JSON":
            return _json_writer(registered)
        if schema.type == "PROTOBUF":
            return _protobuf_writer(registered, schema.message)
        return _avro_writer(registered)
    except ImportError as error:
        raise OperationError(
            "extra_missing",
            f"An event is written with the schema {schema.id}, but {error.name} cannot be imported. Install the "
            "wheel with the extra schemas, as README.md shows under extras.",
            retryable=False,
        ) from error
    except (*UNREADABLE, AttributeError) as error:
        raise OperationError(
            "schema_unusable",
            f"The schema {schema.id} cannot be written with: {str(error)[:300]}. Correct it in the registry, and "
            "publish again.",
            retryable=False,
        ) from error


def self_contained(schema: RegisteredSchema) -> RegisteredSchema:
    """`schema` as workers can use it: one of Protobuf with its descriptors.

    Raises OperationError (`schema_unusable`, `extra_missing`)."""
    if schema.type != "PROTOBUF":
        return schema
    try:
        from streamflow.registry.protobuf import with_descriptors

        return with_descriptors(schema)
    except ValueError as error:
        raise OperationError(
            "schema_unusable",
            f"The schema {schema.id} cannot be written with: {str(error)[:300]}. Correct it in the registry, and "
            "publish again.",
            retryable=False,
        ) from error


def _avro_writer(schema: RegisteredSchema) -> PayloadWriter:
    import fastavro

    from streamflow.registry.avro import AvroSchema
    from streamflow.registry.avro_values import avro_value

    avro = AvroSchema(schema)
    begin = head(schema.id)

    def write(payload: bytes) -> bytes:
        stream = io.BytesIO()
        stream.write(begin)
        try:
            fastavro.schemaless_writer(stream, avro.parsed, avro_value(json.loads(payload), avro.parsed, avro.named))
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError) as error:
            raise _unwritten(schema, error) from error
        return stream.getvalue()

    return write


def _json_writer(schema: RegisteredSchema) -> PayloadWriter:
    text = json.loads(schema.text)
    if not isinstance(text, dict):
        raise ValueError("it is no JSON object")
    validator, begin = compiled(text, masked=True), head(schema.id)

    def write(payload: bytes) -> bytes:
        if wrong := schema_faults(validator, json.loads(payload)):
            raise _unwritten(schema, wrong)
        return begin + payload

    return write


def _protobuf_writer(schema: RegisteredSchema, name: str | None) -> PayloadWriter:
    from google.protobuf import json_format
    from google.protobuf.message import Error as ProtobufError

    from streamflow.registry.protobuf import ProtobufSchema
    from streamflow.registry.protobuf_values import check_kept

    messages = ProtobufSchema(schema)
    try:
        indexes = messages.indexes(name)
        kind = messages.message(indexes)
    except (LookupError, ValueError) as error:
        raise ValueError(f"it has no message {name or ''}") from error
    begin = head(schema.id) + encoded_indexes(indexes)

    def write(payload: bytes) -> bytes:
        data, message = json.loads(payload), kind()
        try:
            json_format.ParseDict(data, message, descriptor_pool=messages.pool)
            written = bytes(message.SerializeToString(deterministic=True))
            check_kept(data, kind.FromString(written), messages.pool)
        except Unfit as error:
            raise _unwritten(schema, error) from error
        except json_format.ParseError as error:
            # its text may hold the value: only what comes before it is reported
            raise _unwritten(schema, str(error).split(":", 1)[0]) from error
        except (
            *(json_format.Error, ProtobufError, DecodeError, KeyError),
            *(ValueError, TypeError, AttributeError, RecursionError, ArithmeticError),
        ) as error:
            raise _unwritten(schema, type(error).__name__) from error
        return begin + written

    return write


def _unwritten(schema: RegisteredSchema, why: object) -> DecodeError:
    reason = str(why)[:300] if isinstance(why, str | Unfit) else type(why).__name__
    return DecodeError(
        "schema_encode_failed",
        f"The event cannot be written with its schema {schema.id}: {reason}. Correct the definition, or bind the event "
        "to another schema, and replay this record.",
        why=reason,
    )
