"""What a consumer group has committed, asked from outside of it.

By a consumer that joins nothing, and not by librdkafka's admin client: that one ends the whole process when the group's
coordinator goes away while it asks (an assertion or a null pointer; librdkafka 2.16, every time in a test that kills
the broker).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as AIOKafkaError
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamflow.errors import OperationError
from streamflow.ids import PartitionId
from streamflow.kafka.aiokafka_patches import run_and_disconnect
from streamflow.kafka.connection import aiokafka_config, confluent_config
from streamflow.kafka.refusals import missing_right
from streamflow.settings import Settings

_ANSWER_S = 10.0


def engine_group(settings: Settings) -> str:
    """The consumer group of the engine's workers."""
    return f"{settings.topics.prefix}engine"


def ingress_group(settings: Settings) -> str:
    """The consumer group of ingress."""
    return f"{settings.topics.prefix}ingress"


def history_group(settings: Settings) -> str:
    """The consumer group of the history workers."""
    return f"{settings.topics.prefix}history"


def mirror_group(settings: Settings) -> str:
    """The consumer group of the mirror workers, and the beginning of their transactional ids."""
    return f"{settings.topics.prefix}mirror"


def reader_group(settings: Settings) -> str:
    """The name that readers without a group give to librdkafka, which wants one. Nobody joins it and nothing is
    committed, but where its coordinator is, is asked: a right to describe it is needed."""
    return f"{settings.topics.prefix}reader"


class GroupOffsets:
    """The offsets of `group`. Asking blocks; not for several threads at once. Close it, or use it as a context
    manager."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._group = group
        self._consumer = Consumer(
            {**confluent_config(settings, "offsets"), "group.id": group, "enable.auto.commit": False}
        )

    def __enter__(self) -> GroupOffsets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def committed(self, places: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """The committed offset of each (topic, partition) that has one. Raises OperationError when the broker does not
        answer."""
        try:
            found = self._consumer.committed([TopicPartition(*place) for place in places], timeout=_ANSWER_S)
        except KafkaException as error:
            if (denied := missing_right(error, group=("DESCRIBE", self._group))) is not None:
                raise denied from error
            name = error.args[0].name()
            text = (
                f"expected the committed offsets of group {self._group} but {name}. Check the broker and its "
                "permissions."
            )
            raise OperationError("broker_unreachable", text, group=self._group) from error
        return {(one.topic, one.partition): one.offset for one in found if one.error is None and one.offset >= 0}

    def close(self) -> None:
        self._consumer.close()


def positions(settings: Settings, groups: Iterable[str]) -> dict[str, dict[PartitionId, tuple[int, str]]]:
    """What each group has committed: offset and metadata by (topic, partition). For use outside of an event loop.

    librdkafka's client for Python cannot be asked: it reads the metadata as if it ended with a zero byte, which it does
    not. Raises OperationError when the broker does not answer."""
    wanted = list(groups)
    return run_and_disconnect(_positions(settings, wanted)) if wanted else {}


async def _positions(settings: Settings, groups: list[str]) -> dict[str, dict[PartitionId, tuple[int, str]]]:
    client = AIOKafkaAdminClient(**aiokafka_config(settings, "offsets"))
    found: dict[str, dict[PartitionId, tuple[int, str]]] = {}
    try:
        async with asyncio.timeout(_ANSWER_S):
            await client.start()
            for group in groups:
                committed = await client.list_consumer_group_offsets(group)
                found[group] = {
                    (tp.topic, tp.partition): (one.offset, one.metadata or "")
                    for tp, one in committed.items()
                    if one.offset >= 0
                }
    except (AIOKafkaError, OSError, TimeoutError) as error:
        if (denied := missing_right(error, group=("DESCRIBE", groups[len(found)]))) is not None:
            raise denied from error
        raise OperationError(
            "broker_unreachable",
            f"expected the committed offsets of groups but {error!r}. Check the broker and its permissions.",
        ) from error
    finally:
        await client.close()
    return found
