"""Where the partitions of users' topics end: what a publication remembers, so that it is known for ever, without any
clock, which records came before it."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow.definition.catalog import TopicEnds
from streamflow.kafka.connection import confluent_config
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_ANSWER_S = 5.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def topic_ends(settings: Settings, topics: Iterable[str]) -> dict[str, TopicEnds]:
    """The ids and high watermarks of `topics`, of one that does not exist no partition. A topic that the caller may not
    look at, or that nobody answers for, is left out: ingress then finds out by itself, a little later."""
    wanted = sorted(set(topics))
    if not wanted:
        return {}
    client = AdminClient(confluent_config(settings, "publisher"))
    found: dict[str, TopicEnds] = {}
    for name, future in client.describe_topics(TopicCollection(wanted), request_timeout=_ANSWER_S).items():
        try:
            described = future.result(_ANSWER_S)
            partitions = [TopicPartition(name, one.id) for one in described.partitions]
            offsets = client.list_offsets(dict.fromkeys(partitions, _LATEST), request_timeout=_ANSWER_S)
            ends = {str(place.partition): answer.result(_ANSWER_S).offset for place, answer in offsets.items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                found[name] = TopicEnds()
                continue
            _log.warning("topic_ends_unknown", topic=name, error=error.args[0].name())
        except TimeoutError:
            _log.warning("topic_ends_unknown", topic=name, error="no answer came in time")
        else:
            found[name] = TopicEnds(id=str(described.topic_id), offsets=ends)
    return found
