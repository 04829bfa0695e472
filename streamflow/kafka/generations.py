"""Generations of partitions: which there are, and how another one is opened (docs/design.md#generations-of-partitions).

The definitions log says which there are. Adding one is done in an order that can be broken off and repeated anywhere:
the record, the partitions of all topics that have as many as `commands`, those of `commands` itself, and at last a
command to each partition of the generations before the newest one.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import get_args

from confluent_kafka import KafkaError, Message, Producer

from streamflow.engine.commands import OpenGeneration
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.admin import Admin, require_first_generation
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.engine_records import record_generations
from streamflow.kafka.log_reading import read_log
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.snapshot import Snapshot
from streamflow.kafka.topics import COMMANDS, Topic, lane_topic_name, mirror_topic_name, topic_name, topics
from streamflow.settings import Lane, Settings
from streamflow.settings.mirror import MirroredTopic
from streamflow.wire.codec import encode_command

_MOST_PARTITIONS = 100_000  # of one topic: its client takes no more
_LEADERS_S = 30.0
_SENT_S = 15.0


@dataclass(frozen=True, slots=True)
class Generation:
    """A range of partitions of `commands` and of every topic that has as many."""

    number: int
    """From 1: the one that the installation began with."""

    first: int
    """The number of its first partition."""

    partitions: int
    """How many it has."""


def generations(settings: Settings, log: Snapshot) -> tuple[Generation, ...]:
    """The generations that there are, oldest first."""
    found, first = [], 0
    for number, partitions in enumerate(log.generations or (settings.topics.partitions,), 1):
        found.append(Generation(number, first, partitions))
        first += partitions
    return tuple(found)


def grow(settings: Settings, partitions: int) -> tuple[Generation, ...]:
    """Opens a generation of `partitions` partitions, and returns all. When the newest has as many, what is missing of
    it is done. Blocks.

    Raises Rejected (`generation_invalid`), or OperationError, also when the settings have other partitions than the
    first generation (`topics_differ`)."""
    require_first_generation(settings)
    known = generations(settings, read_log(settings))
    newest = known[-1]
    if partitions != newest.partitions and (partitions < newest.partitions or partitions % newest.partitions):
        raise Rejected(
            "generation_invalid",
            f"expected a multiple of {newest.partitions}, the partitions of the newest generation, but found "
            f"{partitions}. Take {2 * newest.partitions}, for example.",
            partitions=newest.partitions,
        )
    if partitions == newest.partitions:
        if newest.number == 1:
            raise Rejected(
                "generation_invalid",
                f"There are {partitions} partitions already. Take {2 * partitions}, for example.",
                partitions=partitions,
            )
    else:
        newest = Generation(newest.number + 1, newest.first + newest.partitions, partitions)
        known = (*known, newest)
        if newest.first + partitions > _MOST_PARTITIONS:
            raise Rejected(
                "generation_invalid",
                f"expected at most {_MOST_PARTITIONS} partitions in all but found {newest.first + partitions}. Take "
                "fewer.",
                partitions=newest.partitions,
            )
        _add_partitions(settings, newest.first + newest.partitions, only_look=True)  # what is noted stays
        record_generations(settings, tuple(one.partitions for one in known))
    _add_partitions(settings, newest.first + newest.partitions)
    for before, after in pairwise(known):  # also of a growth that was broken off and followed by a further one
        _open(settings, before, after)
    return known


def _add_partitions(settings: Settings, total: int, *, only_look: bool = False) -> None:
    """Gives every topic that has as many partitions as `commands` this many; `commands` last, because what is decided
    there goes to the others. With `only_look` nothing is done but to ask whether the broker would."""
    admin = Admin(settings)
    keyed = [topic for topic in topics(_with_all_there_is(settings, admin.names())) if topic.keyed]
    actual = admin.describe([topic.name for topic in keyed], with_config=False)
    missing = [topic for topic in keyed if topic.name not in actual]
    if not only_look:
        admin.create([replace(topic, partitions=total) for topic in missing])
    few = [topic for topic in keyed if topic.name in actual and actual[topic.name].partitions < total]
    for topic in sorted(few, key=lambda topic: topic.role == COMMANDS):
        admin.add_partitions(topic.name, total, only_look=only_look)
        if not only_look:
            _wait_for_leaders(admin, topic, total)


def _with_all_there_is(settings: Settings, names: Collection[str]) -> Settings:
    """The settings with the lanes and the mirrored topics that others have: who grows an installation need not serve
    all of it, but a lane with too few partitions would stop the engine."""
    begin = lane_topic_name(settings, "")
    lanes = {name.removeprefix(begin): Lane() for name in names if name.startswith(begin) and name != begin}
    mirrored = [role for role in get_args(MirroredTopic) if mirror_topic_name(settings, role) in names]
    return settings.model_copy(
        update={
            "tasks": settings.tasks.model_copy(update={"lanes": lanes | settings.tasks.lanes}),
            "mirror": settings.mirror.model_copy(update={"topics": [*{*settings.mirror.topics, *mirrored}]}),
        }
    )


def _wait_for_leaders(admin: Admin, topic: Topic, total: int) -> None:
    deadline = time.monotonic() + _LEADERS_S
    while admin.partitions_with_leaders(topic.name) < total:
        if time.monotonic() > deadline:
            raise OperationError(
                "leader_missing",
                f"expected a leader of every partition of {topic.name} but some have none. Check the brokers, and "
                "repeat the command.",
            )
        time.sleep(0.2)


def _open(settings: Settings, before: Generation, after: Generation) -> None:
    """Has every partition of the generation `before` forward to the one after it; one that does already is left as it
    is."""
    command = OpenGeneration(
        id=f"generation/{after.number}",
        first=after.first,
        partitions=after.partitions,
        before_first=before.first,
        before=before.partitions,
    )
    topic, failed = topic_name(settings, COMMANDS), []
    producer = Producer(confluent_producer_config(settings, "requests") | {"message.timeout.ms": int(_SENT_S * 1000)})

    def sent(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    for number in range(before.first, before.first + before.partitions):
        producer.produce(topic, encode_command(command), b"", number, on_delivery=sent)
    left = producer.flush(_SENT_S + 5)
    if failed and (denied := missing_right(failed[0], topic=("WRITE", topic))) is not None:
        raise denied
    if failed or left:
        said = failed[0].str() if failed else "it did not answer"
        raise OperationError(
            "broker_refused",
            f"expected {topic} to accept a command in each partition but {said}. Check the broker, and repeat the "
            "command.",
        )
