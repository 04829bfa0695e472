"""Where a partition core stands: its number, its topics and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamflow.engine.builder import Limits


@dataclass(frozen=True, slots=True)
class Place:
    """The partition of `commands` that a core decides for, and the installation around it."""

    number: int  # of the partition
    partitions: int  # of the first generation: what `commands`, `runs`, `state` and each lane's topic began with
    topic_id: str  # of `commands`; another id is another topic
    lanes: frozenset[str] | None = None  # that tasks may be sent to; None for any
    limits: Limits = field(default_factory=Limits)  # of one decision
    batch_bytes: int = 512 << 10  # of one batch of the changelog
