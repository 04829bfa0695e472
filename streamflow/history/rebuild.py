"""The store recreated from the topics: emptied in one transaction, positions included, so that the worker begins at
the beginning of what the topics have. A worker that runs notices at its next batch."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from streamflow.errors import Rejected
from streamflow.history.database import Database
from streamflow.history.writer import begin

_TABLES = (
    "run",
    "attr",
    "step_now",
    "transition",
    "sealed",
    "hour",
    "step_hour",
    "trouble",
    "event_fate",
    "log_line",
    "progress",
)

Beginnings = Mapping[str, tuple[str, Mapping[int, int]]]
"""Of each topic by its role: its id, and the first offset that each partition still has."""


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a rebuild did."""

    runs: int
    """Runs that were in the store."""

    lost: int
    """Those of them whose transitions are no longer, or not completely, in `runs`."""


def rebuild(database: Database, topics: Beginnings, oldest_ms: int | None, *, lose_older: bool) -> Rebuilt:
    """Empty the store and set its positions to the beginnings of `topics`. `oldest_ms` is the time of the oldest
    transition that is still in `runs`, None if all that ever were are there.

    Raises Rejected (`history_older_than_topics`) if runs would be lost, unless `lose_older`."""
    with database.transaction():
        ((runs,),) = database.rows("SELECT count(*) FROM run")
        lost = 0
        if oldest_ms is not None:
            ((lost,),) = database.rows("SELECT count(*) FROM run WHERE started_ms < ?", (oldest_ms,))
        if lost and not lose_older:
            raise Rejected(
                "history_older_than_topics",
                f"The store has {lost} runs that began before what the topic runs still holds; a rebuild would lose "
                "them. Archive them first (`streamflow history archive`), or accept it with --lose-older.",
                runs=lost,
            )
        for table in _TABLES:
            database.run(f"DELETE FROM {table}")  # noqa: S608 - our own names
        for role, (topic_id, partitions) in topics.items():
            for partition, offset in partitions.items():
                begin(database, role, topic_id, partition, offset)
    return Rebuilt(runs=runs, lost=lost)
