"""What a run gave: its output, and those of its steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptSucceeded, ItemsListed
from streamflow.engine.transitions import Transition

RUN = "output"  # the run's own, which is that of the step that its definition names


def outputs_of(history: Iterable[Transition]) -> dict[str, Any]:
    """The outputs of the steps of a run that called something or set values, by step, and once it is complete its own
    under `output`."""
    found: dict[str, Any] = {}
    for transition in history:
        data, step = transition.data, transition.address
        if isinstance(data, ItemsListed):
            found[step] = [None] * len(data.items)
        elif isinstance(data, AttemptSucceeded):
            if data.item is None:
                found[step] = data.output
            else:
                found[step][data.item] = data.output
        elif isinstance(data, t.ValuesSet):
            found[step] = data.values
        elif isinstance(data, t.RunCompleted) and data.output is not None:
            found[RUN] = data.output
    return found
