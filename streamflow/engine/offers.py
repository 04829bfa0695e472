"""Offering events to the open runs of a key; events ahead of their wait, or of their run, are kept."""

from __future__ import annotations

import msgspec

from streamflow.definition.plan import ClausePlan, WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.effects import DeadLetter
from streamflow.engine.lookup import finished_run, open_run
from streamflow.engine.marks import refuse_known_origin, refuse_long_names
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import Expiry, KeptEvent, KeyRecord, PartitionState, early_key, expiry_key, key_key
from streamflow.engine.steps.wait import claim
from streamflow.engine.transitions import EventKept, WaitSatisfied

_encoder = msgspec.json.Encoder()


def deliver_event(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.DeliverEvent) -> None:
    """Offer an event to the open runs of its key, or keep it for the next one. Raises Refused."""
    refuse_known_origin(builder, command.origin)
    refuse_long_names(builder, command)
    known: KeyRecord = builder.get(key_key(command.definition, command.key)) or KeyRecord((), ())
    if known.open or not command.keep_ms:
        offer(builder, contents, known, command.event)
    else:
        _keep_early(builder, known, command)


def _keep_early(builder: DecisionBuilder, known: KeyRecord, command: c.DeliverEvent) -> None:
    """Keep an event for the next run of its key."""
    event, index = command.event, early_key(command.definition, command.key)
    kept: tuple[KeptEvent, ...] = builder.get(index) or ()
    if any(event.id == k.event.id for k in kept) or consumed_before(builder, known, event):
        raise Refused("duplicate", "event_seen")
    if _is_full(builder, kept, event):
        raise Refused(
            "dead",
            "too_many_kept",
            f"expected few events ahead of a run of {command.definition} but this key has too many; shorten `keep`",
        )
    until = builder.now_ms + command.keep_ms
    builder.put(index, (*kept, KeptEvent(event, until)))
    builder.put(expiry_key(until, index), Expiry(early=index))


def _is_full(builder: DecisionBuilder, kept: tuple[KeptEvent, ...], event: c.Event) -> bool:
    limits = builder.limits
    return len(kept) >= limits.kept_events or len(_encoder.encode((kept, event))) > limits.record_bytes // 2


def take_early(run: RunBuilder) -> None:
    """Keep in a run that begins what was kept for its key, as far as it waits for it."""
    builder, head = run.builder, run.head
    index = early_key(head.definition, head.key)
    kept: tuple[KeptEvent, ...] = builder.get(index) or ()
    rest = []
    for early in kept:
        if early.event.name not in run.plan.waits:
            rest.append(early)
        elif early.event.id not in run.head.seen and (early.until_ms or 0) >= builder.now_ms:
            run.record(EventKept(early.event, early.until_ms))
    if kept:
        builder.put(index, tuple(rest) or None)


def offer(builder: DecisionBuilder, contents: Contents, known: KeyRecord, event: c.Event) -> None:
    """Offer `event` to every open run of a key, oldest first. What one run cannot read, the others take all the
    same."""
    results = [_offer_to(open_run(builder, contents, run), event) for run in known.open]
    failed = next((result for result in results if result not in ("taken", "seen", "late", "unclaimed")), None)
    if failed is not None:
        message = (
            f"expected event {event.name} to be taken by a run but {failed}; correct the event or the "
            "definition, and replay it"
        )
        if "taken" not in results:
            raise Refused("dead", failed, message)
        builder.effects.append(DeadLetter(failed, message))
    if "taken" in results:
        return
    if "seen" in results or consumed_before(builder, known, event):
        raise Refused("duplicate", "event_seen")
    raise Refused("rejected", "late" if "late" in results else "unclaimed")


def consumed_before(builder: DecisionBuilder, known: KeyRecord, event: c.Event) -> bool:
    """Whether a finished run of the key, still remembered, consumed this event."""
    return any(event.id in finished_run(builder, run).seen for run in known.finished)


def _offer_to(run: RunBuilder, event: c.Event) -> str:
    head = run.head
    if event.id in head.seen:
        return "seen"
    result, ahead = "unclaimed", None
    if head.stopping is not None:
        return result
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
    if _is_full(run.builder, tuple(k for k in head.kept if k.lasts(run.builder.now_ms)), event):
        return "too_many_kept"
    run.record(EventKept(event, None if head.parked or ahead.keep_ms is None else run.builder.now_ms + ahead.keep_ms))
    return "taken"
