"""Deciding: (state, command) -> what happens, as data. A pure function; "now" is the partition's time
(law input-is-commands).

Every command ends in exactly one outcome: applied, rejected, duplicate or dead (law one-outcome). A refused command
changes no run. Here is what all commands share; what each does is in `starts`, `offers`, `timing` and `requests`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streamflow.engine import commands as c
from streamflow.engine.approvals import decide_approval
from streamflow.engine.builder import DecisionBuilder, Limits
from streamflow.engine.contents import repin
from streamflow.engine.deduplication import mark
from streamflow.engine.effects import DeadLetter, Effect, RecordRejection
from streamflow.engine.erasure import erase_key, request_of
from streamflow.engine.generations import (
    Forwarded,
    forward,
    open_generation,
    pass_on,
    refuse_copy,
    require_run_here,
)
from streamflow.engine.mailbox import memory
from streamflow.engine.mailbox.delivery import continue_delivery, deliver, end_keeping, settle
from streamflow.engine.mailbox.records import tally_key
from streamflow.engine.name_limits import refuse_long_labels
from streamflow.engine.operator_commands import cancel_run, continue_run, fail_run, retry_step, skip_step
from streamflow.engine.outcome import Contents, Decision, Outcome, Refused, Verdict
from streamflow.engine.record_keys import run_key
from streamflow.engine.results import complete_attempt, fail_attempt, suspend_attempt
from streamflow.engine.starts import answer_parent, start_run
from streamflow.engine.state import OWN, Counts, PartitionState, RunState, StateView, Watermark
from streamflow.engine.timers import fire_timer
from streamflow.engine.trace import RunTraces
from streamflow.engine.watermarks import advance_watermark


def decide(
    view: StateView,
    contents: Contents,
    own: PartitionState,
    command: c.Command,
    at_ms: int,
    offset: int,
    limits: Limits,
    source: c.ForwardSource | None = None,
) -> Decision:
    """Decide `command`, which the broker appended at `at_ms` and `offset`, forwarded from `source` if that is given.
    The new own record is in the changes."""
    builder = _draft(view, contents, own, command, at_ms, offset, limits, source)
    outcome: Outcome = "applied"
    reason, watermarks = "", own.watermarks
    try:
        refuse_copy(own, source)
        refuse_long_labels(builder, command)
        if isinstance(command, c.AdvanceWatermark):
            if command.to in (None, own.partition):
                watermarks = advance_watermark(watermarks, command)
            else:
                pass_on(builder, own, command)
        else:
            require_run_here(builder, own, command)
            verdict = _DECIDE[type(command)](builder, contents, own, command)
            if verdict is not None:
                outcome, reason = verdict
    except Forwarded:
        builder.release()
        builder = _draft(view, contents, own, command, at_ms, offset, limits, source)
        forward(builder, command)
    except Refused as refused:
        outcome, reason = refused.outcome, refused.reason
        builder.release()
        builder = _draft(view, contents, own, command, at_ms, offset, limits, source)
        if outcome == "dead":
            builder.effects.append(DeadLetter(reason, refused.message))
        if isinstance(command, c.StartRun) and command.parent is not None and outcome != "duplicate":
            builder.effects.append(answer_parent(command.parent, command.id, reason, refused.message))
        elif outcome == "rejected" and _has_caller(command):
            builder.effects.append(
                RecordRejection(
                    command_id=request_of(command) if isinstance(command, c.EraseKey) else command.id,
                    code=reason,
                    message=refused.message,
                    run=getattr(command, "run", None),
                    state=refused.state,
                )
            )
    settle(builder, contents)
    if isinstance(command, c.Deliver):
        mark(builder, command.origin)
    for definition, counts in builder.tallies.items():
        builder.put(tally_key(definition), counts)
    builder.changes[OWN] = _account(own, builder, outcome, reason, watermarks, source)
    builder.release()
    return Decision(
        outcome=outcome,
        reason=reason,
        transitions=builder.transitions,
        effects=builder.effects,
        changes=builder.changes,
        traces=builder.traces.by_run,
        tallied=builder.tallies,
    )


def _draft(
    view: StateView,
    contents: Contents,
    own: PartitionState,
    command: c.Command,
    at_ms: int,
    offset: int,
    limits: Limits,
    source: c.ForwardSource | None,
) -> DecisionBuilder:
    """A draft in which what is over has been forgotten, a few records per command."""
    now_ms = max(at_ms, own.time_ms)
    builder = DecisionBuilder(
        view=view,
        now_ms=now_ms,
        cause=command.id,
        limits=limits,
        partition=own,
        memories=own.memories,
        offset=offset,
        sent_at=(own.partition, offset) if source is None else (source.sent_partition, source.sent_offset),
        successor=own.successor,
        traces=RunTraces(getattr(command, "trace", None), own.topic_id, own.partition, offset),
    )
    end_keeping(builder, contents)
    memory.sweep(builder)
    return builder


def undecidable(
    own: PartitionState,
    at_ms: int,
    offset: int,
    reason: str,
    message: str,
    command: c.Command | None = None,
    source: c.ForwardSource | None = None,
) -> Decision:
    """The decision on a record that is no command, or a `command` that nothing can be decided on: it is counted and
    kept as a dead letter, unless it was forwarded before. Nobody waits for what it would have started."""
    counts = own.counts
    outcome: Outcome = "dead"
    effects: list[Effect] = [DeadLetter(reason, message)]
    if isinstance(command, c.StartRun) and command.parent is not None:
        effects.append(answer_parent(command.parent, command.id, reason, message))
    try:
        refuse_copy(own, source)
    except Refused as refused:
        outcome, reason, effects = refused.outcome, refused.reason, []
    after = replace(
        own,
        applied=offset,
        time_ms=max(at_ms, own.time_ms),
        counts=replace(counts, **{"read": counts.read + 1, outcome: getattr(counts, outcome) + 1}),
        reasons={**own.reasons, reason: own.reasons.get(reason, 0) + 1},
        forwarded=own.forwarded if source is None else max(own.forwarded, source.offset),
    )
    return Decision(outcome=outcome, reason=reason, transitions=[], effects=effects, changes={OWN: after})


def _account(
    own: PartitionState,
    builder: DecisionBuilder,
    outcome: Outcome,
    reason: str,
    watermarks: dict[str, Watermark],
    source: c.ForwardSource | None,
) -> PartitionState:
    n = own.counts
    revisions, contents = repin(builder, own)
    return replace(
        own,
        applied=builder.offset,
        time_ms=builder.now_ms,
        counts=Counts(n.read + 1, n.applied + 1, n.rejected, n.duplicate, n.dead)
        if outcome == "applied"
        else replace(n, **{"read": n.read + 1, outcome: getattr(n, outcome) + 1}),
        reasons={**own.reasons, reason: own.reasons.get(reason, 0) + 1} if reason else own.reasons,
        watermarks=watermarks,
        parked=own.parked + _parked_change(builder, own.parked),
        revisions=revisions,
        memories=builder.memories,
        contents=contents,
        successor=builder.successor,
        forwarded=own.forwarded if source is None else max(own.forwarded, source.offset),
    )


def _parked_change(builder: DecisionBuilder, parked: int) -> int:
    """How many more runs are parked after the draft, when `parked` were before."""
    if not parked and not builder.parks:
        return 0
    change = 0
    for run in {t.run for t in builder.transitions}:
        before: RunState | None = builder.view.get(run_key(run))
        after: RunState | None = builder.changes.get(run_key(run))
        change += (after is not None and after.parked) - (before is not None and before.parked)
    return change


def _has_caller(command: c.Command) -> bool:
    """Whether a caller waits for an answer. The delivery of an event is no request, and a parent asks for nothing more
    than the end of its child."""
    if isinstance(command, c.CancelRun):
        return not command.by_parent
    return isinstance(
        command, c.RetryStep | c.SkipStep | c.FailRun | c.StartRun | c.Decide | c.EraseKey | c.OpenGeneration
    )


_DECIDE: dict[type, Callable[[DecisionBuilder, Contents, PartitionState, Any], Verdict | None]] = {
    c.StartRun: start_run,
    c.Deliver: deliver,
    c.ContinueDelivery: continue_delivery,
    c.FireTimer: fire_timer,
    c.CompleteAttempt: complete_attempt,
    c.FailAttempt: fail_attempt,
    c.SuspendAttempt: suspend_attempt,
    c.Decide: decide_approval,
    c.Continue: continue_run,
    c.CancelRun: cancel_run,
    c.FailRun: fail_run,
    c.RetryStep: retry_step,
    c.SkipStep: skip_step,
    c.EraseKey: erase_key,
    c.OpenGeneration: open_generation,
}
