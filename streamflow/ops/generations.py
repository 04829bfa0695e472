"""How the generations of partitions are used, as the last checkpoints of their partitions have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END

from streamflow.engine.state import OWN, PartitionState
from streamflow.errors import OperationError
from streamflow.kafka.admin import require_first_generation
from streamflow.kafka.engine_records import record_generations
from streamflow.kafka.generations import Generation, generations
from streamflow.kafka.log_reading import read_log
from streamflow.kafka.topics import STATE, topic_name
from streamflow.ops.lag import measure_lag
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE

_TAIL = 20_000  # records of a changelog's end among which its own record is mostly found: every checkpoint writes it
_decoder = msgspec.json.Decoder(PartitionState)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedGeneration:
    """A generation, and what is in its partitions."""

    generation: Generation
    open_runs: int
    """Runs that are open there."""

    parked_runs: int
    """Those of them that wait for a person."""

    waiting: int
    """Commands that the engine has still to decide there, as `lag` counts them: watermarks come all the time."""

    forwarded: int
    """Commands that it has forwarded to the next generation."""

    newest: bool
    """Whether new runs go there."""

    @property
    def state(self) -> str:
        """`newest`, `draining` while runs are open there, or `drained`: then it only forwards."""
        return "newest" if self.newest else "draining" if self.open_runs or self.waiting else "drained"

    def facts(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        here = asdict(self)
        return {**here.pop("generation"), **here, "state": self.state}

    def __str__(self) -> str:
        one = self.generation
        last = one.first + one.partitions - 1
        return (
            f"generation {one.number}: partitions {one.first} to {last}, {self.state}, {self.open_runs} open runs "
            f"({self.parked_runs} parked), {self.waiting} commands waiting, {self.forwarded} forwarded"
        )


def use_of_generations(settings: Settings) -> list[UsedGeneration]:
    """The generations with their use, oldest first. Raises OperationError, also when the settings have other partitions
    than the first generation (`topics_differ`)."""
    log = read_log(settings)
    require_first_generation(settings)
    found, own = generations(settings, log), _own_records(settings)
    lags = measure_lag(settings, log, "engine")
    used = []
    for one in found:
        numbers = range(one.first, one.first + one.partitions)
        states = [own[number] for number in numbers if number in own]
        used.append(
            UsedGeneration(
                generation=one,
                open_runs=sum(sum(state.revisions.values()) for state in states),
                parked_runs=sum(state.parked for state in states),
                waiting=sum(lag.records for lag in lags if lag.partition in numbers),
                forwarded=sum(state.successor.forwarded for state in states if state.successor is not None),
                newest=one is found[-1],
            )
        )
    return used


def recall_generations(settings: Settings) -> bool:
    """Note the generations again if the definitions log was lost, as the state of their partitions has them. Whether
    anything was noted. Raises OperationError, also when the state is of other partitions than the settings say
    (`topics_differ`)."""
    if read_log(settings).generations:
        return False
    own, at = _own_records(settings), 0
    found: list[int] = []
    while at in own and (after := own[at].successor) is not None:
        found += [after.partitions] if found else [after.before, after.partitions]
        at = after.first
    if not found:
        return False
    if found[0] != settings.topics.partitions:
        raise OperationError(
            "topics_differ",
            f"expected a first generation of {settings.topics.partitions} partitions but the state has one of "
            f"{found[0]}. Correct the setting topics.partitions.",
            retryable=False,
        )
    record_generations(settings, tuple(found))
    return True


def _own_records(settings: Settings) -> dict[int, PartitionState]:
    """The newest own record of each partition that has one."""
    topic = topic_name(settings, STATE)
    with Reading(settings, topic, start=OFFSET_END) as reading:
        bounds = reading.bounds
    tails = {number: max(low, high - _TAIL) for number, (low, high) in bounds.items()}
    found = _newest(settings, topic, bounds, tails)
    left = [number for number, at in tails.items() if number not in found and at > bounds[number][0]]
    return found | (_newest(settings, topic, left, {number: bounds[number][0] for number in left}) if left else {})


def _newest(settings: Settings, topic: str, numbers: Iterable[int], start: dict[int, int]) -> dict[int, PartitionState]:
    """Raises OperationError (`state_unreadable`): an older record may know less of later generations."""
    found: dict[int, PartitionState] = {}
    unreadable: dict[int, str] = {}
    with Reading(settings, topic, sorted(numbers), start) as reading:
        for record in reading.to_end():
            if record.key != OWN.encode() or not record.value:
                continue
            try:
                own = _decoder.decode(record.value)
                if not own.topic_id:
                    raise ValueError("it names no topic")
            except UNREADABLE as error:
                unreadable[record.partition] = f"{type(error).__name__} at offset {record.offset}"
            else:
                found[record.partition] = own
                unreadable.pop(record.partition, None)
    for partition, why in unreadable.items():
        raise OperationError(
            "state_unreadable",
            f"The newest record of {topic}/{partition} about the partition itself cannot be read ({why}). Write its "
            "last readable value again; its engine writes it, too, while the partition is open.",
            retryable=False,
        )
    return found
