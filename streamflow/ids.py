"""Identifiers, all derived and never drawn, so that the same commands give the same names everywhere
(law identical-replay)."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache

PartitionId = tuple[str, int]
"""A topic, or its role, and the number of a partition of it."""

_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 of `data` as an unsigned 32-bit number (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    for word in struct.unpack_from(f"<{length // 4}I", data):
        k = (word * 0x5BD1E995) & _MASK
        h = ((h * 0x5BD1E995) ^ ((k ^ (k >> 24)) * 0x5BD1E995)) & _MASK
    rest = data[length - length % 4 :]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * 0x5BD1E995) & _MASK
    h = ((h ^ (h >> 13)) * 0x5BD1E995) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 14)  # 3.7 us without; a key comes several times in a row
def slot(key: str) -> int:
    """The place of a business key before it is divided among partitions: murmur2 without its sign bit."""
    return murmur2(key.encode()) & 0x7FFFFFFF


def partition_of(key: str, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives to `key` in a topic of `partitions` partitions."""
    return slot(key) % partitions


def run_id(environment: str, definition: str, key: str, start: str) -> str:
    """The id of the run that `start` starts in `environment`: slot in hex, environment, digest.

    `start` is the place of the start command (`command_place`), or the attempt of the parent's step. So the sender of a
    start knows the id from the acknowledged offset, and no later start gets the id of an earlier run. Runs of two
    environments never share an id, nor do the idempotency keys that contain it."""
    parts = "\0".join((environment, definition, key, start))
    digest = hashlib.blake2b(parts.encode(), digest_size=10).hexdigest()
    return f"{slot(key):08x}-{environment}-{digest}"


def command_place(topic_id: str, partition: int, offset: int) -> str:
    """The place of a command, globally unique: a partition of `commands` (the topic with this id) and its offset."""
    return f"{topic_id}/{partition}/{offset}"


def slot_of_run(run: str) -> int:
    """The slot that a run's id begins with. Raises ValueError if it does not begin with one."""
    return int(run[:8], 16)


def partition_of_run(run: str, partitions: int) -> int:
    """The partition of the first generation that is addressed about a run, from the run's id alone.

    Raises ValueError if `run` does not begin with a slot."""
    return slot_of_run(run) % partitions


def environment_of(run: str) -> str:
    """The environment that is in a run's id; empty when `run` is none of `run_id`."""
    parts = run.split("-", 2)
    return parts[1] if len(parts) > 1 else ""


def tag(*parts: str) -> str:
    """A short digest of `parts`, to remember what has been applied without keeping the parts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
