"""A run as it was at one of its transitions: the fold of the history up to there."""

from __future__ import annotations

from typing import Any

from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import Rejected
from streamflow.ops.history import described
from streamflow.ops.outputs import outputs_of


def state_at(history: list[Transition], seq: int | None = None) -> dict[str, Any]:
    """The run of `history` after the transition `seq` (None: the latest), as JSON data: what `described`
    gives; its values (`trigger`: what it was started with, None once that has left the topic; `steps`: the outputs so
    far); the transition itself; and the numbers of the first and last one that there are.

    Raises Rejected (`seq_unknown`) when the history has no such transition."""
    first, last = history[0].seq, history[-1].seq
    wanted = last if seq is None else seq
    part = [transition for transition in history if transition.seq <= wanted]
    if not part or part[-1].seq != wanted:
        raise Rejected(
            "seq_unknown",
            f"The run {history[0].run} has no transition {wanted}: it has {first} to {last}. Choose one of them.",
            first_seq=first,
            last_seq=last,
        )
    at, begun = part[-1], part[0].data
    return described(part) | {
        "at_ms": at.at_ms,
        "transition": {"type": at.type, "step": at.address},
        "values": {"trigger": begun.event.data if isinstance(begun, RunStarted) else None, "steps": outputs_of(part)},
        "first_seq": first,
        "last_seq": last,
    }
