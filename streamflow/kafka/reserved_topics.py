"""Topics that only Streamflow writes to, where a person names one."""

from __future__ import annotations

from streamflow.errors import Rejected
from streamflow.kafka import publication
from streamflow.kafka.topics import installations, is_own, own_prefixes
from streamflow.settings import Settings


def owner(settings: Settings, topic: str) -> str | None:
    """The prefix of the installation that `topic` is a fixed topic or a lane of; None for a topic of users. Asks the
    cluster only where the name could be one of another installation's. Raises OperationError."""
    prefixes = own_prefixes(topic)
    if settings.topics.prefix in prefixes:
        return settings.topics.prefix
    installed = prefixes & installations(publication.cluster_topics(settings)) if prefixes else frozenset()
    return min(installed, default=None)


def require_users_topic(settings: Settings, topic: str) -> None:
    """Returns if `topic` is the users'. Asks the cluster only where the name could be one of another installation's.

    Raises Rejected (`topic_reserved`), and OperationError when the broker does not answer."""
    cluster = () if is_own(settings, topic) or not own_prefixes(topic) else publication.cluster_topics(settings)
    if is_own(settings, topic, cluster):
        raise Rejected(
            "topic_reserved",
            f"The topic {topic} is one of Streamflow's own, and a record in it would be read as Streamflow's. Name "
            "another topic.",
            topic=topic,
        )
