"""The record of a dead letter: what could not be read or placed, with its original bytes, so that it can be looked at
and sent again.

The original key, value and headers come first; ours follow. Original headers with a name of ours are renamed
(`original.streamflow.dlq.reason`): what begins with `streamflow.dlq.` or `__streams.errors.` is Streamflow's word, and
no producer of a source can put words into its mouth. A record that is too large is cut, and says so. A sender of the
original strips our headers. Messages never hold payloads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from streamflow.wire.decoding import Headers, Record

PREFIX = "streamflow.dlq."
OWN_PREFIXES = (PREFIX, "__streams.errors.")
RENAMED = "original."
ENGINE = "engine"  # the stage whose letters answer commands
KEPT_BYTES = 65_536  # of a value that is too large
KEPT_KEY_BYTES = 1024
# of our own headers beside a whole record: batches have room for that much, and the state of a large run may be more
OWN_BYTES = 50_000
_HEADER_BYTES = 8  # of a header beside its name and value, generously


class DeadLetter(NamedTuple):
    """A record for `dead-letters`, ready to be sent."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
    """A record that is sent again."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(
    record: Record,
    reason: str,
    message: str,
    stage: str,
    *,
    topic_id: str = "",
    limit_bytes: int = 900_000,
    **facts: str | int | None,
) -> DeadLetter:
    """The dead letter of `record`: `reason` is a stable code, `stage` the part of Streamflow that refused it, `facts`
    what else is known (definition, version, run, step, trigger, event, ...; None is left out). Its id comes from the
    record's place: the same refusal has the same id.

    Above `limit_bytes` in all only the first 64 KiB of the value are kept, with its sha256 and size; longer keys and
    the headers go."""
    place = f"{topic_id or record.topic}/{record.partition}/{record.offset}"
    known = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    discriminator = "/".join(
        known.get(name, "") for name in ("definition", "version", "event", "trigger", "run", "step")
    ) + (f"/{known['part']}" if "part" in known else "")
    digest = hashlib.blake2b(f"{stage}/{reason}/{discriminator}".encode(), digest_size=6).hexdigest()
    own: dict[str, str] = {
        f"{PREFIX}id": f"{place}/{digest}",
        f"{PREFIX}reason": reason,
        f"{PREFIX}message": message,
        f"{PREFIX}stage": stage,
        **{f"{PREFIX}{name}": value for name, value in known.items()},
        f"{PREFIX}topic": record.topic,
        f"{PREFIX}partition": str(record.partition),
        f"{PREFIX}offset": str(record.offset),
        "__streams.errors.exception": reason,  # the six names of Kafka Streams (KIP-1034), for tools that know them
        "__streams.errors.message": message,
        "__streams.errors.stacktrace": stage,
        "__streams.errors.topic": record.topic,
        "__streams.errors.partition": str(record.partition),
        "__streams.errors.offset": str(record.offset),
    }
    if topic_id:
        own[f"{PREFIX}topic_id"] = topic_id
    key, value, headers = record.key, record.value, tuple(map(_original, record.headers))
    size = len(key or b"") + len(value or b"") + _size(headers)
    if size > limit_bytes or size + _size(own.items()) > limit_bytes + OWN_BYTES:
        own[f"{PREFIX}truncated"] = "true"
        own[f"{PREFIX}size"] = str(len(value or b""))
        own[f"{PREFIX}sha256"] = hashlib.sha256(value or b"").hexdigest()
        key, value, headers = key and key[:KEPT_KEY_BYTES], value and value[:KEPT_BYTES], ()
    if key is None and value is None:
        value = b""  # the clients refuse to send neither
    return DeadLetter(key, value, headers + tuple((name, text.encode()) for name, text in own.items()))


def _size(headers: Iterable[tuple[str, bytes | str]]) -> int:
    return sum(len(name) + len(content or b"") + _HEADER_BYTES for name, content in headers)


def _original(header: tuple[str, bytes]) -> tuple[str, bytes]:
    """A header of the original, under a name that is none of ours."""
    name, value = header
    return (RENAMED + name, value) if name.startswith(OWN_PREFIXES) else header


def facts_of(letter: Record) -> dict[str, str]:
    """What Streamflow says about a dead letter, by name: reason, message, stage, topic, partition, offset, and what
    else is known."""
    return {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in letter.headers
        if name.startswith(PREFIX) and value is not None
    }


def original_of(letter: Record) -> Outgoing | None:
    """The record that became this dead letter, as it came; None when it was too large to be kept whole. A record that
    had neither key nor value comes back with an empty value."""
    if any(name == f"{PREFIX}truncated" for name, _ in letter.headers):
        return None
    headers = (
        (name.removeprefix(RENAMED) if name.startswith(tuple(RENAMED + own for own in OWN_PREFIXES)) else name, value)
        for name, value in letter.headers
        if not name.startswith(OWN_PREFIXES)
    )
    return Outgoing(letter.key, letter.value, tuple(headers))
