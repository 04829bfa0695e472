"""The file of an environment: in which topics the events of catalogs are found there.

    topics: {shop.orders: prod.shop.orders}
    events:
      order.paid: {topics: [prod.bank.payments], start: earliest}
      order.shipped: {topics: [prod.parcels], registry: {subject: prod.parcels-value}}

It changes bindings alone, so the content of a definition and its sha256 are the same in every environment
(docs/design.md#definitions). What connections reach is in the settings of each environment.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from streamflow.definition.catalog import Beginning, Catalog, EventSpec, Subject, Topic
from streamflow.definition.model import EventName, Part


class EventBinding(Part):
    """Where one event is found in the environment."""

    topics: list[Topic] = Field(min_length=1)  # read by ingress; an `emit` step writes to the first
    start: Beginning | None = None  # absent: as the catalog says
    registry: Subject | None = None  # likewise


class EnvironmentBindings(Part):
    """What an environment has instead of the topics in catalogs; an entry of `events` comes before `topics`. What
    is not named stays as the catalog says."""

    topics: dict[Topic, Topic] = Field(default_factory=dict)  # by topic of the catalog: the topic there
    events: dict[EventName, EventBinding] = Field(default_factory=dict)  # by event

    def bound(self, catalog: Catalog) -> Catalog:
        """`catalog` with its events where they are found in this environment."""
        return catalog.model_copy(update={"events": [self._bound(spec) for spec in catalog.events]})

    def unused(self, catalogs: Iterable[Catalog]) -> list[str]:
        """The names in this file that none of `catalogs` has, as they were before `bound`: events, then topics."""
        events: set[str] = set()
        topics: set[str] = set()
        for catalog in catalogs:
            events |= {spec.name for spec in catalog.events}
            topics |= {topic for spec in catalog.events for topic in spec.topics}
        return [
            *(f"the event {name}" for name in sorted(self.events.keys() - events)),
            *(f"the topic {name}" for name in sorted(self.topics.keys() - topics)),
        ]

    def _bound(self, spec: EventSpec) -> EventSpec:
        if (own := self.events.get(spec.name)) is not None:
            found = {"topics": own.topics, "start": own.start or spec.start, "registry": own.registry or spec.registry}
            return spec.model_copy(update=found)
        # two topics of the catalog may be one there
        topics = list(dict.fromkeys(self.topics.get(topic, topic) for topic in spec.topics))
        return spec.model_copy(update={"topics": topics})
