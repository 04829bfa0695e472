"""Dead letters and rejections, by the place of the record that they are about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streamflow_check.records import Record

_PREFIX = "streamflow.dlq."


class Letter(NamedTuple):
    """A dead letter about a command. `cut`: it was too large to be kept whole."""

    reason: str
    command: str
    value: bytes | None
    cut: bool


class Letters:
    """All dead letters. Copies count once: they have the same place."""

    def __init__(self) -> None:
        self.engine: dict[tuple[int, int], Letter] = {}  # by partition and offset in `commands`
        self.ingress: set[tuple[str, str, int, int]] = set()  # topic, its id, partition, offset
        self.emitted: set[str] = set()  # ids of events that could not be published
        self.count = 0

    def take(self, record: Record, commands: str) -> None:
        self.count += 1
        told = {
            name.removeprefix(_PREFIX): value.decode(errors="replace")
            for name, value in record.headers
            if name.startswith(_PREFIX) and value is not None
        }
        stage, topic = told.get("stage", ""), told.get("topic", "")
        try:
            place = int(told.get("partition", -1)), int(told.get("offset", -1))
        except ValueError:
            return  # none of Streamflow's
        if stage == "emit":
            self.emitted.add(told.get("id", ""))
        elif topic == commands:
            letter = Letter(told.get("reason", ""), told.get("command", ""), record.value, "truncated" in told)
            known = self.engine.get(place)
            if known is None or known.reason == "rejected":  # a dead letter says more than the answer to a request
                self.engine[place] = letter
        elif stage == "ingress":
            self.ingress.add((topic, told.get("topic_id", ""), *place))


def read(records: Iterable[Record], commands: str) -> Letters:
    """All dead letters; `commands` is that topic's full name."""
    found = Letters()
    for record in records:
        found.take(record, commands)
    return found
