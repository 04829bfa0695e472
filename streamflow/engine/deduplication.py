"""Deduplication of source records: which of the users' topics' records ingress has committed, so that their deliveries
were decided before."""

from __future__ import annotations

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.record_keys import mark_key


def is_committed(builder: DecisionBuilder, origin: c.Origin) -> bool:
    """Whether ingress had committed this source record before, so that its deliveries were decided."""
    committed: int | None = builder.get(mark_key(origin.topic_id, origin.partition))
    return committed is not None and origin.offset < committed


def mark(builder: DecisionBuilder, origin: c.Origin) -> None:
    """Remember what ingress had committed when it made the command. The command's own record is no part of that:
    a restarted ingress may match it by definitions that it did not know before."""
    key = mark_key(origin.topic_id, origin.partition)
    if origin.committed > (builder.get(key) or 0):
        builder.put(key, origin.committed)
