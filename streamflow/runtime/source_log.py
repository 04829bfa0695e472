"""What an ingress process has seen of its sources, over all its sessions, and what it logs about them: each state and
each kind of dead letter once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

import structlog

from streamflow.core.event_router import Routed
from streamflow.core.source_position import Counts
from streamflow.core.tracing import Tracer, source_span
from streamflow.engine.trace import Sampling, identifiers
from streamflow.kafka.topic_states import TopicState
from streamflow.wire.cloudevents import context_in
from streamflow.wire.decoding import Record

log = structlog.get_logger(__name__)

_CONSEQUENCES = {
    TopicState.MISSING: "none of its events are read, and waits for them time out; it is looked for every second",
    TopicState.UNREADABLE: "none of its events are read, and waits for them do not time out until the right to read it "
    "is given",
    TopicState.LEADERLESS: "some of its partitions are not read, and waits for its events do not time out until they "
    "have a leader",
}


class SourceLog:
    """`known` are the ids of source topics, by name; `missed` the topics that were seen to be missing; `sampling` says
    which traces are recorded, whose spans `tracer` gets. `group` is the group of ingress."""

    def __init__(self, sampling: Sampling | None = None, tracer: Tracer | None = None, group: str = "") -> None:
        self.sampling = sampling
        self._tracer = tracer
        self._group = group
        self.known: dict[str, str] = {}
        self.missed: set[str] = set()
        self._states: dict[str, TopicState] = {}
        self._letters: set[tuple[str, str, str, str]] = set()

    def note(self, states: Mapping[str, TopicState]) -> None:
        """The states of the source topics now; those that are not in it are well."""
        for topic, state in sorted(states.items()):
            if self._states.get(topic) is not state:
                log.warning(f"source_topic_{state}", topic=topic, consequence=_CONSEQUENCES[state])
            if state is TopicState.MISSING:
                self.missed.add(topic)
        for topic in sorted(self._states.keys() - states.keys()):
            log.info("source_topic_readable", topic=topic, before=self._states[topic])
        self._states = dict(states)

    def entered(self, record: Record, routed: Routed) -> None:
        """`record` entered traces that are recorded. One that is read again gives the same spans."""
        at_ns = time.time_ns()
        if self._tracer is not None:
            self._tracer.take(source_span(record, entered, self._group, at_ns, at_ns) for entered in routed.entered)

    def dead(self, record: Record, routed: Routed) -> None:
        """`record` is a dead letter. The first of a kind is a warning, the others are counted: a source that turns bad
        would fill the log."""
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        ids = identifiers(*context_in({name: value for name, value in record.headers if value is not None}))
        if routed.fault is not None:
            log.error("matching_failed", exc_info=routed.fault, **place, **ids)
        for refusal in routed.refusals:
            kind = (record.topic, refusal.reason, refusal.event, refusal.definition)
            write = log.debug if kind in self._letters else log.warning
            self._letters.add(kind)
            write(
                "dead_letter",
                reason=refusal.reason,
                message=refusal.message,
                definition=refusal.definition or None,
                name=refusal.event or None,
                **place,
                **ids,
            )

    def counts(self, counts: Iterable[Counts], states: Mapping[str, TopicState]) -> None:
        """Log what was read of the partitions that this worker has, and how many topics are in which state."""
        counts = list(counts)
        total = {name: sum(getattr(one, name) for one in counts) for name in Counts._fields}
        wrong = Counter(str(state) for state in states.values())
        log.info("ingress_counts", **total, partitions=len(counts), **wrong)
