"""How deliveries end: exactly one outcome each, counted, and a public record of each that no run's history shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.engine.effects import Unclaimed
from streamflow.engine.mailbox.records import Entry, Miss, names_of, tally_key

if TYPE_CHECKING:
    from streamflow.engine.builder import DecisionBuilder
    from streamflow.engine.commands import Event

DELIVERED = "delivered"  # counted beside the outcomes: delivered = sum of outcomes + what is kept
ERASED = "erased"

# Why nobody took an event, the nearest miss first.
NEAREST = ("where_false", "where_failed", "late", "before_since", "taken", "stopping", "no_wait", "no_run")
_RANK = {reason: rank for rank, reason in enumerate(NEAREST)}
NO_RUN, NO_WAIT = Miss("no_run"), Miss("no_wait")


def nearer(known: Miss | None, found: Miss | None) -> Miss | None:
    """The nearer of two misses; of two that are as near, the later one."""
    if known is None or found is None:
        return found or known
    return found if _rank(found) <= _rank(known) else known


def _rank(miss: Miss) -> int:
    return _RANK[miss.reason.partition(":")[0]]


def count(builder: DecisionBuilder, definition: str, event: str, outcome: str, reason: str = "") -> None:
    """Count a delivery of `event`, or how it ended."""
    name = f"{event}/{outcome}/{reason}" if reason else f"{event}/{outcome}"
    counts = builder.tallies.get(definition)
    if counts is None:
        counts = builder.tallies[definition] = dict(builder.view.get(tally_key(definition)) or {})
    counts[name] = counts.get(name, 0) + 1


def publish_erased(builder: DecisionBuilder, definition: str, entry: Entry) -> None:
    """Record that a kept event was erased, without its key, its source and its id."""
    builder.effects.append(
        Unclaimed(
            definition=definition,
            key="",
            event=entry.name,
            source="",
            id="",
            outcome=ERASED,
            reason=ERASED,
            run=None,
            step=None,
            offset=entry.offset,
            arrived_ms=entry.at_ms,
            ended_ms=builder.now_ms,
        )
    )


def publish(
    builder: DecisionBuilder, mailbox: str, event: Event, entry: Entry, outcome: str, reason: str, miss: Miss | None
) -> None:
    """Record in the topic `unclaimed` that nobody took `event`: by which name it is known, why, and how near a run
    was."""
    definition, key = names_of(mailbox)
    run, step = (miss.run, miss.step) if miss is not None else (None, None)
    builder.effects.append(
        Unclaimed(
            definition=definition,
            key=key,
            event=event.name,
            source=event.source,
            id=event.id,
            outcome=outcome,
            reason=reason,
            run=run,
            step=step,
            offset=entry.offset,
            arrived_ms=entry.at_ms,
            ended_ms=builder.now_ms,
        )
    )
