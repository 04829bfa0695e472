"""The other installations of Streamflow on the same Kafka, each an environment with its own prefix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_reading import read_logs
from streamflow.kafka.publication import cluster_topics
from streamflow.kafka.topics import DEFINITIONS, installations, topic_name
from streamflow.settings import Settings


@dataclass(frozen=True, slots=True)
class Environment:
    """Another installation: the `prefix` of its topics, its `name` (None if its definitions cannot be read, and `why`),
    and the users' topics that both are bound to (`shared`)."""

    prefix: str
    name: str | None
    shared: tuple[str, ...] = ()
    same_name: bool = False  # as this installation's
    why: str = ""

    def __str__(self) -> str:
        if self.name is None:
            return f"another environment on this Kafka: topics {self.prefix}*; its name cannot be read ({self.why})"
        shared = f"; both use {', '.join(self.shared)}" if self.shared else ""
        same = " It has the same name as this one: give one of them another." if self.same_name else ""
        return f"another environment on this Kafka: {self.name}, topics {self.prefix}*{shared}.{same}"

    def facts(self) -> dict[str, Any]:
        """The environment as JSON data."""
        return asdict(self)


def other_environments(settings: Settings) -> list[Environment]:
    """The installations on this Kafka that have another prefix than `settings`, by prefix. Raises OperationError when
    the broker does not answer, or the definitions of this installation cannot be read."""
    prefixes = installations(cluster_topics(settings)) | {settings.topics.prefix}
    logs = read_logs(settings, [prefix + DEFINITIONS for prefix in prefixes])
    own = logs[topic_name(settings, DEFINITIONS)]
    if isinstance(own, OperationError):
        raise own
    found = []
    for prefix in sorted(prefixes - {settings.topics.prefix}):
        log = logs[prefix + DEFINITIONS]
        if isinstance(log, Snapshot):
            shared = tuple(sorted(_topics(own) & _topics(log)))
            found.append(Environment(prefix, log.environment, shared, log.environment == own.environment))
        else:
            found.append(Environment(prefix, None, why=log.message))
    return found


def _topics(log: Snapshot) -> set[str]:
    return {topic for binding in log.bindings.values() for topic in binding.topics}
