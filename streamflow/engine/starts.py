"""Starting runs: which content, and what the definition says of runs that are open already."""

from __future__ import annotations

from streamflow.definition.plan import Plan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.effects import AppendCommand
from streamflow.engine.marks import refuse_known_origin, refuse_long_names
from streamflow.engine.offers import consumed_before, offer, take_early
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import KeyRecord, PartitionState, content_key, done_key, key_key, run_key
from streamflow.engine.transitions import RunStarted
from streamflow.ids import run_id


def start_run(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.StartRun) -> None:
    """Start a run, or offer the event to the open one, as the definition says. Raises Refused."""
    refuse_known_origin(builder, command.origin)
    refuse_long_names(builder, command)
    run = run_id(builder.limits.environment, command.definition, command.key, command.event.id)
    if builder.get(run_key(run)) is not None or builder.get(done_key(run)) is not None:
        raise Refused("duplicate", "run_exists")
    if command.origin is None and builder.now_ms - command.event.time_ms > builder.limits.window_ms:
        raise Refused(
            "rejected",
            "too_old",
            "expected a start asked for within the window that runs are remembered but it is older; ask again",
        )
    known: KeyRecord = builder.get(key_key(command.definition, command.key)) or KeyRecord((), ())
    plan = _plan_of_start(builder, contents, command.start)
    if known.open and (plan.policy == "one" or (plan.policy == "join" and command.parent is not None)):
        raise Refused(
            "rejected",
            "run_open",
            f"expected no open run of {command.definition} for this key but {known.open[0]} is open; wait for it or "
            "cancel it",
            {"run": known.open[0]},
        )
    if plan.policy == "join":
        if known.open:
            offer(builder, contents, known, command.event)
            return
        if consumed_before(builder, known, command.event):
            raise Refused("duplicate", "event_seen")
    if len(known.open) >= builder.limits.open_runs:
        message = (
            f"expected fewer than {builder.limits.open_runs} open runs of {command.definition} for this key; "
            "choose a narrower key, or end some"
        )
        raise Refused("rejected", "too_many_open", message, {"open": len(known.open)})
    builder.put(key_key(command.definition, command.key), KeyRecord((*known.open, run), known.finished))
    drafted = RunBuilder(builder, plan, None)
    drafted.record(
        RunStarted(
            trigger=command.trigger,
            event=command.event,
            sha=command.start.sha256,
            revision=command.start.engine_revision,
            parent=command.parent,
            at=command.start.log_offset,
            trace=command.trace,
        ),
        run=run,
        key=command.key,
    )
    take_early(drafted)
    advance(drafted)


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


def _plan_of_start(builder: DecisionBuilder, contents: Contents, start: c.DefinitionRef) -> Plan:
    content: str | None = builder.get(content_key(start.sha256))
    if content is None:
        content = contents.content(start)
        if content is None:
            raise Refused(
                "dead",
                "unknown_definition",
                f"expected content {start.sha256[:12]} in definitions but it is not there; publish it again",
            )
        builder.put(content_key(start.sha256), content)
    return contents.plan(start.sha256, content)
