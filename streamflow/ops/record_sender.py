"""Records to topics, and where each of them is then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.refusals import missing_right
from streamflow.settings import Settings


class Sendable(Protocol):
    """What a record is made of."""

    @property
    def key(self) -> bytes | None:
        """The key."""

    @property
    def value(self) -> bytes | None:
        """The value."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """The headers."""


class RecordSender:
    """Sends records and waits until the broker has them. Used by one thread at a time; `role` names it to the
    broker."""

    def __init__(self, settings: Settings, role: str = "replay") -> None:
        self._producer = Producer(confluent_producer_config(settings, role) | {"message.timeout.ms": 30_000})
        self.error: OperationError | None = None

    def send(self, records: Sequence[tuple[str, int, Sendable]]) -> list[tuple[int, int] | None]:
        """Where each record is now, as (partition, offset); None for one that was not taken, with the cause in
        `error`. `partition` -1: that of the key."""
        places: list[tuple[int, int] | None] = [None] * len(records)
        for number, (topic, partition, record) in enumerate(records):
            try:
                self._producer.produce(
                    topic,
                    record.value,
                    record.key,
                    partition,
                    headers=list(record.headers) or None,
                    on_delivery=self._noting(places, number, topic),
                )
            except (KafkaException, BufferError) as error:
                self.error = missing_right(error, topic=("WRITE", topic)) or OperationError(
                    "broker_refused", f"The topic {topic} did not accept a record: {error}."
                )
                break
        self._producer.flush(60)
        if self.error is None and None in places:
            self.error = OperationError("broker_refused", "The broker accepted no record in time. Check the broker.")
        return places

    def _noting(
        self, places: list[tuple[int, int] | None], number: int, topic: str
    ) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                places[number] = message.partition() or 0, message.offset() or 0
            else:
                denied = missing_right(error, topic=("WRITE", topic))
                self.error = (
                    self.error
                    or denied
                    or OperationError(
                        "broker_refused",
                        f"The topic {topic} did not accept a record: {error.str()}. Check its limits and your rights.",
                    )
                )

        return delivered
