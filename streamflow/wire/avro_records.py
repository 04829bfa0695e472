"""Records of `runs`, `commands` and `dead-letters` as values of their Avro schemas (`avro_schemas`): what fastavro
writes. The same record gives the same value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect as inspect
from msgspec import Struct

from streamflow.wire.avro_schemas import NAMESPACE
from streamflow.wire.codec import DecodeError, decode_command
from streamflow.wire.dead_letter import Outgoing, facts_of, original_of
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import STAGE, decode_settlement, is_settlement
from streamflow.wire.transitions import decode_transition

_Convert = Callable[[Any], Any]
_NAMED_FACTS = ("id", "reason", "message", "stage", "topic", "partition", "offset")

_json = msgspec.json.Encoder(order="deterministic")


def run_value(record: Record) -> dict[str, Any]:
    """A record of `runs`. Raises DecodeError (`bad_transition`)."""
    transition = decode_transition(record.value or b"", record.headers)
    return _of_struct(transition) | {"data": _branch(transition.data)}


def command_value(record: Record) -> dict[str, Any]:
    """A record of `commands`. Raises DecodeError (`bad_command`, `too_deep`)."""
    return {"command": _branch(decode_command(record.value or b""))}


def dead_letter_value(record: Record) -> dict[str, Any]:
    """A record of `dead-letters`: a letter with the record that it is about, or a settlement, which names its letter in
    `settles`. Raises DecodeError (`bad_letter`)."""
    if is_settlement(record):
        return _settlement(record)
    facts = facts_of(record)
    try:
        place = {"partition": int(facts["partition"]), "offset": int(facts["offset"])}
        named = {name: facts[name] for name in ("id", "reason", "message", "stage", "topic")}
    except (KeyError, ValueError) as error:
        raise _bad_letter() from error
    original = original_of(record) or Outgoing(record.key, record.value, ())
    return {
        **named,
        **place,
        "facts": {name: text for name, text in facts.items() if name not in _NAMED_FACTS},
        "key": original.key,
        "value": original.value,
        "headers": [{"name": name, "value": value} for name, value in original.headers],
        "settles": None,
    }


def _settlement(record: Record) -> dict[str, Any]:
    settlement = decode_settlement(record)
    if settlement is None:
        raise _bad_letter()
    return {
        "id": settlement.letter,
        "reason": settlement.state,
        "message": settlement.why,
        "stage": STAGE,
        "topic": settlement.topic,
        "partition": settlement.partition,
        "offset": settlement.offset,
        "facts": {},
        "key": None,
        "value": None,
        "headers": [],
        "settles": settlement.letter,
    }


def _bad_letter() -> DecodeError:
    return DecodeError(
        "bad_letter", "expected a dead letter but found another record. Only Streamflow's processes write this topic."
    )


def _branch(struct: Struct) -> tuple[str, dict[str, Any]]:
    """A struct in a union of records."""
    return f"{NAMESPACE}.{type(struct).__name__}", _of_struct(struct)


def _of_struct(struct: Struct) -> dict[str, Any]:
    return {name: convert(getattr(struct, field)) for name, field, convert in _fields(type(struct))}


@cache
def _fields(struct: type[Struct]) -> tuple[tuple[str, str, _Convert], ...]:
    """(name in Avro, name in Python, conversion) of each field."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return tuple((field.encode_name, field.name, _conversion(field.type)) for field in info.fields)


def _conversion(of: inspect.Type) -> _Convert:
    """How values of this type are written, in step with `avro_schemas`."""
    if isinstance(of, inspect.AnyType):
        return _json_text
    if isinstance(of, inspect.StructType):
        return _of_struct
    if isinstance(of, inspect.VarTupleType | inspect.ListType):
        return _each(_conversion(of.item_type))
    if isinstance(of, inspect.DictType):
        inner = _conversion(of.value_type)
        return _json_text if inner is _json_text else _mapped(inner)
    if isinstance(of, inspect.UnionType):
        others = [one for one in of.types if not isinstance(one, inspect.NoneType)]
        if len(others) == 1:
            convert = _conversion(others[0])
        else:
            convert = _branch if all(isinstance(one, inspect.StructType) for one in others) else _as_it_is
        return convert if len(others) == len(of.types) else _optional(convert)
    return _as_it_is


def _json_text(value: Any) -> str:
    return _json.encode(value).decode()


def _as_it_is(value: Any) -> Any:
    return value


def _each(convert: _Convert) -> _Convert:
    return lambda values: [convert(value) for value in values]


def _mapped(convert: _Convert) -> _Convert:
    def mapped(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: convert(value) for name, value in values.items()}

    return mapped


def _optional(convert: _Convert) -> _Convert:
    return lambda value: None if value is None else convert(value)
