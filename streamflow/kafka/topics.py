"""The fixed set of topics as data (docs/design.md#topics): names, partitions and every setting that our promises rest
on.

Every topic has LogAppendTime: partition time in `commands` must be the broker's, and a broker that took the producers'
times would refuse the records of a producer with a wrong clock. A definition adds no topic; lanes are configuration,
and each configured one has a topic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import get_args

from streamflow.kafka.connection import max_batch_bytes
from streamflow.settings import DEFAULT_PREFIX, Settings
from streamflow.settings.mirror import MirroredTopic

DEFINITIONS = "definitions"
COMMANDS = "commands"
RUNS = "runs"
STATE = "state"
DEAD_LETTERS = "dead-letters"
UNCLAIMED = "unclaimed"
AUDIT = "audit"
LOGS = "logs"
ACCESS = "access"
JOBS = "jobs"
AUTHORING = "authoring"
MIRRORS: Mapping[str, str] = {f"{role}.avro": role for role in get_args(MirroredTopic)}
"""The role of the source by the role of its mirror."""

_FIXED = (DEFINITIONS, COMMANDS, RUNS, STATE, DEAD_LETTERS, UNCLAIMED, AUDIT, LOGS, ACCESS, JOBS, AUTHORING, *MIRRORS)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class Need(StrEnum):
    """How an actual value must compare to the wanted one, for our promises to hold."""

    EQUAL = "equal"
    AT_LEAST = "at least"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class TopicSetting:
    """One configuration entry of a topic: Kafka's own name, the value we create it with, and what a deviation means."""

    name: str
    value: str
    need: Need


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be."""

    role: str
    name: str
    partitions: int
    replication_factor: int
    settings: tuple[TopicSetting, ...]
    keyed: bool = False  # whether it has as many partitions as `commands`, and grows with it

    @property
    def config(self) -> dict[str, str]:
        """What the topic is created with."""
        return {setting.name: setting.value for setting in self.settings}


def topic_name(settings: Settings, role: str) -> str:
    """The full name of the topic of a role, such as `commands`: the prefix and the role."""
    return settings.topics.prefix + role


def lane_topic_name(settings: Settings, lane: str) -> str:
    """The full name of the topic of a lane's tasks."""
    return topic_name(settings, f"tasks.{lane}")


def mirror_topic_name(settings: Settings, role: str) -> str:
    """The full name of the topic with the records of `role` in Avro."""
    return topic_name(settings, f"{role}.avro")


def is_own(settings: Settings, topic: str, cluster: Collection[str] = ()) -> bool:
    """Whether `topic` is one of Streamflow's own: of this installation, of one with the usual prefix, or of another
    whose topics are among those of the `cluster`. What is written there decides about runs, so no definition may read
    or emit to it: everything that takes the name of a users' topic asks here."""
    prefixes = {settings.topics.prefix, DEFAULT_PREFIX}
    return any(prefix in prefixes or _is_installed(prefix, cluster) for prefix in own_prefixes(topic))


def _is_installed(prefix: str, cluster: Collection[str]) -> bool:
    return all(prefix + role in cluster for role in (DEFINITIONS, COMMANDS, RUNS, STATE))


def installations(cluster: Collection[str]) -> set[str]:
    """The prefixes under which the topics of a `cluster` hold an installation of Streamflow."""
    prefixes = {topic.removesuffix(DEFINITIONS) for topic in cluster if topic.endswith(DEFINITIONS)}
    return {prefix for prefix in prefixes if _is_installed(prefix, cluster)}


@lru_cache(maxsize=1 << 12)  # asked for every emitted event
def own_prefixes(topic: str) -> frozenset[str]:
    """The prefixes with which `topic` would be one of Streamflow's own; empty for most topics of users."""
    fixed = {topic.removesuffix(role) for role in _FIXED if topic.endswith(role)}
    return frozenset(fixed | {topic[: found.start()] for found in re.finditer(r"tasks\.", topic)})


def topics(settings: Settings) -> tuple[Topic, ...]:
    """The topics as these settings want them: the fixed ones, one for each mirrored one and for each lane."""
    fixed = _fixed(settings)
    mirrors = (_mirror(settings, topic) for topic in fixed if topic.role in settings.mirror.topics)
    lanes = (lane_topic(settings, lane) for lane in sorted(settings.tasks.lanes))
    return (*fixed, *mirrors, *lanes)


def _fixed(settings: Settings) -> tuple[Topic, ...]:
    wanted = settings.topics
    many = wanted.partitions
    return (
        # One partition: everything authors publish has one total order. Small segments, so that what was replaced goes
        # soon. Deletions stay a week: a worker that was cut off for less than that sees every one of them.
        _topic(settings, DEFINITIONS, 1, _compacted(7 * _DAY_MS, segment_ms=_HOUR_MS, segment_bytes=16 << 20)),
        _topic(settings, COMMANDS, many, _deleted(wanted.commands_retention_hours * _HOUR_MS)),
        _topic(settings, RUNS, many, _deleted(wanted.runs_retention_hours * _HOUR_MS)),
        # Segments are restored whole; 64 MiB keeps what compaction cannot touch (the active one) small.
        _topic(
            settings,
            STATE,
            many,
            (
                *_compacted(wanted.tombstone_retention_hours * _HOUR_MS, segment_ms=_DAY_MS, segment_bytes=64 << 20),
                # What was overwritten or erased is deleted within a known time, also where little is written.
                TopicSetting("max.compaction.lag.ms", str(7 * _DAY_MS), Need.ADVICE),
            ),
        ),
        # As `runs`: by business key. What nobody took, for those who ask where an event went.
        _topic(settings, UNCLAIMED, many, _deleted(wanted.unclaimed_retention_hours * _HOUR_MS)),
        # Log lines about runs, in the partition of the run.
        _topic(settings, LOGS, many, _deleted(wanted.logs_retention_hours * _HOUR_MS)),
        # One partition each: operators and auditors read them in one order, and 20,000 records a second are plenty for
        # both.
        _topic(settings, DEAD_LETTERS, 1, _deleted(wanted.dead_letters_retention_hours * _HOUR_MS)),
        _topic(settings, AUDIT, 1, _deleted(5 * 365 * _DAY_MS)),
        # As `definitions`: users, keys, grants and sessions are decided on in one order.
        _topic(settings, ACCESS, 1, _compacted(7 * _DAY_MS, segment_ms=_HOUR_MS, segment_bytes=16 << 20)),
        # The same for jobs on many runs, and who works on each.
        _topic(settings, JOBS, 1, _compacted(7 * _DAY_MS, segment_ms=_HOUR_MS, segment_bytes=16 << 20)),
        # The same for conversations: each entry has its own key, so that only a deleted conversation goes.
        _topic(settings, AUTHORING, 1, _compacted(7 * _DAY_MS, segment_ms=_HOUR_MS, segment_bytes=16 << 20)),
    )


def _mirror(settings: Settings, source: Topic) -> Topic:
    """As many partitions as its source has, because records keep theirs, and kept as long."""
    name = mirror_topic_name(settings, source.role)
    return Topic(
        f"{source.role}.avro", name, source.partitions, source.replication_factor, source.settings, source.keyed
    )


def lane_topic(settings: Settings, lane: str) -> Topic:
    """The topic of a lane's tasks: as many partitions as `commands`, kept as long."""
    return _topic(
        settings,
        f"tasks.{lane}",
        settings.topics.partitions,
        _deleted(settings.topics.commands_retention_hours * _HOUR_MS),
    )


_KEYED = frozenset({COMMANDS, RUNS, STATE, UNCLAIMED, LOGS})


def _topic(settings: Settings, role: str, partitions: int, kept: tuple[TopicSetting, ...]) -> Topic:
    common = (
        TopicSetting("message.timestamp.type", "LogAppendTime", Need.EQUAL),
        TopicSetting("max.message.bytes", str(max_batch_bytes(settings)), Need.AT_LEAST),
        TopicSetting("min.insync.replicas", str(settings.topics.min_insync_replicas), Need.AT_LEAST),
    )
    keyed, replicas = role in _KEYED or role.startswith("tasks."), settings.topics.replication_factor
    return Topic(role, topic_name(settings, role), partitions, replicas, kept + common, keyed)


def _deleted(retention_ms: int) -> tuple[TopicSetting, ...]:
    return (
        TopicSetting("cleanup.policy", "delete", Need.EQUAL),
        TopicSetting("retention.ms", str(retention_ms), Need.AT_LEAST),
        # A limit of bytes would delete records before their time.
        TopicSetting("retention.bytes", "-1", Need.EQUAL),
    )


def _compacted(tombstones_ms: int, *, segment_ms: int, segment_bytes: int) -> tuple[TopicSetting, ...]:
    return (
        TopicSetting("cleanup.policy", "compact", Need.EQUAL),
        TopicSetting("delete.retention.ms", str(tombstones_ms), Need.AT_LEAST),
        TopicSetting("min.cleanable.dirty.ratio", "0.1", Need.ADVICE),
        TopicSetting("segment.ms", str(segment_ms), Need.ADVICE),
        TopicSetting("segment.bytes", str(segment_bytes), Need.ADVICE),
    )


def exceeds(setting: TopicSetting, actual: Mapping[str, str]) -> bool:
    """Whether a topic keeps more, or asks for more, than `setting` does: our promises hold, and it costs something."""
    found = actual.get(setting.name, "")
    return setting.need is Need.AT_LEAST and holds(setting, actual) and found != setting.value


def holds(setting: TopicSetting, actual: Mapping[str, str]) -> bool:
    """Whether a topic's actual configuration gives what `setting` asks for. Kafka's -1 means without limit."""
    found = actual.get(setting.name, "")
    if setting.need is Need.AT_LEAST:
        try:
            return int(found) == -1 or int(found) >= int(setting.value)
        except ValueError:
            return False
    return found == setting.value
