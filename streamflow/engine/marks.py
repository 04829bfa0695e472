"""What ingress has committed of the users' topics; and how long names may be."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.outcome import Refused
from streamflow.engine.state import mark_key


def is_committed(builder: DecisionBuilder, origin: c.Origin) -> bool:
    """Whether ingress had committed this source record before, so that its deliveries were decided."""
    committed: int | None = builder.view.get(mark_key(origin.topic_id, origin.partition))
    return committed is not None and origin.offset < committed


def mark(builder: DecisionBuilder, origin: c.Origin) -> None:
    """Remember what ingress had committed when it made the command. The command's own record is no part of that:
    a restarted ingress may match it by definitions that it did not know before."""
    key = mark_key(origin.topic_id, origin.partition)
    if origin.committed > (builder.view.get(key) or 0):
        builder.put(key, origin.committed)


def refuse_long_names(builder: DecisionBuilder, key: str, event: c.Event) -> None:
    """Keys, ids and sources of events are in many records, so their share of a record's size is kept small."""
    _refuse_long(builder, (("key", key), ("event id", event.id), ("event source", event.source)))


def refuse_long_labels(builder: DecisionBuilder, command: c.Command) -> None:
    """What identifies a command, and what it names, is in every transition that it causes and in its rejection."""
    found = (("command id", command.id), *((name, getattr(command, name, None)) for name in ("address", "by", "trace")))
    _refuse_long(builder, ((name, text) for name, text in found if text))


def _refuse_long(builder: DecisionBuilder, names: Iterable[tuple[str, str]]) -> None:
    limit = builder.limits.name_bytes
    for name, text in names:
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Refused("dead", "name_too_long", f"The {name} has more than {limit} bytes. Send a shorter one.")
