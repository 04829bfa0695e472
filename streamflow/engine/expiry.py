"""Forgetting: finished runs after their window, early events after their time."""

from __future__ import annotations

from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.lookup import finished_run
from streamflow.engine.state import Expiry, KeptEvent, KeyRecord, done_key, key_key

EXPIRIES_PER_COMMAND = 16  # more than one command can finish, so the backlog shrinks


def forget(builder: DecisionBuilder) -> None:
    """Forget finished runs whose window has passed and early events, by the partition's time and a few at a time."""
    for _ in range(EXPIRIES_PER_COMMAND):
        key = builder.view.expired(builder.now_ms, builder.changes)
        if key is None:
            return
        expiry: Expiry = builder.get(key)
        builder.put(key, None)
        if expiry.early:
            kept: tuple[KeptEvent, ...] = builder.get(expiry.early) or ()
            builder.put(expiry.early, tuple(k for k in kept if (k.until_ms or 0) > builder.now_ms) or None)
            continue
        done = finished_run(builder, expiry.run)
        index = key_key(done.definition, done.key)
        known: KeyRecord | None = builder.get(index)
        builder.put(done_key(expiry.run), None)
        if known is not None and expiry.run in known.finished:
            left = tuple(run for run in known.finished if run != expiry.run)
            builder.put(index, KeyRecord(known.open, left) if known.open or left else None)
