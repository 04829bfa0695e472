"""Open runs, as a draft sees them."""

from __future__ import annotations

from streamflow.definition.plan import Plan
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.outcome import Contents
from streamflow.engine.state import RunState, content_key, run_key


def maybe_open(draft: Draft, contents: Contents, run: str) -> RunDraft | None:
    """The open run of this id, or None."""
    return open_run(draft, contents, run) if draft.get(run_key(run)) is not None else None


def open_run(draft: Draft, contents: Contents, run: str) -> RunDraft:
    """The open run of this id, which must be open."""
    head, plan = head_and_plan(draft, contents, run)
    return RunDraft(draft, plan, head)


def head_and_plan(draft: Draft, contents: Contents, run: str) -> tuple[RunState, Plan]:
    """The head and the plan of a run, which must be open."""
    head: RunState = draft.get(run_key(run))
    return head, contents.plan(head.sha, draft.get(content_key(head.sha)))
