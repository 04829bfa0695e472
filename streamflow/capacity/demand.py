"""What is asked of an installation, and what its settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How much is to happen, and how much room there is to be."""

    rate: float  # runs a second, at the busiest time
    average_rate: float  # runs a second, over a month
    wait_hours: float  # that a run waits on average, from its start to its end
    call_s: float  # that a call takes on average
    utilisation: float  # the share of a core that a worker may use at the busiest time
    restore_s: float | None  # in which the whole state is to be restored on empty disks; None: as long as it takes
    speed: float  # of a core, by that of the machine of the constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The settings that the sizes depend on."""

    partitions: int  # `topics.partitions`, as it is now
    replicas: int
    commands_hours: float  # retention
    runs_hours: float
    window_hours: float  # for which repeated events are known
    segment_hours: float  # for which a segment takes records at most: a record stays so much longer
    state_segment_bytes: int
    write_buffer_bytes: int  # RocksDB memtable of one partition
    block_cache_bytes: int
    in_flight: Mapping[str, int]  # attempts that a worker makes at a time, by lane
