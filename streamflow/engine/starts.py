"""Starting runs: by a delivered event, by a caller's request, by a step of another run."""

from __future__ import annotations

from streamflow.definition.plan import Plan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.effects import AppendCommand, RecordRejection
from streamflow.engine.generations import require_mailbox_here
from streamflow.engine.mailbox import memory
from streamflow.engine.mailbox.identity import REQUEST, identity
from streamflow.engine.mailbox.records import OpenRun, Remembered
from streamflow.engine.name_limits import refuse_long_names
from streamflow.engine.outcome import Contents, Refused, Verdict
from streamflow.engine.record_keys import content_key
from streamflow.engine.state import PartitionState
from streamflow.engine.transitions import RunStarted
from streamflow.ids import run_id


def start_run(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.StartRun) -> Verdict | None:
    """Start a run that was asked for. Raises Refused."""
    refuse_long_names(builder, command.key, command.event)
    plan = plan_of_start(builder, contents, command.start)
    window_ms = builder.limits.window(plan.window_ms)
    if command.parent is not None:  # what its definition says must not make it too old while its partition is down
        window_ms = max(window_ms, builder.limits.window_ms)
    if builder.now_ms - command.event.time_ms > window_ms:
        raise Refused(
            "rejected",
            "too_old",
            "The request is older than the time for which requests are remembered, so it may have been served. "
            "Send a new one.",
        )
    box = builder.mailbox(command.definition, command.key)
    name = identity(command.event.name, REQUEST, command.event.id)
    known = memory.find(builder, command.definition, box.name, name)
    if known is not None:
        return _repeated(builder, command, known.record)
    require_mailbox_here(builder, box)
    if box.runs and plan.policy != "many":
        first = next(iter(box.runs))
        text = f"{first}, a run of {command.definition} for this key, is open. Wait for its end, or cancel it."
        raise Refused("rejected", "run_open", text, {"run": first})
    if len(box.runs) >= builder.limits.open_runs:
        text = (
            f"There are {len(box.runs)} open runs of {command.definition} for this key already. Use a narrower key, or "
            "end some of them."
        )
        raise Refused("rejected", "too_many_open", text, {"open": len(box.runs)})
    at = builder.offset
    position = (own.topic_id, *builder.sent_at) if builder.sent_at != (own.partition, at) else None
    record = Remembered(outcome="started", offset=at, last=at, at_ms=builder.now_ms, position=position)
    memory.remember(builder, "seen", command.definition, box.name, name, record, None, window_ms)
    begin_run(
        builder,
        contents,
        plan,
        command.start,
        command.key,
        command.event,
        _run_id(builder, command),
        parent=command.parent,
        correlation_id=command.correlation_id,
    )
    return None


def begin_run(
    builder: DecisionBuilder,
    contents: Contents,
    plan: Plan,
    start: c.DefinitionRef,
    key: str,
    event: c.Event,
    run: str,
    *,
    trigger: str = "",
    parent: c.Parent | None = None,
    correlation_id: str = "",
) -> None:
    """Begin the run `run`, which is allowed to. The content that it follows is copied into the state."""
    if builder.get(content_key(start.sha256)) is None:
        builder.put(content_key(start.sha256), contents.content(start))
    builder.mailbox(plan.name, key).runs[run] = OpenRun(run, builder.offset)
    trace = builder.traces.of(run, None)
    fact = RunStarted(
        trigger=trigger,
        event=event,
        sha=start.sha256,
        revision=start.engine_revision,
        parent=parent,
        at=start.log_offset,
        offset=builder.offset,
        trace=trace.parent if trace is not None else None,
        tracestate=trace.state if trace is not None else "",
        recorded=trace is not None and trace.recorded,
        correlation_id=correlation_id,
    )
    builder.pins.append((start.sha256, start.engine_revision, 1))
    advance(RunBuilder.start(builder, plan, run, key, fact))


def plan_of_start(builder: DecisionBuilder, contents: Contents, start: c.DefinitionRef) -> Plan:
    """The plan of what a start names. Raises Refused."""
    content: str | None = builder.get(content_key(start.sha256))
    if content is None:
        content = contents.content(start)
        if content is None:
            text = f"`definitions` has no content {start.sha256[:12]}. Publish it again."
            raise Refused("dead", "unknown_definition", text)
    plan = builder.plans[start.sha256] = contents.plan(start.sha256, lambda: content)
    return plan


def answer_parent(parent: c.Parent, cause: str, code: str, message: str) -> AppendCommand:
    """Tell the parent of a run that its start was refused."""
    failed = c.FailAttempt(
        id=f"{cause}/refused",
        run=parent.run,
        address=parent.address,
        attempt=parent.attempt,
        code=code,
        message=message,
        retryable=False,
        item=parent.item,
    )
    return AppendCommand(parent.key, failed)


def _run_id(builder: DecisionBuilder, command: c.StartRun) -> str:
    if command.parent is None:
        return builder.run_id(command.definition, command.key)
    return run_id(builder.limits.environment, command.definition, command.key, command.event.id)


def _repeated(builder: DecisionBuilder, command: c.StartRun, record: Remembered) -> Verdict:
    """The answer to a request that was served before: the run that it started."""
    if command.parent is None and record.offset != builder.offset:
        sent_at = record.position[1:] if record.position is not None else (builder.partition.partition, record.offset)
        run = builder.run_id(command.definition, command.key, sent_at)
        text = f"This request has started {run} before. Send a new request to start another run."
        builder.effects.append(
            RecordRejection(command_id=command.id, code="run_exists", message=text, run=run, state={"run": run})
        )
    return Verdict("duplicate", "run_exists")
