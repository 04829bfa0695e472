"""The constants of capacity, as measured by `python -m tests.bench --only capacity`. All other values are counted in
the simulator, or are settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one machine needed. Processor times are of one core, of that machine."""

    machine: str
    date: str
    commit: str  # of the product
    conditions: str  # what else ran meanwhile
    engine_command_us: float  # engine CPU of a command, without its transitions
    engine_transition_us: float  # engine CPU of each transition that a command brings
    ingress_event_us: float  # ingress CPU of an event that one definition takes
    attempt_us: float  # CPU of a task worker for an attempt that does nothing
    broker_command_us: float  # broker CPU of a command: its append, its fetch, and a share of checkpoints
    broker_transition_us: float  # broker CPU of each transition, one replica, without its JIT compiler
    engine_memory_mb: float  # resident memory of an engine worker without runs
    ingress_memory_mb: float
    tasks_memory_mb: float
    index_bytes: float  # memory of RocksDB for each record in files: bloom filter (10 bits) and index
    store_factor: float  # files of the local store by keys and values, which compress no better than ids in hex do
    restore_records_per_s: float  # records of `state` that one worker restores on an empty disk
    calibration_us: float  # CPU of the calibration workload for each of its commands (see `calibration`)


MEASURED = Measured(
    machine="2 cores of an Intel Xeon at 2.50 GHz (virtual), Python 3.11.7, Kafka 4.3.1",
    date="2026-11-29",
    commit="13480f7",
    conditions="broker, workers and load on the same two cores, with other work (load average 4)",
    engine_command_us=129.0,
    engine_transition_us=45.2,
    ingress_event_us=127.0,
    attempt_us=67.0,
    broker_command_us=48.0,
    broker_transition_us=5.7,
    engine_memory_mb=127.0,
    ingress_memory_mb=110.0,
    tasks_memory_mb=108.0,
    index_bytes=2.7,
    store_factor=1.0,
    restore_records_per_s=65_700.0,
    calibration_us=776.0,
)
