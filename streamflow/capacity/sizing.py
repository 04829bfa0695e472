"""The formulas. Each result is a `Figure` that holds its formula, the numbers in it and where they come from, so that
what is printed by `--explain` is what was computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamflow.capacity.demand import Demand, Installation
from streamflow.capacity.figure import Figure
from streamflow.capacity.kafka_sizing import broker_figures, disk_figures
from streamflow.capacity.measured import Measured
from streamflow.capacity.workload import Workload

_PARTITIONS_PER_WORKER = 4  # so that one worker more or less changes the share of each by a quarter at most
_REWRITE = 2.0  # times the files of a store, while RocksDB rewrites a level
_WINDOW = 1.5  # repeated events are known for the window, and up to half of it more
_MEMTABLES = 2  # of a partition: one is filled while the other is written to disk


def size(work: Workload, demand: Demand, installation: Installation, measured: Measured) -> tuple[Figure, ...]:
    """Everything that `demand` needs, in the order in which one figure is made of others."""
    return tuple(_Sizing(work, demand, installation, measured).figures())


@dataclass(slots=True)
class _Sizing:
    work: Workload
    demand: Demand
    installation: Installation
    measured: Measured

    def figures(self) -> list[Figure]:
        return [
            *self._flow(),
            *self._state(),
            *self._workers(),
            *self._memory(),
            *broker_figures(self.work, self.demand, self.installation, self.measured),
            *disk_figures(self.work, self.demand, self.installation, self._live_bytes, self._partitions),
        ]

    # -- amounts that several formulas have

    @property
    def _open(self) -> float:
        return self.demand.average_rate * self.demand.wait_hours * 3600

    @property
    def _finished(self) -> float:
        return self.demand.average_rate * self.installation.window_hours * _WINDOW * 3600

    @property
    def _live_records(self) -> float:
        return self._open * self.work.waiting.records + self._finished * self.work.kept.records

    @property
    def _live_bytes(self) -> float:
        return self._open * self.work.waiting.bytes + self._finished * self.work.kept.bytes

    @property
    def _run_us(self) -> float:
        """Engine CPU of one run, of this machine."""
        found = (
            self.work.commands.records * self.measured.engine_command_us
            + self.work.transitions.records * self.measured.engine_transition_us
        )
        return found / self.demand.speed

    @property
    def _engines(self) -> int:
        by_cpu = _ceil(self.demand.rate * self._run_us / 1e6 / self.demand.utilisation)
        return max(1, by_cpu, self._engines_by_restore)

    @property
    def _engines_by_restore(self) -> int:
        if self.demand.restore_s is None:
            return 0
        return _ceil(self._live_records / self.measured.restore_records_per_s / self.demand.restore_s)

    @property
    def _partitions(self) -> int:
        least = max(self.installation.partitions, self._engines * _PARTITIONS_PER_WORKER)
        return _ceil(least / self._engines) * self._engines

    # -- what happens

    def _flow(self) -> list[Figure]:
        work, rate = self.work, self.demand.rate
        kinds = [
            ("events in", work.events.records),
            ("commands", work.commands.records),
            ("transitions", work.transitions.records),
            *((f"attempts in {lane}", cost.records) for lane, cost in work.attempts.items()),
            ("events out", work.emitted.records),
        ]
        return [
            Figure(
                name=name,
                group="runs",
                value=rate * each,
                unit="1/s",
                formula="rate x records a run",
                numbers=f"{rate:g}/s x {each:.4g}",
                source="counted in the simulator",
            )
            for name, each in kinds
            if each
        ]

    def _state(self) -> list[Figure]:
        demand, work = self.demand, self.work
        return [
            Figure(
                name="open runs",
                group="runs",
                value=self._open,
                unit="runs",
                formula="average rate x time that a run waits",
                numbers=f"{demand.average_rate:g}/s x {demand.wait_hours:g} h x 3600",
                source="asked",
            ),
            Figure(
                name="live state",
                group="runs",
                value=self._live_bytes,
                unit="bytes",
                formula="open runs x bytes of a waiting run + runs that ended within 1.5 windows x bytes of one",
                numbers=(
                    f"{self._open:.4g} x {work.waiting.bytes:.0f} + "
                    f"{self._finished:.4g} x {work.kept.bytes:.0f} ({self.installation.window_hours:g} h window)"
                ),
                source="counted in the simulator; limits.window_hours",
            ),
            Figure(
                name="live records of the state",
                group="runs",
                value=self._live_records,
                unit="",
                formula="the same with records",
                numbers=f"{self._open:.4g} x {work.waiting.records:g} + {self._finished:.4g} x {work.kept.records:g}",
                source="counted in the simulator",
            ),
        ]

    # -- who works on it

    def _workers(self) -> list[Figure]:
        demand, measured, work = self.demand, self.measured, self.work
        cores = demand.rate * self._run_us / 1e6
        by_cpu = _ceil(cores / demand.utilisation)
        event_us = measured.ingress_event_us / demand.speed
        reading = demand.rate * work.events.records * event_us / 1e6
        found = [
            Figure(
                name="engine processor",
                group="engine",
                value=cores,
                unit="cores",
                formula="rate x (commands x CPU of a command + transitions x CPU of a transition) / speed",
                numbers=(
                    f"{demand.rate:g}/s x ({work.commands.records:.4g} x {measured.engine_command_us:g} us + "
                    f"{work.transitions.records:.4g} x {measured.engine_transition_us:g} us) / {demand.speed:.3g}"
                ),
                source="counted; measured",
            ),
            Figure(
                name="engine workers",
                group="engine",
                value=self._engines,
                unit="workers",
                formula="cores / utilisation, or live records / restored a second / time for a restore if that is more",
                numbers=f"{cores:.3g} / {demand.utilisation:g} -> {by_cpu}" + self._restore_numbers(),
                source="a worker uses one core; measured; asked",
            ),
            Figure(
                name="partitions",
                group="engine",
                value=self._partitions,
                unit="partitions",
                formula="the larger of: topics.partitions; 4 for each engine worker; rounded up to a multiple of these",
                numbers=f"max({self.installation.partitions}; {_PARTITIONS_PER_WORKER} x {self._engines})",
                source="settings; the number cannot be changed later",
            ),
            Figure(
                name="runs of one key, at most",
                group="engine",
                value=demand.utilisation * 1e6 / self._run_us,
                unit="1/s",
                formula="utilisation / engine CPU of a run: a key is in one partition, and that in one worker",
                numbers=f"{demand.utilisation:g} / {self._run_us:.0f} us",
                source="measured",
            ),
            Figure(
                name="ingress workers",
                group="ingress",
                value=max(1, _ceil(reading / demand.utilisation)),
                unit="workers",
                formula="rate x events x CPU of an event / speed / utilisation; at most the partitions of the sources",
                numbers=f"{demand.rate:g}/s x {work.events.records:.4g} x {event_us:.4g} us / {demand.utilisation:g}",
                source="counted; measured",
            ),
        ]
        for lane, cost in work.attempts.items():
            each_us = measured.attempt_us / demand.speed
            by_cpu = _ceil(demand.rate * cost.records * each_us / 1e6 / demand.utilisation)
            in_flight = self.installation.in_flight.get(lane, 100)
            at_once = demand.rate * cost.records * demand.call_s
            by_time = _ceil(at_once / in_flight)
            found.append(
                Figure(
                    name=f"task workers of {lane}",
                    group="lanes",
                    value=max(1, by_cpu, by_time),
                    unit="workers",
                    formula="the larger of: rate x attempts x CPU of an attempt / speed / utilisation; rate x attempts "
                    "x time of a call / in_flight",
                    numbers=(
                        f"max({demand.rate:g}/s x {cost.records:.4g} x {each_us:.4g} us / {demand.utilisation:g} -> "
                        f"{by_cpu}; {demand.rate:g}/s x {cost.records:.4g} x {demand.call_s:g} s / {in_flight} -> "
                        f"{by_time})"
                    ),
                    source="counted; measured, without what the operation itself does; settings",
                )
            )
        return found

    def _restore_numbers(self) -> str:
        if self.demand.restore_s is None:
            return "; no time for a restore was asked for"
        per_s = self.measured.restore_records_per_s
        parts = f"{self._live_records:.4g} / {per_s:g} / {self.demand.restore_s:g} s"
        return f"; {parts} -> {self._engines_by_restore}"

    def _memory(self) -> list[Figure]:
        share = _ceil(self._partitions / self._engines) if self._engines else self._partitions
        stores = share * (_MEMTABLES * self.installation.write_buffer_bytes + self.installation.block_cache_bytes)
        index = self._live_records / self._engines * self.measured.index_bytes
        each_mb = _MEMTABLES * self.installation.write_buffer_bytes / 1e6, self.installation.block_cache_bytes / 1e6
        return [
            Figure(
                name="memory of an engine worker",
                group="engine",
                value=self.measured.engine_memory_mb * 1e6 + stores + index,
                unit="bytes",
                formula="empty worker + its partitions x (2 memtables + block cache) + live records x index",
                numbers=(
                    f"{self.measured.engine_memory_mb:g} MB + {share} x ({each_mb[0]:.0f} MB + {each_mb[1]:.0f} MB) + "
                    f"{self._live_records / self._engines:.4g} x {self.measured.index_bytes:g} bytes"
                ),
                source="measured; settings (an upper bound: unused memory is not allocated)",
            ),
            Figure(
                name="files of an engine worker",
                group="engine",
                value=self._live_bytes / self._engines * self.measured.store_factor * _REWRITE,
                unit="bytes",
                formula="live state / workers x files by keys and values x 2 while levels are rewritten",
                numbers=f"{self._live_bytes:.4g} / {self._engines} x {self.measured.store_factor:g} x {_REWRITE:g}",
                source="counted; measured",
            ),
            Figure(
                name="restore of everything, on empty disks",
                group="engine",
                value=self._live_records / self._engines / self.measured.restore_records_per_s,
                unit="s",
                formula="live records / workers / restored a second",
                numbers=f"{self._live_records:.4g} / {self._engines} / {self.measured.restore_records_per_s:g}",
                source="measured",
            ),
        ]


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
