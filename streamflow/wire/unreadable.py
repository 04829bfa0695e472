"""Records of a shared topic that a reader cannot read: skipped, counted, logged, and never the end of the reader.

Anybody with the right to write may have written them, and every reader meets them again until they are compacted or
deleted. So the first ones are logged with their places, and then one in a thousand.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import structlog

from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError
from streamflow.wire.codec import DecodeError

_log = structlog.get_logger(__name__)

UNREADABLE = (
    ValueError,  # of pydantic, of Unicode and of JSON too
    LookupError,  # a field that is missing; a reference of a schema that leads nowhere
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    jsonschema_rs.ReferencingError,
    msgspec.MsgspecError,
    DecodeError,
    DefinitionError,
    ExpressionError,
)
"""What reading another party's bytes may raise: decoding, validating, compiling."""

_LOG_FIRST = 10  # of the first ones, each
_LOG_EVERY = 1000  # afterwards


class Unreadable:
    """What a reader of `topic` has skipped so far."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.count = 0
        self.first: str | None = None  # its place, and why it could not be read

    def skip(self, partition: int, offset: int, error: BaseException, **facts: Any) -> None:
        """Count a record, and log it."""
        self.count += 1
        reason = f"{type(error).__name__}: {error}"[:300]
        if self.first is None:
            self.first = f"{self.topic}/{partition} at offset {offset} ({reason})"
        if self.count <= _LOG_FIRST or self.count % _LOG_EVERY == 0:
            _log.warning(
                "record_unreadable",
                topic=self.topic,
                partition=partition,
                offset=offset,
                reason=reason,
                skipped=self.count,
                **facts,
            )

    def summary(self) -> str | None:
        """One sentence for people; None if nothing was skipped."""
        if not self.count:
            return None
        if self.count == 1:
            return f"Skipped 1 record that cannot be read: {self.first}."
        return f"Skipped {self.count} records that cannot be read. The first: {self.first}."
