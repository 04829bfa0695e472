"""The records of `tasks.<lane>`: a task as JSON, and in the header `source` where in `commands` it was decided.

An engine that comes back after a crash sends the same tasks again, identically and in order. So a record whose source
is not above the highest that was read in its partition is a copy, and no list of ids is needed to know it. `commands`
that is created again has another id, and begins again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from streamflow.engine.address import address_of
from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.trace import Trace
from streamflow.wire.codec import DecodeError

SOURCE = "source"

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[Task | CancelTask] = msgspec.json.Decoder(Task | CancelTask)


class NamedAttempt(Struct, frozen=True, gc=False, tag_field="kind", tag="call"):
    """What of a task says which attempt it is: enough to answer one that cannot be read as a whole."""

    id: str  # of the task
    run: str
    key: str  # the run's business key
    step: str
    attempt: int
    item: int | None = None  # index of the item of a list; None: the step itself
    scope: str = ""
    trace: Trace | None = None  # the span that asks for it

    @property
    def address(self) -> str:
        """The address of the step."""
        return address_of(self.scope, self.step)

    @property
    def attempt_trace(self) -> Trace | None:
        """The span of the attempt, which its answer continues."""
        return None if self.trace is None else self.trace.at(self.id)


_attempt_decoder = msgspec.json.Decoder(NamedAttempt)


class Source(NamedTuple):
    """The command that a task was decided on, and which of that decision's tasks it is. Of one `topic_id`, later ones
    are greater."""

    topic_id: str
    offset: int
    nth: int

    def covers(self, other: Source) -> bool:
        """Whether `other` is at or below this one: a copy, once this one has been read."""
        return self.topic_id == other.topic_id and other[1:] <= self[1:]

    def __str__(self) -> str:
        return f"{self.topic_id}/{self.offset}/{self.nth}"


def encode_task(task: Task | CancelTask) -> bytes:
    """The value of `task`'s record."""
    return _encoder.encode(task)


def decode_task(data: bytes) -> Task | CancelTask:
    """The task in a record's value. Raises DecodeError (`bad_task`); its text names the place, never the content."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:  # of msgspec, and of a text that is no UTF-8
        place = str(error).rsplit(" - at ", 1)[1] if " - at " in str(error) else "the top"
        message = (
            f"expected the JSON of a task but {type(error).__name__} was raised at {place}. Only the engine "
            "writes this topic."
        )
        raise DecodeError("bad_task", message) from error


def named_attempt(data: bytes) -> NamedAttempt | None:
    """The attempt that a record's value names although it is no task that can be read; None if it names none, or asks
    for something else."""
    try:
        return _attempt_decoder.decode(data)
    except (ValueError, RecursionError):  # as in `decode_task`, which says what is wrong
        return None


def source_header(source: Source) -> tuple[str, bytes]:
    return SOURCE, str(source).encode()


def read_source(text: str) -> Source | None:
    """The source that `str` of one gives; None if it is none."""
    try:
        topic_id, offset, nth = text.rsplit("/", 2)  # an id may hold slashes
        return Source(topic_id, int(offset), int(nth))
    except ValueError:
        return None


def source_of(headers: Iterable[tuple[str, bytes]]) -> Source | None:
    """Where a record was decided; None when it does not say so (a person sent it by hand), and then it is never taken
    for a copy."""
    for name, value in headers:
        if name == SOURCE and value:
            return read_source(value.decode(errors="replace"))
    return None
