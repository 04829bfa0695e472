"""`object.put` and `object.get`: objects under keys in a bucket, which is one of an S3 server or a folder of this
machine.

A put is conditional: the first one creates the object, a repeated one finds its own bytes there and writes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Sequence
from typing import Any

import msgspec

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.bucket import Body, Bucket
from streamflow.operations.buckets import Buckets
from streamflow.operations.connections import (
    CONNECTION_ERRORS,
    CONNECTION_INPUT,
    EXTRA_MISSING,
    whole_option,
)
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

_PUT_BYTES = 10_000_000
_GET_BYTES = 180_000  # with base64 it stays below the limit of an output
_KEY_BYTES = 1024

_BUCKET = {
    "type": "string",
    "minLength": 1,
    "maxLength": 63,
    "description": "bucket; without it the connection's option `bucket`, or a folder itself",
}
_KEY = {"type": "string", "description": "key of the object: names with / between them, at most 1024 bytes"}
_ERRORS = (
    DeclaredError(id="key_refused", title="no object can have this key", retryable=False),
    DeclaredError(id="bucket_missing", title="there is no such bucket or folder", retryable=False),
    DeclaredError(id="object_too_large", title="the object is larger than the limit", retryable=False),
    DeclaredError(id="content_invalid", title="the content is not what was asked for", retryable=False),
    DeclaredError(id="store_unavailable", title="the store cannot be reached, or is too busy"),
    DeclaredError(id="store_conflict", title="the object was changed concurrently"),
    DeclaredError(id="store_refused", title="the store refused the request", retryable=False),
)
_STORED = {
    "bucket": {"type": "string"},
    "key": {"type": "string"},
    "url": {"type": "string", "description": "URL of the object, for clients with access"},
    "etag": {"type": "string", "description": "the store's own mark of this content"},
    "bytes": {"type": "integer"},
    "sha256": {"type": "string", "description": "of the content, in hex"},
}


class ObjectPut:
    """Stores an object."""

    spec = OperationSpec(
        name="object.put",
        title="Store an object",
        description="Stores text, JSON or bytes under a key. The same content under the same key is written once, "
        "however often it is put. If other content "
        "is there, `if_exists` says what happens; with `replace` a repetition that comes late also replaces what "
        "others have put since. JSON is written with "
        "sorted keys.",
        input={
            "type": "object",
            "properties": {
                "connection": CONNECTION_INPUT,
                "bucket": _BUCKET,
                "key": _KEY,
                "text": {"type": "string", "description": "the content, as text"},
                "json": {"description": "the content as JSON, instead of text"},
                "base64": {"type": "string", "description": "the content as bytes in base64, instead of text"},
                "content_type": {
                    "type": "string",
                    "maxLength": 200,
                    "description": "media type; default: by the extension of the key",
                },
                "if_exists": {
                    "enum": ["replace", "fail"],
                    "description": "what to do when other content is there (else: replace)",
                },
            },
            "required": ["connection", "key"],
            "additionalProperties": False,
        },
        output={"type": "object", "properties": _STORED, "required": sorted(_STORED), "additionalProperties": False},
        errors=[
            *CONNECTION_ERRORS,
            EXTRA_MISSING,
            *_ERRORS,
            DeclaredError(id="object_exists", title="other content is under this key already", retryable=False),
        ],
        timeout="1m",
    )

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def start(self) -> None:
        """Nothing yet: connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """What is stored, and where. Raises OperationError."""
        name, key = input["connection"], checked_key(input["key"])
        content = _content(input)
        try:
            bucket, bucket_name, connection = await self._buckets.bucket(name, input.get("bucket"), attempt)
            _limited(len(content), whole_option(name, connection, "max_bytes", _PUT_BYTES))
            body = Body(
                content,
                hashlib.sha256(content).hexdigest(),
                input.get("content_type") or _content_type(input),
                attempt.idempotency_key,
            )
            etag = await _put(bucket, key, body, fail=input.get("if_exists") == "fail")
        except OperationError as error:
            self._buckets.note(name, error)
            raise
        self._buckets.note(name, None)
        return {
            "bucket": bucket_name,
            "key": key,
            "url": bucket.url(key),
            "etag": etag,
            "bytes": len(content),
            "sha256": body.sha256,
        }

    async def health(self) -> Health:
        """Whether there are stores, and what went wrong with them last."""
        return self._buckets.condition.health()

    async def close(self) -> None:
        """Lets go of connections."""
        await self._buckets.close()


class ObjectGet:
    """Reads an object."""

    spec = OperationSpec(
        name="object.get",
        title="Read an object",
        description="Gives the object under a key as text, JSON or bytes in base64. One that is larger than "
        "`max_bytes` is an error: an output is part of a "
        "run's history, so large objects stay in the store.",
        input={
            "type": "object",
            "properties": {
                "connection": CONNECTION_INPUT,
                "bucket": _BUCKET,
                "key": _KEY,
                "as": {"enum": ["text", "json", "base64"], "description": "form of the content; default: text"},
                "max_bytes": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _PUT_BYTES,
                    "description": f"default: {_GET_BYTES}",
                },
            },
            "required": ["connection", "key"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": _STORED
            | {
                "content_type": {"type": "string"},
                "text": {"type": "string"},
                "json": {},
                "base64": {"type": "string"},
            },
            "required": sorted([*_STORED, "content_type"]),
            "additionalProperties": False,
        },
        errors=[
            *CONNECTION_ERRORS,
            EXTRA_MISSING,
            *_ERRORS,
            DeclaredError(id="object_missing", title="there is no object under this key", retryable=False),
        ],
        timeout="1m",
    )

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def start(self) -> None:
        """Nothing yet: connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """The object, and where it is. Raises OperationError."""
        name, key = input["connection"], checked_key(input["key"])
        try:
            bucket, bucket_name, _ = await self._buckets.bucket(name, input.get("bucket"), attempt)
            content, found = await bucket.read(key, input.get("max_bytes", _GET_BYTES))
        except OperationError as error:
            self._buckets.note(name, error)
            raise
        self._buckets.note(name, None)
        form = input.get("as", "text")
        return {
            "bucket": bucket_name,
            "key": key,
            "url": bucket.url(key),
            "etag": found.etag,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "content_type": found.content_type,
            form: _given(content, form),
        }

    async def health(self) -> Health:
        """Whether there are stores, and what went wrong with them last."""
        return self._buckets.condition.health()

    async def close(self) -> None:
        """Lets go of connections."""
        await self._buckets.close()


async def _put(bucket: Bucket, key: str, body: Body, *, fail: bool) -> str:
    """Writes `body` unless its bytes are there already: the etag of what is there then."""
    if (etag := await bucket.create(key, body)) is not None:
        return etag
    found = await bucket.find(key)
    if found is None:
        raise OperationError(
            "store_conflict", f"expected the object {key} but it was removed while it was read. Try again."
        )
    if found.size == len(body.content):
        there = found.sha256 or hashlib.sha256((await bucket.read(key, found.size))[0]).hexdigest()
        if there == body.sha256:
            return found.etag
    if fail:
        message = f"expected no other content under {key} but there is some. Choose another key, or if_exists: replace."
        raise OperationError("object_exists", message, retryable=False)
    return await bucket.replace(key, body)


def checked_key(key: str) -> str:
    """`key`, if every kind of store takes it as the name of one object. Raises OperationError (`key_refused`)."""
    parts = key.split("/")
    why = ""
    if not all(parts):
        why = "it is empty, or has an empty name between its slashes"
    elif any(part in (".", "..") for part in parts):
        why = "it has . or .. between its slashes"
    elif any(ord(letter) < 32 or ord(letter) == 127 for letter in key):
        why = "it holds control characters"
    elif len(key.encode(errors="surrogatepass")) > _KEY_BYTES:
        why = f"it has more than {_KEY_BYTES} bytes"
    elif any(0xD800 <= ord(letter) <= 0xDFFF for letter in key):
        why = "it cannot be written as UTF-8"
    if why:
        raise OperationError(
            "key_refused",
            f"expected a key such as reports/2026/may.json but {why}. Correct {key[:100]!r}.",
            retryable=False,
        )
    return key


def _content(input: Any) -> bytes:
    given = [name for name in ("text", "json", "base64") if name in input]
    if len(given) != 1:
        found = "there is none" if not given else f"there are {' and '.join(given)}"
        raise OperationError(
            "content_invalid", f"expected one of text, json and base64 but {found}. Give one.", retryable=False
        )
    value = input[given[0]]
    if given[0] == "json":
        return msgspec.json.encode(value, order="sorted")
    try:
        return str(value).encode() if given[0] == "text" else base64.b64decode(value, validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        expected = "text that can be written as UTF-8" if given[0] == "text" else "base64"
        raise OperationError(
            "content_invalid", f"expected {expected} but it is something else. Correct it.", retryable=False
        ) from error


def _content_type(input: Any) -> str:
    guessed, _ = mimetypes.guess_type(input["key"])
    default = (
        "application/json"
        if "json" in input
        else "text/plain; charset=utf-8"
        if "text" in input
        else "application/octet-stream"
    )
    return guessed or default


def _limited(size: int, most: int) -> None:
    if size > most:
        message = (
            f"expected at most {most} bytes but the content has {size}. Make it smaller, or raise the "
            "connection's option max_bytes."
        )
        raise OperationError("object_too_large", message, retryable=False)


def _given(content: bytes, form: str) -> Any:
    if form == "base64":
        return base64.b64encode(content).decode()
    try:
        return content.decode() if form == "text" else read_json(content)
    except UnicodeDecodeError as error:
        message = "The object is not text in UTF-8. Read it as base64, or correct its writer."
        raise OperationError("content_invalid", message, retryable=False) from error
    except DecodeError as error:
        message = f"The object cannot be read as JSON ({error.code}). {error.message} Or read it as base64."
        raise OperationError("content_invalid", message, retryable=False) from error


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    buckets = Buckets(settings)
    return (ObjectPut(buckets), ObjectGet(buckets))


SPECS = (ObjectPut.spec, ObjectGet.spec)
