"""How far the workers are behind: records between what a group has committed and the end, and how old the first of them
is.

In a lane only what is unfinished counts: what has ended above the committed offset is in the commit's metadata. The
engine's position is in its state; its committed offsets follow with every checkpoint. What is younger than that
interval counts as worked on (`waiting`). Of users' topics only what may be read counts: up to the last stable offset.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow.definition.content import received_events
from streamflow.engine.commands import AdvanceWatermark
from streamflow.errors import OperationError
from streamflow.ids import PartitionId
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.groups import engine_group, history_group, ingress_group, mirror_group, positions
from streamflow.kafka.topic_states import Described, ask, described
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, LOGS, RUNS, UNCLAIMED, lane_topic_name, topic_name
from streamflow.kafka.worker_registry import group_of
from streamflow.ops.topic_reader import Reading
from streamflow.ops.waiting import Head, interval_of, waiting
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError, decode_command
from streamflow.wire.decoding import Record
from streamflow.wire.lane_position import decode_position

_ANSWER_S = 10.0
_FIRST_S = 2.0  # for the first unread records to come
_LOOKED_AT = 500  # unread commands that are read, to distinguish watermarks from work
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition, or a whole topic of which nothing more is known than its state."""

    role: str
    topic: str
    partition: int  # -1: the whole topic
    committed: int | None  # None: the group never committed there
    end: int
    records: int
    seconds: float | None  # the age of the first record that waits; 0 if none does, None if it is not known
    state: str = ""  # what keeps it from being read: `missing`, `unreadable` or `leaderless`
    unread: int = 0  # records that are not committed, also those that are worked on


def measure_lag(settings: Settings, log: Snapshot, only: str | None = None) -> list[PartitionLag]:
    """The lag of the engine on `commands`, of ingress on the topics that the versions in `log` read, of task workers on
    their lanes, of mirror workers, and of history if it has ever run, by role, topic and partition; or that of `only`
    one role.

    Raises OperationError when the broker does not answer."""
    lanes = {group_of(settings, lane): lane_topic_name(settings, lane) for lane in sorted(settings.tasks.lanes)}
    wanted = {
        engine_group(settings): ("engine", [topic_name(settings, COMMANDS)]),
        ingress_group(settings): ("ingress", sorted(source_topics(log))),
        **{group: ("tasks", [topic]) for group, topic in lanes.items()},
        history_group(settings): (
            "history",
            [topic_name(settings, role) for role in (RUNS, UNCLAIMED, DEAD_LETTERS, LOGS)],
        ),
        mirror_group(settings): ("mirror", [topic_name(settings, role) for role in settings.mirror.topics]),
    }
    wanted = {group: one for group, one in wanted.items() if only in (None, one[0])}
    found: list[PartitionLag] = []
    client = AdminClient(confluent_config(settings, "lag"))
    known_positions = positions(settings, [group for group, (_, names) in wanted.items() if names])
    for group, (role, names) in wanted.items():
        known = _described(client, names) if names else Described({}, {}, frozenset())
        found += [
            PartitionLag(role, topic, -1, None, 0, 0, 0.0, state)
            for topic, state in sorted(known.states.items())
            if topic not in known.topics
        ]
        found += [PartitionLag(role, *place, None, 0, 0, 0.0, "leaderless") for place in sorted(known.leaderless)]
        partitions = [
            TopicPartition(name, number)
            for name, topic in known.topics.items()
            for number in range(topic.partitions)
            if (name, number) not in known.leaderless
        ]
        if not partitions:
            continue
        here = known_positions[group]
        asked = {(place.topic, place.partition) for place in partitions}
        committed = {place: offset for place, (offset, _) in here.items() if place in asked}
        ended = {place: _ended(*position) for place, position in here.items()} if group in lanes else {}
        if role == "history" and not committed:
            continue
        begins, ends = _offsets(client, partitions, _EARLIEST), _offsets(client, partitions, _LATEST, role)
        unread = {place: max(committed.get(place, -1), begins[place]) for place in ends}
        left = {place: max(0, end - unread[place] - ended.get(place, 0)) for place, end in ends.items()}
        counted = {place: records for place, records in left.items() if role == "engine" and records <= _LOOKED_AT}
        begun = {place: unread[place] for place, records in left.items() if records}
        heads = _heads(settings, begun, counted, ends)
        interval = interval_of(settings, role)
        found += [
            PartitionLag(
                role,
                *place,
                committed.get(place),
                end,
                *waiting(left[place], heads.get(place), interval),
                unread=left[place] if place in heads else 0,
            )
            for place, end in sorted(ends.items())
        ]
    return found


def engine_positions(settings: Settings) -> dict[int, tuple[int, int]]:
    """Of each partition of `commands` what the engine has committed (-1: nothing yet) and its end. A partition without
    a leader is left out. Raises OperationError when the broker does not answer."""
    name = topic_name(settings, COMMANDS)
    client = AdminClient(confluent_config(settings, "lag"))
    known = _described(client, [name])
    numbers = range(known.topics[name].partitions) if name in known.topics else ()
    places = [TopicPartition(name, number) for number in numbers if (name, number) not in known.leaderless]
    if not places:
        return {}
    group = engine_group(settings)
    committed = positions(settings, [group])[group]
    ends = _offsets(client, places, _LATEST)
    return {place[1]: (committed[place][0] if place in committed else -1, end) for place, end in ends.items()}


def _described(client: AdminClient, names: list[str]) -> Described:
    try:
        answers = ask(client, names, _ANSWER_S)
        return described({name: partial(future.result, _ANSWER_S) for name, future in answers.items()})
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else "no answer came in time"
        text = f"The broker did not describe the topics: {reason}. Check the broker."
        raise OperationError("broker_unreachable", text) from error


def _ended(offset: int, metadata: str) -> int:
    """How many tasks have ended above a lane's committed offset."""
    position = decode_position(offset, metadata)
    return 0 if position is None else sum(end - begin for begin, end in position.finished)


def source_topics(log: Snapshot) -> set[str]:
    """The topics that ingress reads: those of the events that versions in use start by or wait for."""
    topics: set[str] = set()
    for served in log.served():
        for name in received_events(served.definition):
            binding = log.bindings.get(name)
            topics.update(binding.topics if binding is not None else ())
    return topics


def _offsets(
    client: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec, role: str = ""
) -> dict[PartitionId, int]:
    """Ingress reads what is committed: for it a partition ends before the first open transaction."""
    level = IsolationLevel.READ_COMMITTED if role == "ingress" else IsolationLevel.READ_UNCOMMITTED
    wanted = dict.fromkeys(partitions, spec)
    futures = client.list_offsets(wanted, isolation_level=level, request_timeout=_ANSWER_S)
    return {(place.topic, place.partition): _wait(future).offset for place, future in futures.items()}


def _heads(
    settings: Settings,
    unread: Mapping[PartitionId, int],
    counted: Mapping[PartitionId, int],
    ends: Mapping[PartitionId, int],
) -> dict[PartitionId, Head]:
    """The heads of what is unread of each place, from the offset in `unread`; none where there is no record up to the
    end. Those in `counted` are read up to the offset in `ends`, to count what is work. A place whose records do not
    come in time has a head without an age, so that what may wait is not taken for nothing."""
    heads: dict[PartitionId, Head] = {}
    for topic in sorted({topic for topic, _ in unread}):
        offsets = {number: at for (name, number), at in unread.items() if name == topic}
        deadline = time.monotonic() + _FIRST_S
        with Reading(settings, topic, sorted(offsets), offsets) as reading:
            left = set(offsets)
            while left and time.monotonic() < deadline:
                for record in reading.follow(0.1):
                    place = topic, record.partition
                    if record.partition not in left:
                        continue
                    if record.offset < ends[place]:
                        heads[place] = _with(heads.get(place), record, counts=place in counted)
                    if place not in counted or record.offset + 1 >= ends[place]:
                        left.discard(record.partition)
                left -= reading.at_end
        for number in left:
            known = heads.get((topic, number))
            heads[topic, number] = Head(age_s=known.age_s if known is not None else None)
    return heads


def _with(head: Head | None, record: Record, *, counts: bool) -> Head:
    """The head of a partition after one more record of it."""
    age_s = max(0.0, time.time() - record.timestamp_ms / 1000)
    if not counts:
        return head or Head(age_s=age_s)
    head = head or Head(age_s=age_s, work=0)
    if _is_watermark(record):
        return head
    return Head(age_s=head.age_s, work=(head.work or 0) + 1, work_age_s=head.work_age_s if head.work else age_s)


def _is_watermark(record: Record) -> bool:
    try:
        return isinstance(decode_command(record.value or b""), AdvanceWatermark)
    except DecodeError:
        return False


def _wait(future: Future[Any]) -> Any:
    try:
        return future.result(_ANSWER_S)
    except (KafkaException, TimeoutError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else "it did not answer in time"
        text = f"expected the broker to return offsets but {why}. Check the broker and its permissions."
        raise OperationError("broker_unreachable", text) from error
