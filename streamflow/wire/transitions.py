"""The records of `runs` and of emitted events: CloudEvents in binary mode (docs/design.md#topics).

The contract that strangers build on. `decode_transition` is for our own readers; the checker of the proofs has one of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from streamflow.engine.effects import PublishEvent
from streamflow.engine.trace import Trace
from streamflow.engine.transitions import FACTS, Transition
from streamflow.ids import environment_of
from streamflow.wire.cloudevents import trace_headers
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Headers

Header = tuple[str, bytes]

_encoder = msgspec.json.Encoder(order="deterministic")
_raw = msgspec.json.Decoder(Transition)
_CONTENT_TYPE = ("content-type", b"application/json")
_SPECVERSION = ("ce_specversion", b"1.0")


@lru_cache(maxsize=4096)
def rfc3339(at_ms: int) -> bytes:
    """A point in time, epoch milliseconds, as CloudEvents write it: `2026-11-21T17:53:40.123Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


@lru_cache(maxsize=1024)
def source_of(environment: str, definition: str) -> bytes:
    """The CloudEvents source of what a definition gives rise to in an environment."""
    return f"/streamflow/{environment}/definitions/{definition}".encode()


@lru_cache(maxsize=4096)
def _time_header(at_ms: int) -> Header:
    return "ce_time", rfc3339(at_ms)


@lru_cache(maxsize=1024)
def _source_header(environment: str, definition: str) -> Header:
    return "ce_source", source_of(environment, definition)


_TYPE_HEADERS: dict[type, Header] = {fact: ("ce_type", f"streamflow.{name}".encode()) for name, fact in FACTS.items()}


def encode_transition(transition: Transition, trace: Trace | None) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) of a transition's record."""
    run = transition.run
    headers: Headers = (
        ("ce_id", f"{run}/{transition.seq}".encode()),
        _source_header(environment_of(run), transition.definition),
        _SPECVERSION,
        _time_header(transition.at_ms),
        _TYPE_HEADERS[type(transition.data)],
        _CONTENT_TYPE,
    )
    if trace is not None:
        headers = (*headers, *trace_headers(trace))
    return transition.key.encode(), _encoder.encode(transition), headers


def decode_transition(value: bytes, headers: Iterable[tuple[str, bytes]]) -> Transition:
    """The transition in a record of `runs`. Raises DecodeError (`bad_transition`)."""
    named = dict(headers)
    fact = FACTS.get((named.get("ce_type") or b"").decode("utf-8", "replace").removeprefix("streamflow."))
    if fact is None:
        raise DecodeError(
            "bad_transition",
            "expected a ce_type of streamflow but it is another or none. Only the engine writes this topic.",
        )
    try:
        raw = _raw.decode(value)
        data: Any = msgspec.convert(raw.data, fact)
    except (ValueError, RecursionError) as error:  # of msgspec, and of a text that is no UTF-8
        raise DecodeError(
            "bad_transition", "expected a transition but found another value. Only the engine writes this topic."
        ) from error
    return Transition(
        run=raw.run,
        definition=raw.definition,
        version=raw.version,
        key=raw.key,
        seq=raw.seq,
        at_ms=raw.at_ms,
        cause=raw.cause,
        data=data,
        step=raw.step,
        attempt=raw.attempt,
        scope=raw.scope,
    )


def encode_event(effect: PublishEvent) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) of an event that a run emits."""
    headers: Headers = (
        ("ce_id", effect.id.encode()),
        _source_header(environment_of(effect.run), effect.definition),
        _SPECVERSION,
        ("ce_streamflowrun", effect.run.encode()),
        _time_header(effect.at_ms),
        ("ce_type", effect.type.encode()),
        _CONTENT_TYPE,
    )
    if effect.correlation_id:
        headers = (*headers, ("ce_correlationid", effect.correlation_id.encode()))
    if effect.trace is not None:
        headers = (*headers, *trace_headers(effect.trace))
    return effect.key.encode(), _encoder.encode(effect.data), headers
