"""Whether the members of a group have all partitions of its topics.

Only a group's leader looks for partitions that were added. A static member that was the leader and was started again is
the leader for the broker, and does not know it (KIP-814), so nobody would look any more. So every member asks now and
then, and joins again when partitions have nobody: the broker has the group form again when it is the leader that joins.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.protocol.admin import DescribeGroupsRequest

LOOK_S = 10.0
_STABLE = "Stable"


async def uncovered(consumer: AIOKafkaConsumer) -> int:
    """How many partitions of the topics that `consumer` subscribes to no member of its group has; 0 while the group
    forms. Raises KafkaError."""
    private: Any = consumer  # none of it has a public way
    coordinator, topics = private._coordinator, private._subscription.topics or ()  # noqa: SLF001
    response = await coordinator._send_req(DescribeGroupsRequest([coordinator.group_id]))  # noqa: SLF001
    _, _, state, _, _, members, *_ = response.groups[0]
    if state != _STABLE:
        return 0
    given = {
        (topic, number)
        for *_, assignment in members
        if assignment  # a member may have none
        for topic, numbers in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment
        for number in numbers
    }
    cluster = private._client.cluster  # noqa: SLF001
    there = {(topic, number) for topic in topics for number in cluster.partitions_for_topic(topic) or ()}
    return len(there - given)


def join_again(consumer: AIOKafkaConsumer) -> None:
    """Have `consumer` join its group again."""
    private: Any = consumer
    private._coordinator.request_rejoin()  # noqa: SLF001
