"""Transitions in words."""

from __future__ import annotations

from streamflow.cli.output import local_time
from streamflow.engine.evolve import FACT_RULES
from streamflow.engine.transitions import Transition
from streamflow.terminal import visible


def description(transition: Transition) -> str:
    """What happened, in a few words and on one line. Attempts after the first one say which they are."""
    words = FACT_RULES[type(transition.data)].words(transition.data, local_time)
    said = visible(" ".join(words.splitlines()))
    attempt = transition.attempt
    return f"attempt {attempt}: {said}" if attempt is not None and attempt > 1 else said
