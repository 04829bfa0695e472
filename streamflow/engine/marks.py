"""What ingress has committed of the users' topics; and how long names may be."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.engine import commands as c
from streamflow.engine.draft import Draft
from streamflow.engine.outcome import Refused
from streamflow.engine.state import mark_key


def is_committed(draft: Draft, origin: c.Origin) -> bool:
    """Whether ingress had committed this source record before, so that its deliveries were decided."""
    committed: int | None = draft.view.get(mark_key(origin.topic_id, origin.partition))
    return committed is not None and origin.offset < committed


def mark(draft: Draft, origin: c.Origin) -> None:
    """Remember what ingress had committed when it made the command. The command's own record is no part of that:
    a restarted ingress may match it by definitions that it did not know before."""
    key = mark_key(origin.topic_id, origin.partition)
    if origin.committed > (draft.view.get(key) or 0):
        draft.put(key, origin.committed)


def refuse_long_names(draft: Draft, key: str, event: c.Event) -> None:
    """Keys, ids and sources of events are in many records, so their share of a record's size is kept small."""
    _refuse_long(draft, (("key", key), ("event id", event.id), ("event source", event.source)))


def refuse_long_labels(draft: Draft, command: c.Command) -> None:
    """What identifies a command, and what it names, is in every transition that it causes and in its rejection."""
    found = (("command id", command.id), *((name, getattr(command, name, None)) for name in ("address", "by", "trace")))
    _refuse_long(draft, ((name, text) for name, text in found if text))


def _refuse_long(draft: Draft, names: Iterable[tuple[str, str]]) -> None:
    limit = draft.limits.name_bytes
    for name, text in names:
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Refused("dead", "name_too_long", f"The {name} has more than {limit} bytes. Send a shorter one.")
