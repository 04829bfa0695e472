"""Topics as lists, for the checker: recorded ones that a test may falsify, and those of a simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import COMMANDS
from streamflow_check.records import Record

Partitions = list[list[Record]]


class Recorded:
    """Topics as lists of records. `change`, `drop` and `add` falsify them."""

    prefix = "p."

    def __init__(
        self,
        topics: dict[str, Partitions],
        committed: dict[tuple[str, str], dict[int, tuple[int, str]]],
        ids: dict[str, str],
    ) -> None:
        self.topics = topics
        self.offsets = committed
        self.ids = ids
        self.reset: dict[tuple[str, str], set[int]] = {}
        self.begins: dict[str, int] = {}

    # -- as the checker reads them

    def names(self) -> list[str]:
        return sorted(self.topics)

    def partitions(self, topic: str) -> int:
        return len(self.topics.get(topic, ()))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        records = self.topics[topic][partition]
        return self.begins.get(topic, 0), records[-1].offset + 1 if records else 0

    def records(self, topic: str, partition: int, *, committed: bool = False) -> Iterator[Record]:
        yield from list(self.topics[topic][partition])

    def topic_id(self, topic: str) -> str:
        return self.ids.get(topic, topic)

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        return self.offsets.get((group, topic), {})

    def bare(self, group: str, topic: str) -> set[int]:
        return self.reset.get((group, topic), set())

    # -- as a test falsifies them

    def find(self, topic: str, fits: Callable[[Record], bool]) -> Record:
        """The first record that fits."""
        return next(record for records in self.topics[self.prefix + topic] for record in records if fits(record))

    def replace(self, old: Record, new: Record) -> None:
        records = self.topics[old.topic][old.partition]
        records[records.index(old)] = new

    def drop(self, record: Record) -> None:
        self.topics[record.topic][record.partition].remove(record)

    def forget(self, topic: str, before: int) -> None:
        """Retention deletes what lies before an offset."""
        name = self.prefix + topic
        self.topics[name] = [[record for record in records if record.offset >= before] for records in self.topics[name]]
        self.begins[name] = before

    def add(self, record: Record) -> Record:
        """Appends a copy of `record` to its partition, at the next offset."""
        records = self.topics[record.topic][record.partition]
        records.append(record._replace(offset=records[-1].offset + 1 if records else 0))
        return records[-1]


def changed(record: Record, **fields: Any) -> Record:
    """`record` with other fields in its JSON value; those of `data` are put over what it has."""
    told = record.json()
    data = fields.pop("data", {})
    told |= fields
    if data:
        told["data"] |= data
    return record._replace(value=as_json(told))


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def transition(kind: str, **fields: Any) -> Callable[[Record], bool]:
    """Whether a record is a transition of this kind with these fields."""

    def fits(record: Record) -> bool:
        told = record.json()
        return record.header("ce_type") == f"streamflow.{kind}" and all(
            told.get(name) == value for name, value in fields.items()
        )

    return fits


def of_simulation(simulation: Simulation) -> Recorded:
    """What a simulation that has come to rest would leave on a broker."""
    ours = {"commands", "runs", "dead-letters", "unclaimed"}
    topics: dict[str, Partitions] = {}
    for name, topic in simulation.log.topics.items():
        full = f"{Recorded.prefix}{name}" if name in ours or name.startswith("tasks.") else name
        topics[full] = [
            [Record(full, *stored[1:6], _headers(name, stored.headers)) for stored in records]
            for records in topic.partitions
        ]
    state = f"{Recorded.prefix}state"
    topics[state] = [
        [
            Record(state, number, change.position, change.at_ms, key.encode(), change.value)
            for key, change in _in_order(changelog.records)
        ]
        for number, changelog in enumerate(simulation.log.changelogs)
    ]
    definitions = f"{Recorded.prefix}definitions"
    bindings = sorted(simulation.definitions.bindings.items())
    topics[definitions] = [
        [
            Record(definitions, 0, offset, 0, f"binding/{event}".encode(), as_json(binding.model_dump()))
            for offset, (event, binding) in enumerate(bindings)
        ]
    ]
    commands = f"{Recorded.prefix}{COMMANDS}"
    engine = {number: (changelog.committed, "") for number, changelog in enumerate(simulation.log.changelogs)}
    committed = {(f"{Recorded.prefix}engine", commands): engine}
    for (topic_name, number), offset in simulation.ingress.committed.items():
        committed.setdefault((f"{Recorded.prefix}ingress", topic_name), {})[number] = (offset, "")
    for name in [name for name in topics if name.startswith(f"{Recorded.prefix}tasks.")]:
        committed[name, name] = {number: (len(records), "") for number, records in enumerate(topics[name])}
    return Recorded(topics, committed, {name: topic.id for name, topic in simulation.log.topics.items()})


def _in_order(records: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return sorted(records.items(), key=lambda pair: pair[1].position)


def _headers(topic: str, headers: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """A dead letter names the topic by its full name."""
    if topic != "dead-letters":
        return tuple(headers)
    full = f"{Recorded.prefix}{COMMANDS}".encode()
    return tuple(
        (name, full if name == "streamflow.dlq.topic" and value == COMMANDS.encode() else value)
        for name, value in headers
    )
