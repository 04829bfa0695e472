"""The source topics, and in which state each is.

A topic that does not exist (`missing`) or that we may not read (`unreadable`) is left out of the subscription, and a
partition without a leader (`leaderless`) is opened when it has one. Everything else is read meanwhile. Where reading
begins: see `source_opener`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from streamflow.errors import OperationError
from streamflow.kafka.topic_states import FORBIDDEN, Described, ask, described

log = structlog.get_logger(__name__)

_DESCRIBE_S = 5.0
_LOOK_S = 2.0


class SourceTopics:
    """Asks the broker which topics exist, under which ids, and whether they may be read."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    async def describe(self, names: Iterable[str]) -> Described:
        """The topics of `names`. Raises OperationError when the broker does not answer."""
        wanted = sorted(names)
        if not wanted:
            return Described({}, {}, frozenset())
        answers = ask(self._admin, wanted, _DESCRIBE_S)
        futures = [asyncio.wrap_future(future) for future in answers.values()]
        await asyncio.gather(*futures, return_exceptions=True)
        try:
            return described({name: future.result for name, future in answers.items()})
        except KafkaException as error:
            await asyncio.to_thread(self._look_around)
            text = f"The broker did not describe the source topics: {error.args[0].name()}. Check the broker."
            raise OperationError("source_unreachable", text) from error

    async def log_append(self, names: Iterable[str]) -> dict[str, bool]:
        """Whether the records of each topic have the time of their arrival; those of one whose settings we may not read
        do not. A topic of which the broker says nothing now is left out."""
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(set(names))]
        found: dict[str, bool] = {}
        if not wanted:
            return found
        for resource, future in self._admin.describe_configs(wanted, request_timeout=_DESCRIBE_S).items():
            try:
                config = await asyncio.wrap_future(future)
            except KafkaException as error:
                if error.args[0].code() in FORBIDDEN:
                    found[resource.name] = False
                else:
                    log.warning("source_settings_unknown", topic=resource.name, error=error.args[0].name())
            else:
                found[resource.name] = config["message.timestamp.type"].value == "LogAppendTime"
        if len(found) < len(wanted):
            await asyncio.to_thread(self._look_around)
        return found

    def _look_around(self) -> None:
        """Has the client find out which brokers there are. Otherwise it keeps asking a controller that no longer
        exists, for as long as its picture of the cluster holds: minutes."""
        with contextlib.suppress(KafkaException):  # the caller has an error already
            self._admin.list_topics(timeout=_LOOK_S)
