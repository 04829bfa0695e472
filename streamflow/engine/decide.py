"""Deciding: (state, command) -> what happens, as data. A pure function; "now" is the partition's time (law 1).

Every command ends in exactly one outcome: applied, rejected, duplicate or dead (law 5). A refused command changes no run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from streamflow.definition.plan import ClausePlan, Plan, WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance, claim
from streamflow.engine.draft import Draft, Limits, RunDraft
from streamflow.engine.effects import DeadLetter, Effect, RecordRejection
from streamflow.engine.state import (
    OWN,
    Counts,
    Expiry,
    FinishedRun,
    KeptEvent,
    KeyRecord,
    Own,
    RunState,
    SourceMark,
    StateView,
    Watermark,
    content_key,
    done_key,
    early_key,
    expiry_key,
    key_key,
    mark_key,
    run_key,
)
from streamflow.engine.transitions import (
    DelayElapsed,
    EventKept,
    RunCancelled,
    RunFailed,
    RunStarted,
    StepParked,
    StepRetried,
    StepsSkipped,
    Transition,
    WaitSatisfied,
    WaitTimedOut,
)
from streamflow.ids import run_id

Outcome = Literal["applied", "rejected", "duplicate", "dead"]
_encoder = msgspec.json.Encoder()
EXPIRIES_PER_COMMAND = 16  # of remembered runs; more than one command can finish, so the backlog shrinks


class Contents(Protocol):
    """Where the content that a start names comes from the first time, and the plans of contents."""

    def content(self, start: c.Start) -> str | None:
        """The content of `start.sha`, if it was published at or below `start.at`; the host has waited for that offset."""

    def plan(self, sha: str, content: str) -> Plan:
        """The plan of a content. The same content gives the same plan, whenever and wherever."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one command does. `changes` are records by key (None deletes), the partition's own record among them."""

    outcome: Outcome
    reason: str
    transitions: list[Transition]
    effects: list[Effect]
    changes: dict[str, Any]


class _Refused(Exception):
    """The command does not fit; nothing of its draft is kept."""

    def __init__(self, outcome: Outcome, reason: str, message: str = "", state: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.message = message
        self.state = dict(state or {})


def decide(view: StateView, contents: Contents, own: Own, command: c.Command, at_ms: int, offset: int, limits: Limits) -> Decision:
    """Decide `command`, which the broker appended at `at_ms` and `offset`. The new own record is in the changes."""
    now = max(at_ms, own.time_ms)
    draft = Draft(view, now, command.id, limits, trace=getattr(command, "trace", None))
    outcome: Outcome = "applied"
    reason, watermarks = "", own.watermarks
    try:
        if isinstance(command, c.AdvanceWatermark):
            watermarks = _advance_watermark(watermarks, command)
        else:
            _DECIDE[type(command)](draft, contents, own, command)
    except _Refused as refused:
        outcome, reason = refused.outcome, refused.reason
        draft = Draft(view, now, command.id, limits)
        if outcome == "dead":
            draft.effects.append(DeadLetter(reason, refused.message))
        elif outcome == "rejected" and _has_caller(command):
            draft.effects.append(RecordRejection(command.id, reason, refused.message, getattr(command, "run", None), refused.state))
    origin = getattr(command, "origin", None)
    if origin is not None:
        _mark(draft, origin)
    _forget(draft)
    draft.changes[OWN] = _account(own, draft, outcome, reason, now, offset, watermarks)
    return Decision(outcome, reason, draft.transitions, draft.effects, draft.changes)


def undecidable(own: Own, at_ms: int, offset: int, reason: str, message: str) -> Decision:
    """The decision on a record that is no command: it is counted and kept as a dead letter."""
    counts = own.counts
    after = Own(
        offset,
        max(at_ms, own.time_ms),
        Counts(counts.read + 1, counts.applied, counts.rejected, counts.duplicate, counts.dead + 1),
        {**own.reasons, reason: own.reasons.get(reason, 0) + 1},
        own.watermarks,
        own.parked,
        own.topic_id,
    )
    return Decision("dead", reason, [], [DeadLetter(reason, message)], {OWN: after})


def _account(own: Own, draft: Draft, outcome: Outcome, reason: str, now: int, offset: int, watermarks: dict[str, Watermark]) -> Own:
    n = own.counts
    counts = Counts(
        n.read + 1,
        n.applied + (outcome == "applied"),
        n.rejected + (outcome == "rejected"),
        n.duplicate + (outcome == "duplicate"),
        n.dead + (outcome == "dead"),
    )
    reasons = {**own.reasons, reason: own.reasons.get(reason, 0) + 1} if reason else own.reasons
    return Own(offset, now, counts, reasons, watermarks, own.parked + _parked_change(draft, own.parked), own.topic_id)


def _parked_change(draft: Draft, parked: int) -> int:
    """How many more runs are parked after the draft, when `parked` were before."""
    if not parked and not any(type(t.data) is StepParked for t in draft.transitions):
        return 0
    change = 0
    for run in {t.run for t in draft.transitions}:
        before: RunState | None = draft.view.get(run_key(run))
        after: RunState | None = draft.changes.get(run_key(run))
        change += (after is not None and after.parked) - (before is not None and before.parked)
    return change


def _has_caller(command: c.Command) -> bool:
    """Whether somebody waits for an answer. An event that no run takes is no request, and its record stays in its own topic."""
    return isinstance(command, c.CancelRun | c.RetryStep | c.SkipStep | c.FailRun | c.StartRun)


# -- starting


def _start_run(draft: Draft, contents: Contents, own: Own, command: c.StartRun) -> None:
    _refuse_known_origin(draft, command.origin)
    _refuse_long_names(draft, command)
    run = run_id(command.definition, command.key, command.event.id)
    if draft.get(run_key(run)) is not None or draft.get(done_key(run)) is not None:
        raise _Refused("duplicate", "run_exists")
    if command.origin is None and draft.now_ms - command.event.time_ms > draft.limits.window_ms:
        raise _Refused("rejected", "too_old", "expected a start asked for within the window that runs are remembered but it is older; ask again")
    known: KeyRecord = draft.get(key_key(command.definition, command.key)) or KeyRecord((), ())
    plan = _plan_of_start(draft, contents, command.start)
    if known.open and plan.policy == "one":
        raise _Refused(
            "rejected",
            "run_open",
            f"expected no open run of {command.definition} for this key but {known.open[0]} is open; wait for it or cancel it",
            {"run": known.open[0]},
        )
    if plan.policy == "join":
        if known.open:
            _offer(draft, contents, known, command.event)
            return
        if _consumed_before(draft, known, command.event):
            raise _Refused("duplicate", "event_seen")
    if len(known.open) >= draft.limits.open_runs:
        message = f"expected fewer than {draft.limits.open_runs} open runs of {command.definition} for this key; choose a narrower key, or end some"
        raise _Refused("rejected", "too_many_open", message, {"open": len(known.open)})
    draft.put(key_key(command.definition, command.key), KeyRecord((*known.open, run), known.finished))
    drafted = RunDraft(draft, plan, None)
    drafted.record(RunStarted(command.trigger, command.event, command.start.sha, command.start.revision), run=run, key=command.key)
    _take_early(drafted)
    advance(drafted)


def _plan_of_start(draft: Draft, contents: Contents, start: c.Start) -> Plan:
    content: str | None = draft.get(content_key(start.sha))
    if content is None:
        content = contents.content(start)
        if content is None:
            raise _Refused("dead", "unknown_definition", f"expected content {start.sha[:12]} in definitions but it is not there; publish it again")
        draft.put(content_key(start.sha), content)
    return contents.plan(start.sha, content)


# -- events


def _deliver_event(draft: Draft, contents: Contents, own: Own, command: c.DeliverEvent) -> None:
    _refuse_known_origin(draft, command.origin)
    _refuse_long_names(draft, command)
    known: KeyRecord = draft.get(key_key(command.definition, command.key)) or KeyRecord((), ())
    if known.open or not command.keep_ms:
        _offer(draft, contents, known, command.event)
    else:
        _keep_early(draft, known, command)


def _keep_early(draft: Draft, known: KeyRecord, command: c.DeliverEvent) -> None:
    """Keep an event for the next run of its key."""
    event, index = command.event, early_key(command.definition, command.key)
    kept: tuple[KeptEvent, ...] = draft.get(index) or ()
    if any(event.id == k.event.id for k in kept) or _consumed_before(draft, known, event):
        raise _Refused("duplicate", "event_seen")
    if _is_full(draft, kept, event):
        raise _Refused("dead", "too_many_kept", f"expected few events ahead of a run of {command.definition} but this key has too many; shorten `keep`")
    until = draft.now_ms + command.keep_ms
    draft.put(index, (*kept, KeptEvent(event, until)))
    draft.put(expiry_key(until, index), Expiry(early=index))


def _is_full(draft: Draft, kept: tuple[KeptEvent, ...], event: c.Event) -> bool:
    limits = draft.limits
    return len(kept) >= limits.kept_events or len(_encoder.encode((kept, event))) > limits.record_bytes // 2


def _take_early(run: RunDraft) -> None:
    """Keep in a run that begins what was kept for its key, as far as it waits for it."""
    draft, head = run.draft, run.head
    index = early_key(head.definition, head.key)
    kept: tuple[KeptEvent, ...] = draft.get(index) or ()
    rest = []
    for early in kept:
        if early.event.name not in run.plan.waits:
            rest.append(early)
        elif early.event.id not in run.head.seen and (early.until_ms or 0) >= draft.now_ms:
            run.record(EventKept(early.event, early.until_ms))
    if kept:
        draft.put(index, tuple(rest) or None)


def _offer(draft: Draft, contents: Contents, known: KeyRecord, event: c.Event) -> None:
    """Offer `event` to every open run of a key, oldest first. What one run cannot read, the others take all the same."""
    results = [_offer_to(_open(draft, contents, run), event) for run in known.open]
    failed = next((result for result in results if result not in ("taken", "seen", "late", "unclaimed")), None)
    if failed is not None:
        message = f"expected event {event.name} to be taken by a run but {failed}; correct the event or the definition, and replay it"
        if "taken" not in results:
            raise _Refused("dead", failed, message)
        draft.effects.append(DeadLetter(failed, message))
    if "taken" in results:
        return
    if "seen" in results or _consumed_before(draft, known, event):
        raise _Refused("duplicate", "event_seen")
    raise _Refused("rejected", "late" if "late" in results else "unclaimed")


def _consumed_before(draft: Draft, known: KeyRecord, event: c.Event) -> bool:
    return any(event.id in _finished(draft, run).seen for run in known.finished)


def _offer_to(run: RunDraft, event: c.Event) -> str:
    head = run.head
    if event.id in head.seen:
        return "seen"
    result, ahead = "unclaimed", None
    for step_id, _clause in run.plan.waits.get(event.name, ()):
        step, state = run.plan.steps[step_id], head.steps.get(step_id)
        assert isinstance(step.work, WaitPlan)
        if state is None or state.status == "parked":
            ahead = ahead or step.work
        elif state.status == "waiting":
            found = claim(run, step.work, event, state.due_ms)
            if isinstance(found, ClausePlan):
                run.record(WaitSatisfied(found.id, event), step_id)
                advance(run, step.dependents)
                return "taken"
            result = found or result
    if ahead is None:
        return result
    if _is_full(run.draft, tuple(k for k in head.kept if k.lasts(run.draft.now_ms)), event):
        return "too_many_kept"
    run.record(EventKept(event, None if head.parked or ahead.keep_ms is None else run.draft.now_ms + ahead.keep_ms))
    return "taken"


# -- timers


def _fire_timer(draft: Draft, contents: Contents, own: Own, command: c.FireTimer) -> None:
    run = _maybe_open(draft, contents, command.run)
    state = run.head.steps.get(command.step) if run else None
    if run is None or state is None or state.due_ms != command.due_ms:
        raise _Refused("duplicate", "timer_gone")
    if draft.now_ms < command.due_ms:
        raise _Refused("rejected", "early")
    step = run.plan.steps[command.step]
    if isinstance(step.work, WaitPlan):
        if behind(own, step.work, command.due_ms):
            raise _Refused("rejected", "behind")
        run.record(WaitTimedOut(command.due_ms), step.id)
    else:
        run.record(DelayElapsed(command.due_ms), step.id)
    advance(run, step.dependents)


def behind(own: Own, work: WaitPlan, due_ms: int) -> bool:
    """Whether ingress may still have an event for this wait that happened before its limit."""
    return any(topic not in own.watermarks or own.watermarks[topic].reached() < due_ms for topic in work.topics)


def _advance_watermark(watermarks: dict[str, Watermark], command: c.AdvanceWatermark) -> dict[str, Watermark]:
    known = watermarks.get(command.topic)
    times = dict(known.at_ms) if known else {}
    for partition, at_ms in command.at_ms.items():
        times[partition] = max(at_ms, times.get(partition, 0))
    if len(times) > command.partitions:  # the topic was made again, with fewer
        times = {partition: at_ms for partition, at_ms in times.items() if partition.isdecimal() and int(partition) < command.partitions}
    return {**watermarks, command.topic: Watermark(command.partitions, times)}


# -- continuing, and what people ask for


def _continue(draft: Draft, contents: Contents, own: Own, command: c.Continue) -> None:
    run = _maybe_open(draft, contents, command.run)
    if run is None:
        raise _Refused("duplicate", "run_ended")
    advance(run)
    if not draft.transitions:
        raise _Refused("duplicate", "nothing_to_do")


def _cancel_run(draft: Draft, contents: Contents, own: Own, command: c.CancelRun) -> None:
    _asked_for(draft, contents, command).record(RunCancelled(command.reason))


def _fail_run(draft: Draft, contents: Contents, own: Own, command: c.FailRun) -> None:
    run = _asked_for(draft, contents, command)
    if not run.head.parked:
        raise _Refused("rejected", "not_parked", "expected a parked run but it is not; cancel it instead", _describe(run))
    run.record(RunFailed(command.reason))


def _retry_step(draft: Draft, contents: Contents, own: Own, command: c.RetryStep) -> None:
    run = _parked_step(draft, contents, command)
    run.record(StepRetried(), command.step)
    advance(run, (command.step,))


def _skip_step(draft: Draft, contents: Contents, own: Own, command: c.SkipStep) -> None:
    run = _parked_step(draft, contents, command)
    run.record(StepsSkipped((command.step,)))
    advance(run, run.plan.steps[command.step].dependents)


def _parked_step(draft: Draft, contents: Contents, command: c.RetryStep | c.SkipStep) -> RunDraft:
    run = _asked_for(draft, contents, command)
    state = run.head.steps.get(command.step)
    if state is None or state.status != "parked":
        now = state.status if state else "not begun"
        raise _Refused("rejected", "not_parked", f"expected step {command.step} to be parked but it is {now}; look at the run again", _describe(run))
    return run


def _asked_for(draft: Draft, contents: Contents, command: c.CancelRun | c.FailRun | c.RetryStep | c.SkipStep) -> RunDraft:
    run = _maybe_open(draft, contents, command.run)
    if run is not None:
        return run
    done: FinishedRun | None = draft.get(done_key(command.run))
    if done is not None:
        raise _Refused("rejected", "run_ended", f"expected an open run but it ended with {done.ended}; nothing is left to do", {"ended": done.ended})
    raise _Refused("rejected", "run_unknown", "expected an open run but there is none of this id; list the runs")


def _describe(run: RunDraft) -> dict[str, Any]:
    return {"seq": run.head.seq, "steps": {name: step.status for name, step in run.head.steps.items()}}


# -- what all share


def _maybe_open(draft: Draft, contents: Contents, run: str) -> RunDraft | None:
    return _open(draft, contents, run) if draft.get(run_key(run)) is not None else None


def _open(draft: Draft, contents: Contents, run: str) -> RunDraft:
    state: RunState = draft.get(run_key(run))
    return RunDraft(draft, contents.plan(state.sha, draft.get(content_key(state.sha))), state)


def _finished(draft: Draft, run: str) -> FinishedRun:
    found: FinishedRun = draft.get(done_key(run))
    return found


def _refuse_known_origin(draft: Draft, origin: c.Origin | None) -> None:
    mark: SourceMark | None = draft.get(mark_key(origin.topic_id, origin.partition)) if origin else None
    if origin is None or mark is None:
        return
    if origin.offset < mark.committed:
        raise _Refused("duplicate", "source_committed")
    if mark.applied and origin.offset <= mark.applied[-1][0] and (origin.offset, origin.tag) in mark.applied:
        raise _Refused("duplicate", "source_applied")


def _refuse_long_names(draft: Draft, command: c.StartRun | c.DeliverEvent) -> None:
    """Keys and ids of events are in many records, so their share of a record's size is kept small."""
    limit = draft.limits.name_bytes
    for name, text in (("key", command.key), ("event id", command.event.id)):
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise _Refused("dead", "name_too_long", f"expected the {name} in at most {limit} bytes but it has more; send a shorter one")


def _mark(draft: Draft, origin: c.Origin) -> None:
    """Remember that this source record's command has been decided, and forget what the committed offset covers."""
    key = mark_key(origin.topic_id, origin.partition)
    mark: SourceMark = draft.view.get(key) or SourceMark(0, ())
    committed, applied = mark.committed, mark.applied
    if origin.committed > committed:
        committed = origin.committed
        applied = tuple(pair for pair in applied if pair[0] >= committed)
    if origin.offset >= committed:
        pair = (origin.offset, origin.tag)
        if not applied or pair[0] > applied[-1][0]:
            applied = (*applied, pair)
        elif pair not in applied:
            applied = tuple(sorted((*applied, pair)))
    if committed != mark.committed or applied is not mark.applied:
        draft.put(key, SourceMark(committed, applied))


def _forget(draft: Draft) -> None:
    """Forget finished runs whose window has passed and early events, by the partition's time and a few at a time."""
    for _ in range(EXPIRIES_PER_COMMAND):
        key = draft.view.expired(draft.now_ms, draft.changes)
        if key is None:
            return
        expiry: Expiry = draft.get(key)
        draft.put(key, None)
        if expiry.early:
            kept: tuple[KeptEvent, ...] = draft.get(expiry.early) or ()
            draft.put(expiry.early, tuple(k for k in kept if (k.until_ms or 0) > draft.now_ms) or None)
            continue
        done = _finished(draft, expiry.run)
        index = key_key(done.definition, done.key)
        known: KeyRecord | None = draft.get(index)
        draft.put(done_key(expiry.run), None)
        if known is not None and expiry.run in known.finished:
            left = tuple(run for run in known.finished if run != expiry.run)
            draft.put(index, KeyRecord(known.open, left) if known.open or left else None)


_DECIDE: dict[type, Callable[[Draft, Contents, Own, Any], None]] = {
    c.StartRun: _start_run,
    c.DeliverEvent: _deliver_event,
    c.FireTimer: _fire_timer,
    c.Continue: _continue,
    c.CancelRun: _cancel_run,
    c.FailRun: _fail_run,
    c.RetryStep: _retry_step,
    c.SkipStep: _skip_step,
}
