"""The source topics: which of them exist, where reading begins, and what has been read of each partition.

**Counts.** A partition's counts travel in the metadata of its committed offset, so that offset and counts are one cut,
whoever reads next (law one-outcome).

**Where reading begins.** At the committed offset, if it belongs to the topic that is there now. A topic that was
deleted and made again has another id: it is read from its beginning, with fresh counts. Without a committed offset,
`start: earliest` begins at the beginning; `start: now` at the end as it was when the partition was assigned, or before
that at the first record that was appended after the oldest version naming the topic was published. So an event produced
after the acknowledgement of a publication is read, however long ingress takes to notice the publication.

A topic made again is noticed within a second, or at once if it is shorter than what was read of the old one. Records of
the new topic that are read in between count, and are matched, once under each id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streamflow.errors import OperationError
from streamflow.runtime.membership import Membership, Position

log = structlog.get_logger(__name__)

_ANSWER_S = 10.0  # a broker that takes longer to say where a partition ends is asked again by a new session
_DESCRIBE_S = 5.0
_LOOK_S = 2.0


class SourceTopic(NamedTuple):
    """A topic as the broker has it now."""

    id: str
    partitions: int


class FirstPosition(NamedTuple):
    """Where reading of a topic begins that was never read: at its beginning, or now (see above)."""

    earliest: bool
    published_ms: int


class Tally(NamedTuple):
    """What one batch adds to a partition."""

    next: int
    last_ms: int
    read: int
    matched: int
    ignored: int
    dead: int


@dataclass(slots=True)
class SourcePartition:
    """What has been read of one partition. `next` is the offset to read next, `committed` what the group knows of it;
    counts are of all time."""

    topic: str
    partition: int
    topic_id: str
    next: int
    committed: int
    read: int = 0
    matched: int = 0
    ignored: int = 0
    dead: int = 0
    last_ms: int = 0  # timestamp of the last record read by this process

    def add(self, tally: Tally) -> None:
        """Counts a batch whose commands and dead letters the broker has."""
        self.next, self.last_ms = tally.next, tally.last_ms
        self.read += tally.read
        self.matched += tally.matched
        self.ignored += tally.ignored
        self.dead += tally.dead

    def position(self) -> Position:
        """What is committed: the offset, and the counts up to it."""
        counts = {
            "topic_id": self.topic_id,
            "read": self.read,
            "matched": self.matched,
            "ignored": self.ignored,
            "dead": self.dead,
        }
        return self.next, json.dumps(counts, sort_keys=True, separators=(",", ":"))


def counts_of(metadata: str) -> dict[str, Any] | None:
    """The counts in the metadata of a committed offset; None when ingress did not write it (an operator's tool sets
    offsets without it)."""
    try:
        counts = json.loads(metadata)
        return {"topic_id": str(counts["topic_id"])} | {
            name: int(counts[name]) for name in ("read", "matched", "ignored", "dead")
        }
    except (ValueError, KeyError, TypeError):
        return None


class SourceTopics:
    """Asks the broker which topics exist, and under which ids."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    async def describe(self, names: Iterable[str]) -> dict[str, SourceTopic]:
        """Those of `names` that exist. Raises OperationError when the broker does not answer."""
        wanted = sorted(names)
        if not wanted:
            return {}
        found: dict[str, SourceTopic] = {}
        for name, future in self._admin.describe_topics(TopicCollection(wanted), request_timeout=_DESCRIBE_S).items():
            try:
                described = await asyncio.wrap_future(future)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION):
                    continue
                await asyncio.to_thread(self._look_around)
                text = (
                    f"expected the broker to describe topic {name} but {error.args[0].name()}; check the broker "
                    "and its permissions"
                )
                raise OperationError("source_unreachable", text, topic=name) from error
            if described.partitions:
                found[name] = SourceTopic(str(described.topic_id), len(described.partitions))
        return found

    def _look_around(self) -> None:
        """Has the client find out who is there. Otherwise it goes on asking a controller that is gone, for as long as
        its picture of the cluster holds: minutes."""
        with contextlib.suppress(KafkaException):  # whoever asked is told already
            self._admin.list_topics(timeout=_LOOK_S)


async def open_partitions(
    consumer: AIOKafkaConsumer,
    membership: Membership,
    assigned: Iterable[TopicPartition],
    topics: Mapping[str, SourceTopic],
    first: Mapping[str, FirstPosition],
    known: dict[str, str],
) -> dict[TopicPartition, SourcePartition]:
    """The assigned partitions of existing `topics`, with the consumer at the right position in each, and first
    positions committed.

    `known` are the ids that this process has seen; it is updated. Raises KafkaError, TimeoutError."""
    tps = [tp for tp in assigned if tp.topic in topics]
    committed = await membership.committed(tps)
    opened: dict[TopicPartition, SourcePartition] = {}
    begin: set[TopicPartition] = set()
    for tp in tps:
        topic_id = topics[tp.topic].id
        offset, metadata = committed.get(tp, (-1, ""))
        counts = counts_of(metadata)
        old_id = counts["topic_id"] if counts else known.get(tp.topic, topic_id) if offset < 0 else topic_id
        if old_id != topic_id:
            log.warning(
                "source_topic_made_again",
                topic=tp.topic,
                partition=tp.partition,
                old_id=old_id,
                topic_id=topic_id,
                begins_at=0,
            )
            begin.add(tp)
        elif offset >= 0:
            opened[tp] = SourcePartition(tp.topic, tp.partition, topic_id, offset, offset)
            if counts is None:
                reason = "the offset was committed without them"
                log.warning("source_counts_lost", topic=tp.topic, partition=tp.partition, offset=offset, reason=reason)
            else:
                opened[tp] = SourcePartition(tp.topic, tp.partition, next=offset, committed=offset, **counts)
        elif first.get(tp.topic, FirstPosition(False, 0)).earliest:
            begin.add(tp)
    now = {tp: first[tp.topic].published_ms for tp in tps if tp not in opened and tp not in begin and tp.topic in first}
    fresh = await _first_offsets(consumer, begin, now)
    for tp, offset in fresh.items():
        opened[tp] = SourcePartition(tp.topic, tp.partition, topics[tp.topic].id, offset, offset)
        log.info("source_begins", topic=tp.topic, partition=tp.partition, offset=offset)
    known.update({tp.topic: topics[tp.topic].id for tp in tps})
    for tp, source in opened.items():
        consumer.seek(tp, source.next)
    if fresh:
        await membership.commit({tp: opened[tp].position() for tp in fresh})
    return opened


async def _first_offsets(
    consumer: AIOKafkaConsumer, begin: set[TopicPartition], now: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    async with asyncio.timeout(_ANSWER_S):
        offsets: dict[TopicPartition, int] = await consumer.beginning_offsets(list(begin)) if begin else {}
        if now:
            # The end first: what is appended between the two questions is then after both answers.
            ends = await consumer.end_offsets(list(now))
            since = await consumer.offsets_for_times(dict(now))
            offsets |= {tp: min(end, since[tp].offset) if since.get(tp) else end for tp, end in ends.items()}
    return offsets
