"""The limits of waits, which the watermarks of their events hold back."""

from __future__ import annotations

from streamflow.definition.plan import WaitPlan
from streamflow.engine.state import PartitionState
from streamflow.engine.watermarks import held_by


def behind(own: PartitionState, work: WaitPlan, due_ms: int) -> bool:
    """Whether ingress may still have an event for this wait that came before its limit."""
    return held_by(own.watermarks, {clause.event for clause in work.clauses}, due_ms) is not None
