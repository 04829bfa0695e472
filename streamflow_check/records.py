"""What the checker reads: records, wherever they come from. `broker` has them from Kafka; tests have them from
lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """A record where it lies. `at_ms` is the broker's time."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    def header(self, name: str) -> str:
        return next(((value or b"").decode(errors="replace") for known, value in self.headers if known == name), "")

    def json(self) -> Any:
        """The value, parsed; None for what is no JSON."""
        try:
            return json.loads(self.value or b"null")
        except (ValueError, RecursionError):
            return None

    def print(self) -> int:
        """64 bits of key, value and headers, whatever the order of these; never 0. Good within this process."""
        return hash((self.key, self.value, tuple(sorted(self.headers)))) or 1


class Topics(Protocol):
    """The topics of a cluster, as they are now. All names are full ones."""

    prefix: str

    def names(self) -> list[str]:
        """All topics."""

    def partitions(self, topic: str) -> int:
        """How many the topic has; 0 if there is none."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first and the next offset."""

    def records(self, topic: str, partition: int, *, committed: bool = False) -> Iterator[Record]:
        """All records; with `committed` none of a transaction that was aborted or has no end yet."""

    def topic_id(self, topic: str) -> str:
        """What distinguishes a topic from an earlier one of the same name."""

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """Offset and metadata that a group has committed for the partitions of a topic."""

    def bare(self, group: str, topic: str) -> set[int]:
        """The partitions for which an offset was once committed without metadata."""
