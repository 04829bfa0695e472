"""Whether a message of Protobuf holds the data that it was made from. The library's reader of JSON drops letters that
are no base64, reads `1_0` as 10, and rounds whole numbers."""

from __future__ import annotations

import base64
import re
from decimal import Decimal
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from streamflow.registry.exact_values import NUMBER, WHOLE, Unfit, double_of, moment_of, single_of
from streamflow.registry.protobuf import as_data, has_own_json, is_map, is_repeated, is_wrapper

F = FieldDescriptorProto
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")
_DURATION = re.compile(r"-?[0-9]{1,12}([.][0-9]{1,9})?s")
_NANOS = 9  # digits of a second


def check_kept(data: Any, message: Any, pool: DescriptorPool, at: str = "") -> None:
    """Raises Unfit when `message`, which was parsed from `data`, does not hold all of it as it is."""
    descriptor = message.DESCRIPTOR
    if descriptor.full_name == "google.protobuf.Any":
        _check_any(data, message, pool, at)
    elif is_wrapper(descriptor):
        _check_one(data, message.value, descriptor.fields_by_name["value"], pool, at)
    elif has_own_json(descriptor):
        if not _is_same(descriptor.name, data, as_data(message, pool)):
            raise _unfit(at, descriptor.full_name)
    elif isinstance(data, dict):
        fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
        for name, value in data.items():
            if name not in fields:  # an extension, which readers do not see
                raise Unfit(f"at {at or '/'} the message {descriptor.full_name} has no field {name[:100]}")
            _check_field(value, message, fields[name], pool, f"{at}/{name}")
    else:
        raise Unfit(f"at {at or '/'} there should be an object")


def _check_any(data: Any, message: Any, pool: DescriptorPool, at: str) -> None:
    if not data:
        return
    descriptor = pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
    inner = message_factory.GetMessageClass(descriptor)()
    inner.ParseFromString(message.value)
    if has_own_json(descriptor) or is_wrapper(descriptor):
        check_kept(data.get("value"), inner, pool, f"{at}/value")
    else:
        check_kept({name: value for name, value in data.items() if name != "@type"}, inner, pool, at)


def _check_field(data: Any, message: Any, field: Any, pool: DescriptorPool, at: str) -> None:
    if data is None:  # is no value, as JSON has it; of the type Value it is one, and nothing else can come of it
        return
    held = getattr(message, field.name)
    if is_map(field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for name, one in data.items():
            if not _is_key(name, key) or _key(name, key) not in held:
                raise _unfit(at, _type(key))
            _check_one(one, held[_key(name, key)], value, pool, f"{at}/{name}")
        if len(held) != len(data):
            raise Unfit(f"at {at} two names are the same key")
    elif is_repeated(field):
        for number, (one, other) in enumerate(zip(data, held, strict=True)):
            _check_one(one, other, field, pool, f"{at}/{number}")
    else:
        _check_one(data, held, field, pool, at)


def _check_one(data: Any, held: Any, field: Any, pool: DescriptorPool, at: str) -> None:
    if field.message_type is not None:
        check_kept(data, held, pool, at)
    elif not _holds(data, held, field):
        raise _unfit(at, _type(field))


def _holds(data: Any, held: Any, field: Any) -> bool:
    """Whether `held` is the scalar `data`, of which some may be written in several ways."""
    if field.type == F.TYPE_BOOL:
        return data is held
    if field.type == F.TYPE_STRING:
        return bool(data == held)
    if field.type == F.TYPE_BYTES:
        if not isinstance(data, str) or _BASE64.fullmatch(data) is None:
            return False
        return data.translate(_URL_SAFE).rstrip("=") == base64.b64encode(held).decode().rstrip("=")
    if isinstance(data, bool):
        return False
    if field.enum_type is not None and isinstance(data, str) and data in field.enum_type.values_by_name:
        return bool(field.enum_type.values_by_name[data].number == held)
    if isinstance(data, str):
        if NUMBER.fullmatch(data) is None:
            return False
        data = int(data) if WHOLE.fullmatch(data) else float(data)
    if field.type == F.TYPE_DOUBLE:
        return bool(double_of(data) == held)
    if field.type == F.TYPE_FLOAT:
        return bool(single_of(data) == held)
    return bool(data == held)


def _is_same(name: str, data: Any, read: Any) -> bool:
    """Whether `read` is `data` in the form that JSON has for the type `name` of google.protobuf."""
    if name == "Timestamp":
        return _instant(data) == _instant(read)
    if name == "Duration":
        return _DURATION.fullmatch(data) is not None and Decimal(data[:-1]) == Decimal(read[:-1])
    return _is_equal(data, read)


def _instant(text: str) -> tuple[Any, Decimal]:
    """The second of a time, and the part of it; None for what is no time of RFC 3339."""
    try:
        moment = moment_of(text, _NANOS, with_offset=True)
    except ValueError:
        return None, Decimal(0)
    fraction = re.search(r"[.]([0-9]+)", text)
    return moment.replace(microsecond=0), Decimal(f"0.{fraction[1]}") if fraction else Decimal(0)


def _is_equal(data: Any, read: Any) -> bool:
    if isinstance(data, dict) and isinstance(read, dict):
        return data.keys() == read.keys() and all(_is_equal(value, read[name]) for name, value in data.items())
    if isinstance(data, list) and isinstance(read, list):
        return len(data) == len(read) and all(map(_is_equal, data, read))
    return isinstance(data, bool) is isinstance(read, bool) and bool(data == read)


def _is_key(name: str, field: Any) -> bool:
    return field.type in (F.TYPE_STRING, F.TYPE_BOOL) or WHOLE.fullmatch(name) is not None


def _key(name: str, field: Any) -> Any:
    if field.type == F.TYPE_STRING:
        return name
    return name == "true" if field.type == F.TYPE_BOOL else int(name)


def _type(field: Any) -> str:
    if field.enum_type is not None:
        return str(field.enum_type.full_name)
    return str(F.Type.Name(field.type)).removeprefix("TYPE_").lower()


def _unfit(at: str, kind: str) -> Unfit:
    return Unfit(f"at {at or '/'} there should be a value that the type {kind} holds")
