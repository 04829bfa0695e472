"""A user's record to data: which decoder a record needs is chosen by its content type, one look at a time and only as
far as it is asked.

`attributes` of a record costs a look at its headers, `data` one pass of JSON; a record that no event of its topic can
be never gets that far. Another format is one more entry in `DECODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streamflow.wire import cloudevents
from streamflow.wire.cloudevents import NO_ATTRIBUTES, Attributes
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

Headers = tuple[tuple[str, bytes], ...]
NO_HEADERS: dict[str, bytes] = {}


class Record(NamedTuple):
    """A record of a source topic, as it lies there. `timestamp_ms` is the time of its arrival at the broker if the
    topic has it (`log_append`), else what its producer says."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    log_append: bool = False


class Decoded:
    """What a record says, read on demand. A record without a value has the data None."""

    __slots__ = ("_data", "_read", "attributes", "headers", "record")

    def __init__(self, record: Record) -> None:
        """Reads the headers, and the value when it is a structured CloudEvent. Raises DecodeError."""
        self.record = record
        self.headers: Mapping[str, bytes] = NO_HEADERS
        self.attributes: Attributes = NO_ATTRIBUTES
        self._read = False
        self._data: Any = None
        if record.headers:
            self.headers = {name: value for name, value in record.headers if value is not None}
            self.attributes = cloudevents.binary(self.headers)
            if self.attributes.content_type == cloudevents.STRUCTURED:
                self._unfold()

    @property
    def data(self) -> Any:
        """The payload. Raises DecodeError (`not_json`, `unsupported_content_type`)."""
        if not self._read:
            value = self.record.value
            self._data = None if value is None else _decoder(self.attributes.content_type)(value)
            self._read = True
        return self._data

    def _unfold(self) -> None:
        if self.record.value is None:
            raise DecodeError(
                "bad_cloudevent",
                "expected a structured CloudEvent but the record has no value; send the envelope as the value",
            )
        self.attributes, data = cloudevents.structured(read_json(self.record.value), self.attributes.trace)
        self._data = _decoder(self.attributes.content_type)(data) if isinstance(data, bytes) else data
        self._read = True


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "": read_json,
    "application/json": read_json,
    "text/json": read_json,
}


def _decoder(content_type: str) -> Callable[[bytes], Any]:
    decoder = DECODERS.get(content_type)
    if decoder is None and content_type.endswith("+json"):
        decoder = read_json
    if decoder is None:
        raise DecodeError(
            "unsupported_content_type",
            "expected JSON but content-type names another format; send JSON, or correct the header",
        )
    return decoder
