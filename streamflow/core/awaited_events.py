"""The events that steps with a timer wait for: a wait times out only when ingress has none of them left."""

from __future__ import annotations

from streamflow.definition.plan import WaitPlan
from streamflow.engine.commands import FireTimer
from streamflow.engine.outcome import Contents
from streamflow.engine.overlay import Overlay
from streamflow.engine.record_keys import content_key, run_key
from streamflow.engine.state import RunState, Timer
from streamflow.engine.watermarks import held_by


class AwaitedEvents:
    """Looked up in the runs of `overlay` and the plans of `definitions`."""

    def __init__(self, overlay: Overlay, definitions: Contents) -> None:
        self._overlay = overlay
        self._definitions = definitions

    def blocking(self, timer: Timer) -> frozenset[str]:
        """The events of a wait, if ingress may still have one of them that came before its limit."""
        events = self.of(timer)
        return events if held_by(self._overlay.own.watermarks, events, timer.due_ms) is not None else frozenset()

    def of(self, timer: Timer | FireTimer) -> frozenset[str]:
        """The events that the step of a timer waits for; none if it is no wait, or gone."""
        head: RunState | None = self._overlay.get(run_key(timer.run))
        if head is None:
            return frozenset()
        plan = self._definitions.plan(head.sha, lambda: self._overlay.get(content_key(head.sha)))
        step = plan.step(timer.address)
        if step is None or not isinstance(step.work, WaitPlan):
            return frozenset()
        return frozenset(clause.event for clause in step.work.clauses)
