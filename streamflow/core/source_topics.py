"""What the published versions want to be read: the topics of their events, where reading begins in each, and which
events have limits that hang on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streamflow.definition.catalog import Binding, TopicEnds
from streamflow.definition.plan import WaitPlan
from streamflow.engine.match import Published


class FirstPosition(NamedTuple):
    """Where reading of a topic begins that was never read before."""

    earliest: bool  # at its beginning
    published_ms: int  # the broker's time of the oldest publication that names the topic, in epoch milliseconds
    # where it ended just before that publication; None when the publisher could not ask
    ends: TopicEnds | None = None


class SourceBinding(NamedTuple):
    """The topics of events, as all published versions together have them."""

    topics: Mapping[str, tuple[str, ...]]  # by event, in order
    limited: frozenset[str]  # events that some wait with a limit is for
    first: Mapping[str, FirstPosition]  # by topic

    def feeds(self, topic: str) -> dict[str, tuple[str, ...]]:
        """The limited events that come from `topic`, each with all its topics."""
        return {event: topics for event, topics in self.topics.items() if event in self.limited and topic in topics}

    def limited_topics(self) -> frozenset[str]:
        """The topics whose watermarks limits of waits hang on."""
        return frozenset(topic for event in self.limited for topic in self.topics.get(event, ()))


def source_binding(published: Iterable[Published], bindings: Mapping[str, Binding]) -> SourceBinding:
    """What `published` versions want to be read. `bindings` are those of the environment, by event; the topics of the
    versions' events come from them."""
    topics: dict[str, set[str]] = {}
    limited: set[str] = set()
    first: dict[str, FirstPosition] = {}
    for live in published:
        triggers = {trigger.event for trigger in live.plan.triggers} if live.newest else set()
        for name in sorted({*triggers, *live.plan.waits}):
            spec = live.specs[name]
            topics.setdefault(name, set()).update(spec.topics)
            since_ms = max(live.published_ms, live.bound_ms.get(name, 0))
            for topic in spec.topics:
                known = first.get(topic)
                first[topic] = FirstPosition(
                    earliest=spec.start == "earliest" or (known is not None and known.earliest),
                    published_ms=since_ms if known is None else min(since_ms, known.published_ms),
                    ends=_first_ends(topic, bindings),
                )
        for step in live.plan.steps.values():
            if isinstance(step.work, WaitPlan) and step.work.within_ms is not None:
                limited.update(clause.event for clause in step.work.clauses)
    ordered = {name: tuple(sorted(found)) for name, found in sorted(topics.items())}
    return SourceBinding(ordered, frozenset(limited), first)


def _first_ends(topic: str, bindings: Mapping[str, Binding]) -> TopicEnds | None:
    """Where `topic` ended before the first of the publications that bind an event to it."""
    named = [binding for binding in bindings.values() if topic in binding.topics]
    oldest = min(named, key=lambda binding: binding.bound_ms, default=None)
    return None if oldest is None else oldest.ends.get(topic)
