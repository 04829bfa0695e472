"""Rejects ids, keys and names that are too long: they are copied into every transition that they cause."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from operator import attrgetter

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.outcome import Refused
from streamflow.engine.trace import Trace

_UTF8_BYTES = 4  # at most, of one character


def refuse_long_names(builder: DecisionBuilder, key: str, event: c.Event) -> None:
    """Keys, ids and sources of events are in many records, so their share of a record's size is kept small. Ingress
    refuses longer ones where they came from; this is for what others appended."""
    limit = builder.limits.name_bytes
    if (long := long_name(key, event, limit)) is not None:
        raise _too_long(long[0], limit)


def long_name(key: str, event: c.Event, limit: int) -> tuple[str, int] | None:
    """What has more than `limit` bytes of the key, the id and the source of an event, and how many; None when nothing
    has."""
    if (len(key) + len(event.id) + len(event.source)) * _UTF8_BYTES <= limit:
        return None
    for name, text in (("key", key), ("event id", event.id), ("event source", event.source)):
        if (size := len(text.encode())) > limit:
            return name, size
    return None


_LABELS = {
    "id": "command id",
    "definition": "definition",
    "run": "run",
    "address": "address",
    "by": "by",
    "correlation_id": "correlation id",
    "trigger": "trigger",
    "topic": "topic",
    "event.name": "event",
    "origin.topic_id": "topic id",
}
"""What identifies a command and what it names, with the words for messages."""


def refuse_long_labels(builder: DecisionBuilder, command: c.Command) -> None:
    """What identifies a command, and what it names, is in every transition that it causes, in its rejection, and in
    keys of the state."""
    limit = builder.limits.name_bytes
    words, labels_of = _labels_of(type(command))
    labels = labels_of(command)
    if len("".join(filter(None, labels))) * _UTF8_BYTES > limit:
        _refuse_long(limit, zip(words, labels, strict=True))
    trace: Trace | None = getattr(command, "trace", None)
    if trace is not None:
        _refuse_long(limit, (("trace", trace.parent), ("trace", trace.state)))


@cache
def _labels_of(command: type) -> tuple[tuple[str, ...], attrgetter[tuple[str | None, ...]]]:
    """What a command of this kind is labelled with: the words, and what gets the labels."""
    paths = [path for path in _LABELS if hasattr(command, path.partition(".")[0])]
    return tuple(_LABELS[path] for path in paths), attrgetter(*paths)


def _refuse_long(limit: int, names: Iterable[tuple[str, str | None]]) -> None:
    for name, text in names:
        if text and len(text.encode()) > limit:
            raise _too_long(name, limit)


def _too_long(name: str, limit: int) -> Refused:
    return Refused("dead", "name_too_long", f"The {name} has more than {limit} bytes. Send a shorter one.")
