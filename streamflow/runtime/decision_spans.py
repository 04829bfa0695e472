"""What the engine's host adds to the spans of decisions: the clock, the group, and the topics of emitted events."""

from __future__ import annotations

import time

from streamflow.core.outbox import TopicOf
from streamflow.core.tracing import Tracer, decision_spans
from streamflow.engine.commands import Command
from streamflow.engine.effects import PublishEvent
from streamflow.engine.outcome import Decision
from streamflow.errors import StreamflowError
from streamflow.wire.decoding import Record


class DecisionSpans:
    """Passes the spans of decisions of one partition to `tracer`. `topic_id` is that of `commands`."""

    def __init__(self, tracer: Tracer, topic_id: str, group: str, topic_of: TopicOf) -> None:
        self._tracer = tracer
        self._topic_id = topic_id
        self._group = group
        self._topic_of = topic_of

    def __call__(self, record: Record, command: Command | None, decision: Decision, seconds: float) -> None:
        """A decision on `record` that took `seconds` and has ended now."""
        ended_ns = time.time_ns()
        emitted = [effect for effect in decision.effects if isinstance(effect, PublishEvent)]
        self._tracer.take(
            decision_spans(
                record,
                command,
                decision,
                topic_id=self._topic_id,
                group=self._group,
                topics={effect.id: self._topic(effect.type) for effect in emitted},
                began_ns=ended_ns - int(seconds * 1e9),
                ended_ns=ended_ns,
            )
        )

    def _topic(self, event: str) -> str:
        try:
            return self._topic_of(event)
        except StreamflowError:  # bound to none: the event becomes a dead letter
            return ""
