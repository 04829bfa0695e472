"""Open and remembered runs, as a draft sees them."""

from __future__ import annotations

from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.outcome import Contents
from streamflow.engine.state import FinishedRun, RunState, content_key, done_key, run_key


def maybe_open(draft: Draft, contents: Contents, run: str) -> RunDraft | None:
    """The open run of this id, or None."""
    return open_run(draft, contents, run) if draft.get(run_key(run)) is not None else None


def open_run(draft: Draft, contents: Contents, run: str) -> RunDraft:
    """The open run of this id, which must be open."""
    state: RunState = draft.get(run_key(run))
    return RunDraft(draft, contents.plan(state.sha, draft.get(content_key(state.sha))), state)


def finished_run(draft: Draft, run: str) -> FinishedRun:
    """What is remembered of a finished run."""
    found: FinishedRun = draft.get(done_key(run))
    return found
