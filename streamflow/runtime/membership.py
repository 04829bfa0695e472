"""A consumer group as ingress uses it: what aiokafka 0.14 keeps private or does not do, in one place, with its reasons.

- Committed offsets come with their metadata (`AIOKafkaConsumer.committed` drops it).
- A commit fails instead of trying for ever: aiokafka repeats one for a deleted topic until that topic is created again,
  and all others wait.
- A static member leaves the group before it joins and when it stops in order. Kafka gives a static member that comes
  back its old assignment without a look at what it subscribes to now, and aiokafka ends for good when that assignment
  names a topic it no longer reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String
from aiokafka.structs import OffsetAndMetadata, TopicPartition

Position = tuple[int, str]  # an offset and its metadata

_UNKNOWN_MEMBER_ID = 25  # the instance was no member


class _LeaveGroupResponse(Response):
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class _LeaveGroupStruct(RequestStruct):
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveGroupResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _LeaveGroup(Request[_LeaveGroupStruct]):
    """LeaveGroup version 3, the first that can name a static member by its instance id (KIP-345)."""

    API_KEY = 13

    def __init__(self, group: str, instance_id: str) -> None:
        self._group = group
        self._instance_id = instance_id

    def build(self, request_struct_class: type[_LeaveGroupStruct]) -> _LeaveGroupStruct:
        return request_struct_class(self._group, [("", self._instance_id)])


class Membership:
    """The group of a started `consumer`."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str, instance_id: str | None) -> None:
        self._consumer = consumer
        self._coordinator: Any = consumer._coordinator  # noqa: SLF001
        self._group = group
        self._instance_id = instance_id

    async def leave(self) -> None:
        """Ends the membership of this instance id, also one that a killed process left behind. Nothing to do for a
        member without one.

        Raises KafkaError."""
        if self._instance_id is None:
            return
        await self._coordinator.ensure_coordinator_known()
        response = await self._coordinator._send_req(_LeaveGroup(self._group, self._instance_id))  # noqa: SLF001
        for code in (response.error_code, *(member[-1] for member in response.members)):
            error = for_code(code)
            if error is not NoError and code != _UNKNOWN_MEMBER_ID:
                raise error()

    async def close(self) -> None:
        """Ends the membership in order, static or not. Raises KafkaError."""
        await self._coordinator.close()
        await self.leave()

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        """The committed offsets with their metadata; partitions without one are left out. Raises KafkaError."""
        offsets = await self._coordinator.fetch_committed_offsets(list(partitions))
        return {tp: (found.offset, found.metadata or "") for tp, found in offsets.items()}

    async def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commits in one request, once. Raises KafkaError, also when the group has moved on; then some may be committed
        and others not."""
        subscription = self._consumer._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            raise IllegalStateError("no partitions are assigned")
        offsets = {tp: OffsetAndMetadata(offset, metadata) for tp, (offset, metadata) in positions.items()}
        await self._coordinator.ensure_coordinator_known()
        async with self._coordinator._commit_lock:  # noqa: SLF001
            await asyncio.shield(self._coordinator._do_commit_offsets(assignment, offsets))  # noqa: SLF001

    def position(self, partition: TopicPartition) -> int:
        """The offset of the record to be handed out next, or -1 if that is not known."""
        subscription = self._consumer._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or partition not in assignment.tps:
            return -1
        state = assignment.state_value(partition)
        return int(state.position) if state.has_valid_position else -1

    def check(self) -> None:
        """Raises KafkaError when the group has reported an error that it does not get over."""
        self._coordinator.check_errors()
