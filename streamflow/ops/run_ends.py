"""Where the partitions of `runs` end, for a process that lives and asks often."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.groups import reader_group
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_ANSWER_S = 5.0
_LOOK_S = 5.0  # between looks for partitions that were added, and for a topic that was created again


class Ends(NamedTuple):
    """Before which offset `runs` can be read now, by partition, and the id of the topic."""

    topic_id: str
    offsets: dict[int, int]


class RunEnds:
    """Asks the broker, through a consumer: that costs a third of what the administrative request does. May be shared by
    threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings, RUNS)
        self._lock = threading.Lock()
        self._client: Consumer | None = None
        self._topic_id, self._partitions = "", 0
        self._look_at = 0.0

    def now(self) -> Ends | None:
        """The ends as they are now; None when the broker does not return them."""
        try:
            with self._lock:
                if self._client is None or time.monotonic() >= self._look_at:
                    self._look()
                client, topic_id, partitions = self._client, self._topic_id, self._partitions
            assert client is not None
            wanted = [TopicPartition(self._topic, number, OFFSET_END) for number in range(partitions)]
            found = client.offsets_for_times(wanted, timeout=_ANSWER_S)
        except (OperationError, KafkaException) as error:
            self._fail(str(error))
            return None
        if broken := next((place.error for place in found if place.error is not None), None):
            self._fail(str(broken))
            return None
        return Ends(topic_id, {place.partition: place.offset for place in found})

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _look(self) -> None:
        found = Admin(self._settings).describe([self._topic], with_config=False).get(self._topic)
        if found is None:
            raise OperationError("topic_missing", f"expected the topic {self._topic} but it does not exist.")
        if self._client is None:
            config = confluent_config(self._settings, "reader") | {"group.id": reader_group(self._settings)}
            self._client = Consumer(config)
        self._topic_id, self._partitions = found.id, found.partitions
        self._look_at = time.monotonic() + _LOOK_S

    def _fail(self, error: str) -> None:
        _log.warning("run_ends_unknown", error=error[:300], consequence="runs are read from the topic alone")
        with self._lock:  # another client may find another leader; what still uses this one keeps it
            self._client = None
