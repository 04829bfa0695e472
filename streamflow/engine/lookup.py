"""Open and remembered runs, as a draft sees them."""

from __future__ import annotations

from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.outcome import Contents
from streamflow.engine.state import FinishedRun, RunState, content_key, done_key, run_key


def maybe_open(builder: DecisionBuilder, contents: Contents, run: str) -> RunBuilder | None:
    """The open run of this id, or None."""
    return open_run(builder, contents, run) if builder.get(run_key(run)) is not None else None


def open_run(builder: DecisionBuilder, contents: Contents, run: str) -> RunBuilder:
    """The open run of this id, which must be open."""
    state: RunState = builder.get(run_key(run))
    return RunBuilder(builder, contents.plan(state.sha, builder.get(content_key(state.sha))), state)


def finished_run(builder: DecisionBuilder, run: str) -> FinishedRun:
    """What is remembered of a finished run."""
    found: FinishedRun = builder.get(done_key(run))
    return found
