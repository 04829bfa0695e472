"""Emitted events on their way to users' topics: acknowledged, sent again, or given up as dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from streamflow.core.metrics import Metrics
from streamflow.core.outbox import Entry, Outbox
from streamflow.core.outputs import Output, letter_output
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record


class EmittedEvents:
    """The events in `outbox` of `partition`. `queue` takes the dead letters to be sent, each of at most `letter_bytes`;
    `clock` measures, in seconds, and never goes back."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        partition: int,
        queue: Callable[[Sequence[Output]], None],
        letter_bytes: int,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.outbox = outbox
        self._queue = queue
        self._letter_bytes = letter_bytes
        self._metrics = metrics
        self._clock = clock
        self._partition = str(partition)

    def refuse_unbound(self) -> None:
        """Events for which there is no topic, or that cannot be written, become dead letters."""
        for entry in self.outbox.unbound():
            self.refused([entry], entry.problem)

    def refused(self, entries: Iterable[Entry], message: str) -> None:
        """Events that their topic will not take become dead letters; `message` says why and what to do."""
        for entry in entries:
            unsent = entry.unsent
            key, value, headers = entry.plain()
            record = Record(entry.topic, -1, -1, unsent.at_ms, key, value, headers)
            letter = dead_letter(
                record,
                "undeliverable",
                message,
                "emit",
                limit_bytes=self._letter_bytes,
                run=unsent.run,
                event=unsent.event,
                id=unsent.id,
            )
            self._queue([letter_output(letter)])
            self.outbox.drop(entry)
            self._metrics.count("outbox_given_up", topic=entry.topic)

    def published(self, entries: Iterable[Entry]) -> None:
        """Their topic has acknowledged these events."""
        self.outbox.sent(entries, self._clock())

    def failed(self, entries: Sequence[Entry]) -> None:
        """Events could not be sent. They are sent again, or become dead letters after an hour."""
        self.outbox.put_back(entries)
        for entry in self.outbox.late(entries, self._clock()):
            self.refused([entry], _unavailable(entry.topic))

    def look(self) -> dict[str, bool]:
        """Topics that have stalled since the last look (True) or recovered (False). What is over the bound of a stalled
        topic becomes a dead letter."""
        changed = self.outbox.look(self._clock())
        for topic, stalled in changed.items():
            self._metrics.gauge("outbox_stalled", stalled, topic=topic, partition=self._partition)
        for entry in self.outbox.overflow():
            self.refused([entry], _unavailable(entry.topic))
        for topic, depth in self.outbox.known().items():
            self._metrics.gauge("outbox_events", depth, topic=topic, partition=self._partition)
        return changed


def _unavailable(topic: str) -> str:
    return f"The topic {topic} has not accepted this record for too long. Repair the topic, and replay this record."
