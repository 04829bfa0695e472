"""Commands that a person lets a partition of the engine pass over."""

from __future__ import annotations

from streamflow.errors import Rejected
from streamflow.kafka.admin import Admin
from streamflow.kafka.engine_records import skip_commands
from streamflow.kafka.groups import engine_group, positions
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings


def skip_command(settings: Settings, *, partition: int, offset: int, reason: str) -> int:
    """Lets `partition` pass over the command at `offset`; the offset in `definitions` of the record that says so.

    Raises Rejected (`partition_unknown`, `command_decided`, `command_unknown`) when the engine cannot stand at that
    command, or OperationError."""
    topic = topic_name(settings, COMMANDS)
    found = Admin(settings).describe([topic], with_config=False).get(topic)
    count = found.partitions if found is not None else settings.topics.partitions
    if partition >= count:
        raise Rejected(
            "partition_unknown",
            f"`commands` has no partition {partition}: it has {count}, counted from 0. Take the number from the "
            "partition's error.",
        )
    group = engine_group(settings)
    committed, _ = positions(settings, [group])[group].get((topic, partition), (0, ""))
    if offset < committed:
        raise Rejected(
            "command_decided",
            f"Command {offset} of partition {partition} is decided: the next one is {committed}. Take the offset from "
            "the partition's error.",
        )
    with Reading(settings, topic, [partition]) as reading:
        _, end = reading.bounds[partition]
    if offset >= end:
        raise Rejected(
            "command_unknown",
            f"Partition {partition} has no command {offset}: it ends at {end}. Take the offset from the partition's "
            "error.",
        )
    return skip_commands(settings, partition=partition, offset=offset, reason=reason)
