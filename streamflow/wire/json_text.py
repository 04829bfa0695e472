"""The one reader of JSON from outside: records of source topics, bodies of requests, answers of operations, files and
options of the command line.

RFC 8259, strictly: UTF-8, with or without a byte order mark; no NaN, no Infinity, no half of a surrogate pair. Of
several members of one object with one name the last one counts. Whole numbers keep all their digits; a number with a
fraction or an exponent is the nearest double.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from streamflow.engine.depth import deeper, may_be_deeper
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import framed_schema

# arrays and objects within each other; expressions and encoders recurse, and the interpreter allows about 1000
MAX_DEPTH = 64

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_FOUND = (
    (b"\x1f\x8b", "bytes compressed with gzip", "Send it uncompressed; Kafka compresses by itself."),
    (b"\xff\xfe", "text in UTF-16", "Encode it as UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Encode it as UTF-8."),
)
_decoder = msgspec.json.Decoder()


def read_json(data: bytes) -> Any:
    """The value that `data` holds: None, bool, int, float, str, list or dict.

    Raises DecodeError: `not_json`; `schema_registry_format` for a record that a schema registry's serializer wrote;
    `lone_surrogate`; `out_of_range` for a number that a double, or an integer of 4,300 digits, cannot hold;
    `too_deep` beyond `MAX_DEPTH`. No message holds any of the data."""
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if data.startswith(_BYTE_ORDER_MARK):
            return read_json(data.removeprefix(_BYTE_ORDER_MARK))
        raise _fault(data, error) from error
    if may_be_deeper(data, MAX_DEPTH) and deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def has_non_finite(value: Any) -> bool:
    """Whether a double in `value` is NaN or an infinity, which msgspec writes as null. Looks into dicts, lists and
    tuples."""
    pending = [value]
    for one in pending:
        if isinstance(one, float):
            if not math.isfinite(one):
                return True
        elif isinstance(one, dict):
            pending.extend(one.values())
        elif isinstance(one, list | tuple):
            pending.extend(one)
    return False


def _fault(data: bytes, error: Exception) -> DecodeError:
    if isinstance(error, RecursionError):
        return _too_deep()
    if (schema := framed_schema(data)) is not None:
        return DecodeError(
            "schema_registry_format",
            f"The value begins with the magic byte 0 and the schema id {schema}, as serializers of a schema registry "
            "write it (Avro, Protobuf or JSON Schema), and no registry is asked. Set registry.url, or send plain JSON, "
            "for example with the JsonConverter of Kafka Connect.",
        )
    for start, what, remedy in _FOUND:
        if data.startswith(start):
            return DecodeError("not_json", f"The value is {what}, not JSON in UTF-8. {remedy}")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("not_json", "A text in the JSON is not UTF-8. Encode all of it as UTF-8.")
    if isinstance(error, msgspec.ValidationError):  # the untyped decoder raises it for numbers alone
        return DecodeError(
            "out_of_range", "A number is too large: a double holds up to 1.8e308. Send it as text, or a smaller one."
        )
    if _has_lone_surrogate(data):
        return DecodeError(
            "lone_surrogate",
            "A text has an escape for half of a character (a surrogate without its pair), which no UTF-8 can hold. "
            "Escape both halves, or write the character itself.",
        )
    return DecodeError("not_json", f"The value is not JSON ({_words(error)}). Send JSON in UTF-8.")


def _words(error: Exception) -> str:
    """What the decoder says, which names a place and never the data."""
    text = str(error).removeprefix("JSON is malformed: ")
    return text if text != "Input data was truncated" else "it ends too early"


def _has_lone_surrogate(data: bytes) -> bool:
    high_ends_at = -1  # where an escape of a high half ended that still needs its low half
    for found in _ESCAPE.finditer(data):
        code = int(found[1], 16) if found[1] else 0
        if high_ends_at >= 0 and not (0xDC00 <= code <= 0xDFFF and found.start() == high_ends_at):
            return True
        if high_ends_at < 0 and 0xDC00 <= code <= 0xDFFF:
            return True
        high_ends_at = found.end() if 0xD800 <= code <= 0xDBFF else -1
    return high_ends_at >= 0


def _too_deep() -> DecodeError:
    return DecodeError("too_deep", f"The JSON is more than {MAX_DEPTH} arrays and objects deep. Send flatter data.")
