"""Starting runs: by a delivered event, by a caller's request, by a step of another run."""

from __future__ import annotations

from streamflow.definition.plan import Plan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.effects import AppendCommand, RecordRejection
from streamflow.engine.mailbox import memory
from streamflow.engine.mailbox.identity import REQUEST, identity
from streamflow.engine.mailbox.records import OpenRun, Remembered
from streamflow.engine.marks import refuse_long_names
from streamflow.engine.outcome import Contents, Refused, Verdict
from streamflow.engine.state import Own, content_key
from streamflow.engine.transitions import RunStarted
from streamflow.ids import run_id


def start_run(draft: Draft, contents: Contents, own: Own, command: c.StartRun) -> Verdict | None:
    """Start a run that was asked for. Raises Refused."""
    refuse_long_names(draft, command.key, command.event)
    if draft.now_ms - command.event.time_ms > draft.limits.window_ms:
        raise Refused(
            "rejected",
            "too_old",
            "The request is older than the time for which requests are remembered, so it may have been served. "
            "Send a new one.",
        )
    box = draft.mailbox(command.definition, command.key)
    name = identity(command.event.name, REQUEST, command.event.id)
    known = memory.find(draft, box.name, name)
    if known is not None:
        return _repeated(draft, command, known.record.offset)
    plan = plan_of_start(draft, contents, command.start)
    if box.runs and plan.policy != "many":
        first = next(iter(box.runs))
        text = f"{first}, a run of {command.definition} for this key, is open. Wait for its end, or cancel it."
        raise Refused("rejected", "run_open", text, {"run": first})
    if len(box.runs) >= draft.limits.open_runs:
        text = (
            f"There are {len(box.runs)} open runs of {command.definition} for this key already. Use a narrower key, or "
            "end some of them."
        )
        raise Refused("rejected", "too_many_open", text, {"open": len(box.runs)})
    record = Remembered("started", draft.offset, draft.offset, draft.now_ms)
    memory.remember(draft, "seen", box.name, name, record, None)
    begin_run(draft, plan, command.start, command.key, command.event, _run_id(draft, command), parent=command.parent)
    return None


def begin_run(
    draft: Draft,
    plan: Plan,
    start: c.Start,
    key: str,
    event: c.Event,
    run: str,
    *,
    trigger: str = "",
    parent: c.Parent | None = None,
) -> None:
    """Begin the run `run`, which is allowed to."""
    draft.mailbox(plan.name, key).runs[run] = OpenRun(run, draft.offset)
    drafted = RunDraft(draft, plan, None)
    fact = RunStarted(
        trigger=trigger,
        event=event,
        sha=start.sha,
        revision=start.revision,
        parent=parent,
        at=start.at,
        offset=draft.offset,
    )
    drafted.record(fact, run=run, key=key)
    draft.pins.append((start.sha, start.revision, 1))
    advance(drafted)


def plan_of_start(draft: Draft, contents: Contents, start: c.Start) -> Plan:
    """The plan of what a start names, whose content is copied into the state. Raises Refused."""
    content: str | None = draft.get(content_key(start.sha))
    if content is None:
        content = contents.content(start)
        if content is None:
            text = f"`definitions` has no content {start.sha[:12]}. Publish it again."
            raise Refused("dead", "unknown_definition", text)
        draft.put(content_key(start.sha), content)
    return contents.plan(start.sha, content)


def answer_parent(parent: c.Parent, cause: str, code: str, message: str) -> AppendCommand:
    """Tell the parent of a run that its start was refused."""
    failed = c.FailAttempt(
        f"{cause}/refused", parent.run, parent.address, parent.attempt, code, message, retryable=False, item=parent.item
    )
    return AppendCommand(parent.key, failed)


def _run_id(draft: Draft, command: c.StartRun) -> str:
    if command.parent is None:
        return draft.run_id(command.definition, command.key)
    return run_id(draft.limits.environment, command.definition, command.key, command.event.id)


def _repeated(draft: Draft, command: c.StartRun, offset: int) -> Verdict:
    """The answer to a request that was served before: the run that it started."""
    if command.parent is None and offset != draft.offset:
        run = draft.run_id(command.definition, command.key, offset)
        text = f"This request has started {run} before. Send a new request to start another run."
        draft.effects.append(RecordRejection(command.id, "run_exists", text, run, {"run": run}))
    return Verdict("duplicate", "run_exists")
