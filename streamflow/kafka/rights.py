"""Which rights each role needs on a broker with an authorizer: exactly those that it uses, as data.

READ, WRITE and ALTER include DESCRIBE there, ALTER_CONFIGS includes DESCRIBE_CONFIGS, and who may write to any topic
may be an idempotent producer (Kafka 2.8, KIP-679), so none of these is listed beside them. A role looks only at topics
that it uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamflow.kafka.groups import engine_group, history_group, ingress_group, mirror_group, reader_group
from streamflow.kafka.topics import (
    ACCESS,
    AUDIT,
    AUTHORING,
    COMMANDS,
    DEAD_LETTERS,
    DEFINITIONS,
    JOBS,
    LOGS,
    RUNS,
    STATE,
    UNCLAIMED,
    lane_topic_name,
    mirror_topic_name,
    topic_name,
    topics,
)
from streamflow.kafka.worker_registry import group_of
from streamflow.settings import Settings


class Role(StrEnum):
    """Who connects to Kafka: the processes, and the command line by what is done with it."""

    ENGINE = "engine"
    INGRESS = "ingress"
    TASKS = "tasks"
    HISTORY = "history"
    MIRROR = "mirror"
    SIDECAR = "sidecar"
    EXPORTER = "exporter"
    OPERATOR = "operator"  # the command line, but for making topics
    PUBLISHER = "publisher"  # only `definitions publish` and its like
    PROVISIONER = "provisioner"  # `topics apply`


class Resource(StrEnum):
    """What Kafka grants rights on; the values are the options of `kafka-acls`."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a role may do with one resource, or with all whose names begin so."""

    role: Role
    resource: Resource
    name: str
    prefixed: bool = False  # `name` is the beginning of names
    operations: tuple[str, ...]  # Kafka's names, such as READ
    why: str  # what the role does with it

    def __str__(self) -> str:
        some = "*" if self.prefixed else ""
        return f"{', '.join(self.operations)} on {self.resource.value.replace('-', ' ')} {self.name}{some}"


@dataclass(frozen=True, slots=True)
class UsersTopics:
    """The users' topics that definitions name: those that are read, and those that are written to."""

    read: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()


_READ, _WRITE, _DESCRIBE, _CONFIGS = "READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"
_CREATE, _ALTER_CONFIGS = "CREATE", "ALTER_CONFIGS"
_LANES = "tasks."  # stands for the topic of each lane
_RW = (_READ, _WRITE)

# what each role does with Streamflow's own topics
_OWN: Mapping[Role, Mapping[str, tuple[tuple[str, ...], str]]] = {
    Role.ENGINE: {
        DEFINITIONS: ((_READ,), "what is published"),
        COMMANDS: (_RW, "reads its input; appends due timers, and the rest of long decisions"),
        RUNS: ((_WRITE,), "transitions"),
        STATE: (_RW, "checkpoints, and restores"),
        DEAD_LETTERS: ((_WRITE,), "what cannot be done"),
        UNCLAIMED: ((_WRITE,), "events that no run took"),
        AUDIT: ((_WRITE,), "accounts of erasures"),
        LOGS: ((_WRITE,), "log lines about runs"),
        _LANES: ((_WRITE,), "tasks"),
    },
    Role.INGRESS: {
        DEFINITIONS: ((_READ,), "what is published"),
        COMMANDS: ((_WRITE,), "events as commands"),
        DEAD_LETTERS: ((_WRITE,), "records that cannot be read"),
    },
    Role.TASKS: {
        DEFINITIONS: (_RW, "plugins, and which worker does what"),
        COMMANDS: ((_WRITE,), "answers"),
        DEAD_LETTERS: ((_WRITE,), "tasks that cannot be read"),
        LOGS: ((_WRITE,), "log lines about runs"),
        _LANES: ((_READ,), "its input"),
    },
    Role.HISTORY: {
        DEFINITIONS: ((_READ,), "what is published"),
        RUNS: ((_READ,), "its input"),
        UNCLAIMED: ((_READ,), "its input"),
        DEAD_LETTERS: ((_READ,), "its input"),
        LOGS: ((_READ,), "its input"),
    },
    Role.SIDECAR: {
        DEFINITIONS: (_RW, "publishes"),
        COMMANDS: (_RW, "requests, and how long commands wait"),
        RUNS: ((_READ,), "what became of requests"),
        DEAD_LETTERS: (_RW, "shows, replays and settles them"),
        UNCLAIMED: ((_READ,), "shows them"),
        AUDIT: (_RW, "who changed what"),
        LOGS: ((_READ,), "how long records wait"),
        ACCESS: (_RW, "users, keys and sessions"),
        JOBS: (_RW, "jobs on many runs"),
        AUTHORING: (_RW, "conversations about drafts"),
        _LANES: (_RW, "replays tasks, and how long they wait"),
    },
    Role.EXPORTER: {
        DEFINITIONS: ((_READ,), "what is published"),
        COMMANDS: ((_READ,), "how long records wait"),
        RUNS: ((_READ,), "how long records wait"),
        DEAD_LETTERS: ((_READ,), "how many there are, and how long they wait"),
        UNCLAIMED: ((_READ,), "how many there are, and how long they wait"),
        LOGS: ((_READ,), "how long records wait"),
        _LANES: ((_READ,), "how long tasks wait"),
    },
    Role.OPERATOR: {  # an erasure says until when topics keep what is left, which is in their configuration
        DEFINITIONS: (_RW, "publishes"),
        COMMANDS: ((*_RW, _CONFIGS), "requests, and how long commands wait"),
        RUNS: ((_READ, _CONFIGS), "what became of requests"),
        STATE: ((_READ, _CONFIGS), "counts of deliveries"),
        DEAD_LETTERS: ((*_RW, _CONFIGS), "shows, replays and settles them"),
        UNCLAIMED: ((_READ, _CONFIGS), "shows them"),
        AUDIT: (_RW, "who changed what"),
        LOGS: ((_READ,), "how long records wait"),
        ACCESS: (_RW, "users, keys and grants"),
        _LANES: ((*_RW, _CONFIGS), "replays tasks, and how long they wait"),
    },
    Role.PUBLISHER: {DEFINITIONS: (_RW, "publishes")},
}
# under which transactional ids a role writes where one writer comes after the other
_WRITERS: Mapping[Role, tuple[str, ...]] = {
    Role.TASKS: ("publisher",),
    Role.SIDECAR: ("publisher", "access", "jobs", "authoring"),
    Role.OPERATOR: ("publisher", "access"),
    Role.PUBLISHER: ("publisher",),
    Role.PROVISIONER: ("publisher",),
}
_WATCHERS = (Role.SIDECAR, Role.EXPORTER, Role.OPERATOR)  # who measures lag
# who reads topics by librdkafka without a group
_READERS = (*_WATCHERS, Role.ENGINE, Role.INGRESS, Role.TASKS, Role.HISTORY, Role.PUBLISHER, Role.PROVISIONER)
_VERIFIED = (Role.ENGINE, Role.INGRESS, Role.TASKS, Role.HISTORY, Role.MIRROR, Role.SIDECAR)  # at their start


def own_topics(settings: Settings, role: Role, lanes: Collection[str] = ()) -> list[str]:
    """The full names of Streamflow's own topics that a role uses; of lanes those of `lanes`, or of all."""
    return [name for name, _, _ in _own(_serving(settings, lanes), role)]


def rights(
    settings: Settings, role: Role, users: UsersTopics | None = None, lanes: Collection[str] = ()
) -> list[Right]:
    """All that a role needs: on Streamflow's own topics, groups and transactional ids, and on the `users` topics; on
    those of `lanes`, or of all."""
    users, settings = users or UsersTopics(), _serving(settings, lanes)
    if role is Role.PROVISIONER:
        found = _provisioner(settings)
    else:
        looks = (_CONFIGS,) if role in _VERIFIED else ()
        found = [
            Right(role=role, resource=Resource.TOPIC, name=name, operations=(*operations, *looks), why=why)
            for name, operations, why in _own(settings, role)
        ]
    found += [
        Right(
            role=role,
            resource=Resource.TRANSACTIONAL_ID,
            name=settings.topics.prefix + writer,
            operations=(_WRITE,),
            why="one writer after the other",
        )
        for writer in _WRITERS.get(role, ())
    ]
    return found + _groups(settings, role) + _of_users(role, users)


def _serving(settings: Settings, lanes: Collection[str]) -> Settings:
    """`settings` with these lanes only, if any are named."""
    if not lanes:
        return settings
    kept = {name: lane for name, lane in settings.tasks.lanes.items() if name in lanes}
    return settings.model_copy(update={"tasks": settings.tasks.model_copy(update={"lanes": kept})})


def _own(settings: Settings, role: Role) -> Iterable[tuple[str, tuple[str, ...], str]]:
    if role is Role.MIRROR:
        for source in settings.mirror.topics:
            yield topic_name(settings, source), (_READ,), "its input"
            yield mirror_topic_name(settings, source), (_WRITE,), "the same in Avro"
    if role is Role.OPERATOR:
        for source in settings.mirror.topics:
            yield mirror_topic_name(settings, source), (_READ, _CONFIGS), "what an erasure leaves"
    for topic, (operations, why) in _OWN.get(role, {}).items():
        if topic == _LANES:
            for lane in sorted(settings.tasks.lanes):
                yield lane_topic_name(settings, lane), operations, why
        else:
            yield topic_name(settings, topic), operations, why


def _groups(settings: Settings, role: Role) -> list[Right]:
    groups = {
        Role.ENGINE: [engine_group(settings)],
        Role.INGRESS: [ingress_group(settings)],
        Role.TASKS: [group_of(settings, lane) for lane in sorted(settings.tasks.lanes)],
        Role.HISTORY: [history_group(settings)],
        Role.MIRROR: [mirror_group(settings)] if settings.mirror.topics else [],
    }
    found = [_group(role, name, _READ, "its consumer group") for name in groups.get(role, ())]
    transactional = {
        Role.ENGINE: "one owner of a partition after the other",
        Role.MIRROR: "records and offsets at once",
    }
    if role in transactional and groups[role]:
        found.append(
            Right(
                role=role,
                resource=Resource.TRANSACTIONAL_ID,
                name=f"{groups[role][0]}-",
                prefixed=True,
                operations=(_WRITE,),
                why=transactional[role],
            )
        )
    if role is Role.INGRESS:
        found.append(_group(role, engine_group(settings), _DESCRIBE, "how far the engine is behind"))
    if role in _WATCHERS:
        watched = [name for names in groups.values() for name in names]
        found += [_group(role, name, _DESCRIBE, "lag") for name in watched]
    if role in _READERS:
        found.append(_group(role, reader_group(settings), _DESCRIBE, "reads without a group"))
    return found


def _group(role: Role, name: str, operation: str, why: str) -> Right:
    return Right(role=role, resource=Resource.GROUP, name=name, operations=(operation,), why=why)


def _of_users(role: Role, users: UsersTopics) -> list[Right]:
    both = users.read | users.written
    wanted: dict[Role, tuple[tuple[Collection[str], str, str], ...]] = {
        Role.ENGINE: ((users.written, _WRITE, "emitted events"),),
        Role.INGRESS: ((users.read, _READ, "events"),),
        Role.EXPORTER: ((users.read, _READ, "how long events wait"),),
        Role.SIDECAR: ((users.read, _READ, "how long events wait"), (both, _WRITE, "sends and replays events")),
        Role.OPERATOR: ((users.read, _READ, "how long events wait"), (both, _WRITE, "sends and replays events")),
        Role.PUBLISHER: ((both, _DESCRIBE, "where events begin"),),
    }
    by_topic: dict[str, dict[str, str]] = {}
    for names, operation, why in wanted.get(role, ()):
        for name in names:
            by_topic.setdefault(name, {})[operation] = why
    return [
        Right(
            role=role,
            resource=Resource.TOPIC,
            name=name,
            operations=tuple(operations),
            why=", ".join(operations.values()),
        )
        for name, operations in sorted(by_topic.items())
    ]


def _provisioner(settings: Settings) -> list[Right]:
    made = (_CREATE, _DESCRIBE, _ALTER_CONFIGS)
    return [
        Right(
            role=Role.PROVISIONER,
            resource=Resource.TOPIC,
            name=topic.name,
            operations=(*_RW, *(one for one in made if one != _DESCRIBE)) if topic.role == DEFINITIONS else made,
            why="makes it, and sets what it must have" + (", and fixes limits" if topic.role == DEFINITIONS else ""),
        )
        for topic in topics(settings)
    ]
