"""A user's record to data: which decoder a record needs is chosen by its content type, one look at a time and only as
far as it is asked.

`attributes` of a record costs a look at its headers, `data` one pass of JSON; a record that no event of its topic can
be never gets that far. Another format is one more entry in `DECODERS`. A value in the frame of a schema registry says
by itself what it is, and is read by what the host has for that; the name that its schema gives it is one more header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streamflow.wire import cloudevents
from streamflow.wire.cloudevents import NO_ATTRIBUTES, Attributes
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import SCHEMA_NAME, Unframe, framed_schema
from streamflow.wire.json_text import read_json

Headers = tuple[tuple[str, bytes], ...]
NO_HEADERS: dict[str, bytes] = {}
_NO_ENVELOPE = object()
_WITHIN = b"data_base64"

MOST_SCHEMAS = 100
"""Schemas of the events in one record that a registry is asked for. Those of one sender have a few."""


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
    """What a record says, read on demand. A record without a value has the data None.

    `batch` has the envelopes of a batch of CloudEvents; None for any other record. `fault` is why a framed value cannot
    be read: its schema is not known."""

    __slots__ = ("_data", "_payload", "_read", "_unframe", "attributes", "batch", "fault", "headers", "record")

    def __init__(self, record: Record, envelope: Any = _NO_ENVELOPE, unframe: Unframe | None = None) -> None:
        """Reads the headers, and the value when it is a structured CloudEvent or a batch. With an `envelope` it is that
        event of the batch in `record`. `unframe` reads values in the frame of a schema registry, if one is set. Raises
        DecodeError."""
        self.record = record
        self._unframe = unframe
        self._payload = record.value
        self.headers: Mapping[str, bytes] = NO_HEADERS
        self.attributes: Attributes = NO_ATTRIBUTES
        self.batch: list[Any] | None = None
        self.fault: DecodeError | None = None
        self._read = False
        self._data: Any = None
        if record.headers:
            self.headers = {name: value for name, value in record.headers if value is not None}
            self.attributes = cloudevents.binary(self.headers)
            if envelope is not _NO_ENVELOPE:
                self._unfold(envelope)
            elif self.attributes.content_type == cloudevents.STRUCTURED:
                self._unfold(read_json(_value(record)))
            elif self.attributes.content_type == cloudevents.BATCHED:
                self.batch = cloudevents.batch(read_json(_value(record)))
        if unframe is not None and not self._read and framed_schema(self._payload) is not None:
            try:
                if named := unframe.name(self._payload or b""):
                    self.headers = {**self.headers, SCHEMA_NAME: named.encode()}
            except DecodeError as error:
                self.fault = error

    @property
    def data(self) -> Any:
        """The payload. Raises DecodeError: what `read_json` and `unframe` raise, and `unsupported_content_type`."""
        if not self._read:
            value, unframe = self._payload, self._unframe
            if value is None:
                self._data = None
            elif unframe is not None and framed_schema(value) is not None:
                self._data = unframe.read(value)
            else:
                self._data = _decoder(self.attributes.content_type)(value)
            self._read = True
        return self._data

    @property
    def key(self) -> Any:
        """The record's key: text, or the data of a framed one, of a record or message with one field that field; None
        for other bytes. Raises DecodeError as `unframe`."""
        key, unframe = self.record.key, self._unframe
        if key is None:
            return None
        if unframe is not None and framed_schema(key) is not None:
            data = unframe.read(key)
            return next(iter(data.values())) if isinstance(data, dict) and len(data) == 1 else data
        try:
            return key.decode()
        except UnicodeDecodeError:  # other bytes must not become the same key
            return None

    @property
    def cloudevent(self) -> dict[str, str]:
        """The attributes by name, as texts; empty for a plain record. Raises DecodeError (`bad_cloudevent`)."""
        return cloudevents.attributes_in(self.headers)

    def _unfold(self, envelope: Any) -> None:
        self.attributes, data = cloudevents.structured(envelope, self.attributes)
        self.headers = {**self.headers, **cloudevents.as_headers(envelope)}
        if self._unframe is not None and isinstance(data, bytes) and framed_schema(data) is not None:
            self._payload = data
            return
        self._data = _decoder(self.attributes.content_type)(data) if isinstance(data, bytes) else data
        self._read = True


def schema_ids(record: Record) -> tuple[int, ...]:
    """The ids of the schemas that `record` cannot be read without: of its value or, in structured mode and in a batch,
    of the `data_base64` of its events; and of its key. None, if there are more than `MOST_SCHEMAS`: a registry is not
    asked thousands of questions for one record."""
    found = [framed_schema(record.value), framed_schema(record.key)]
    if record.value is not None and _WITHIN in record.value:
        found += _within(record)
    ids = tuple(dict.fromkeys(one for one in found if one is not None))
    return ids if len(ids) <= MOST_SCHEMAS else ()


def _within(record: Record) -> list[int | None]:
    try:
        kind = cloudevents.binary({name: value for name, value in record.headers if value is not None}).content_type
        if kind not in (cloudevents.STRUCTURED, cloudevents.BATCHED):
            return []
        value = read_json(record.value or b"")
    except DecodeError:
        return []  # the reader of the record reports it
    return [framed_schema(cloudevents.binary_data(one)) for one in (value if isinstance(value, list) else [value])]


def _value(record: Record) -> bytes:
    if record.value is None:
        raise DecodeError(
            "bad_cloudevent", "The header content-type announces CloudEvents, but the record has no value. Send them."
        )
    return record.value


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
            "expected JSON but content-type names another format. Send JSON, or correct the header.",
        )
    return decoder
