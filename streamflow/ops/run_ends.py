"""Where the partitions of `runs` end, asked once for everybody who wants to know at the same time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_ANSWER_S = 5.0
_LOOK_S = 5.0  # between looks for partitions that were added, and for a topic that was made again
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Ends(NamedTuple):
    """The high watermarks of `runs` by partition, and the id of the topic."""

    topic_id: str
    offsets: dict[int, int]


class RunEnds:
    """Asks the broker. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings, RUNS)
        self._client: AdminClient | None = None
        self._topic_id = ""
        self._places: dict[TopicPartition, OffsetSpec] = {}
        self._look_at = 0.0
        self._asking: asyncio.Task[Ends | None] | None = None
        self._next: asyncio.Task[Ends | None] | None = None

    async def now(self) -> Ends | None:
        """The ends as they were after this call began; None when the broker does not tell them."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._asking))
        return await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[Ends | None] | None) -> Ends | None:
        """Asks when the question before is answered: whoever comes meanwhile shares this one."""
        if before is not None:
            await asyncio.wait({before})
        self._asking, self._next = self._next, None
        try:
            if time.monotonic() >= self._look_at:
                await asyncio.to_thread(self._look)
            return Ends(self._topic_id, await self._offsets())
        except (OperationError, KafkaException, TimeoutError) as error:
            _log.warning("run_ends_unknown", error=str(error)[:300], consequence="runs are read from the topic alone")
            self._client, self._look_at = None, 0.0  # one that is in use may go on asking the leader that it knows
            return None

    def _look(self) -> None:
        found = Admin(self._settings).describe([self._topic], with_config=False).get(self._topic)
        if found is None:
            raise OperationError("topic_missing", f"expected the topic {self._topic} but it does not exist.")
        if self._client is None:
            self._client = AdminClient(confluent_config(self._settings, "admin"))
        self._topic_id = found.id
        self._places = {TopicPartition(self._topic, number): _LATEST for number in range(found.partitions)}
        self._look_at = time.monotonic() + _LOOK_S

    async def _offsets(self) -> dict[int, int]:
        assert self._client is not None
        loop = asyncio.get_running_loop()
        answers = self._client.list_offsets(self._places, request_timeout=_ANSWER_S)
        done, left = asyncio.Event(), len(answers)

        def answered(_future: Any) -> None:  # in the client's thread
            nonlocal left
            left -= 1
            if not left and not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        for answer in answers.values():
            answer.add_done_callback(answered)
        await asyncio.wait_for(done.wait(), 2 * _ANSWER_S)
        return {place.partition: answer.result().offset for place, answer in answers.items()}
