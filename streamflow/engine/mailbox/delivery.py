"""Deciding deliveries. In this order: the mark of the source, the event's identity, a start, open runs, keeping."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from streamflow.definition.plan import WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.effects import DeadLetter
from streamflow.engine.lookup import head_and_plan, open_run
from streamflow.engine.mailbox import memory, outcomes
from streamflow.engine.mailbox.identity import identity
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.mailbox.records import Entry, Mail, Miss, Position, Remembered, mailbox_of, names_of
from streamflow.engine.marks import is_committed, refuse_long_names
from streamflow.engine.outcome import Contents, Refused, Verdict
from streamflow.engine.starts import begin_run, plan_of_start
from streamflow.engine.state import Own

ENDED_PER_COMMAND = 16  # entries whose keeping is over; more than one command can add, so a backlog shrinks

_encoder = msgspec.json.Encoder()


def deliver(draft: Draft, contents: Contents, own: Own, command: c.Deliver) -> Verdict | None:
    """Start a run with an event, offer it to the open runs of its key, or keep it. Raises Refused."""
    refuse_long_names(draft, command.key, command.event)
    event, origin = command.event, command.origin
    outcomes.count(draft, command.definition, event.name, outcomes.DELIVERED)
    if is_committed(draft, origin):
        return _duplicate(draft, command, "source")
    box = draft.mailbox(command.definition, command.key)
    position: Position = (origin.topic_id, origin.partition, origin.offset)
    name = identity(event.name, event.source, event.id)
    known = memory.find(draft, box.name, name)
    if known is not None and known.memory == "seen":
        return _duplicate(draft, command, "seen")
    if known is not None and known.record.position == position:
        return _duplicate(draft, command, "record")
    started, refused = _start(draft, contents, box, command)
    size = len(_encoder.encode(event))
    if box.is_full(size):  # what is over makes room first
        box.settle(lambda run: head_and_plan(draft, contents, run))
    full = box.is_full(size)
    box.arrive(_entry(draft, contents, box, command, size, started), Mail(event, name, position))
    if not box.continue_due:
        hand_out(draft, contents, box, draft.offset)
    entry = box.entries[draft.offset]
    useful = box.continue_due or box.is_useful(entry, lambda run: head_and_plan(draft, contents, run))
    if useful and not full:
        box.keep(draft.offset)
        memory.remember(draft, "seen", box.name, name, _remembered(draft, "kept", position), known)
        return None
    del box.entries[draft.offset]
    if entry.taken == "start":
        outcome = "started"
    elif entry.claims:
        outcome = "claimed"
    elif useful:
        outcome = "overflow"
    else:
        outcome = "refused" if refused else "unclaimed"
    consumed = outcome in ("started", "claimed")
    record = _remembered(draft, outcome, position)
    memory.remember(draft, "seen" if consumed else "trail", box.name, name, record, known)
    if consumed:
        outcomes.count(draft, box.definition, event.name, outcome)
        return None
    return _not_taken(draft, box, event, entry, outcome, refused)


def hand_out(draft: Draft, contents: Contents, box: Mailbox, first: int) -> None:
    """Offer the entries from offset `first` on to the open runs, oldest run first; to each of them the oldest entry
    first. When this command may claim no more, a Continue is due, which begins again at the oldest run."""
    box.continue_due = False
    for name in tuple(box.runs):
        run = open_run(draft, contents, name)
        if run.head.stopping is not None:
            _note_stopping(box, run, first)
            continue
        for offset in [offset for offset in box.entries if offset >= first]:
            _offer(box, run, offset)
            if box.continue_due:
                return
            if run.is_over():
                break


def _offer(box: Mailbox, run: RunDraft, offset: int) -> None:
    """Offer an entry to the begun waits of a run, in plan order; the first that accepts it takes it."""
    entry = box.entries[offset]
    for step_id in dict.fromkeys(step for step, _ in run.plan.waits.get(entry.name, ())):
        state = run.head.steps.get(step_id)
        if state is None or state.status != "waiting":
            continue
        step = run.plan.steps[step_id]
        if box.offer(run, box.entries[offset], step):
            if not box.continue_due:
                advance(run, step.dependents)
            return


def continue_delivery(draft: Draft, contents: Contents, own: Own, command: c.ContinueDelivery) -> None:
    """Go on with the claims that one command could not make. Raises Refused when there is nothing left to do."""
    box = draft.mailbox(command.definition, command.key)
    if not box.continue_due:
        raise Refused("duplicate", "nothing_to_do")
    hand_out(draft, contents, box, 0)


def end_keeping(draft: Draft, contents: Contents) -> None:
    """Let the entries leave whose keeping is over, a few per command."""
    for _ in range(ENDED_PER_COMMAND):
        key = draft.view.due(draft.now_ms - 1, draft.changes)
        if key is None:
            return
        draft.put(key, None)
        mailbox, offset = mailbox_of(key)
        box = draft.mailbox(*names_of(mailbox))
        if int(offset) in box.entries:
            box.settle(lambda run: head_and_plan(draft, contents, run), int(offset))
        box.save()


def settle(draft: Draft, contents: Contents) -> None:
    """Let everything leave that nobody can take any more after this command, and write the mailboxes it touched."""
    for box in tuple(draft.mailboxes.values()):
        if box.entries:
            box.settle(lambda run: head_and_plan(draft, contents, run))
        box.save()


def _start(draft: Draft, contents: Contents, box: Mailbox, command: c.Deliver) -> tuple[bool, str]:
    """Start a run if the delivery says so and the definition allows it: whether it did, and why not."""
    if command.start is None:
        return False, ""
    plan = plan_of_start(draft, contents, command.start)
    if box.runs and plan.policy != "many":
        return False, "run_open" if plan.policy == "one" else ""
    if len(box.runs) >= draft.limits.open_runs:
        return False, "too_many_open"
    begin_run(
        draft,
        plan,
        command.start,
        command.key,
        command.event,
        draft.run_id(command.definition, command.key),
        trigger=command.trigger,
    )
    return True, ""


def _entry(draft: Draft, contents: Contents, box: Mailbox, command: c.Deliver, size: int, started: bool) -> Entry:
    """The entry of an event that arrives. It is kept as long as the most patient wait says, of the versions that
    ingress knew and of those that have open runs."""
    keep_ms, copies_ms = command.keep_ms, command.copies_ms
    for run in box.runs:
        _, plan = head_and_plan(draft, contents, run)
        for step, _ in plan.waits.get(command.event.name, ()):
            work = plan.steps[step].work
            if isinstance(work, WaitPlan) and work.take == "one":
                keep_ms = max(keep_ms, work.keep_ms or 0)
            elif isinstance(work, WaitPlan):
                copies_ms = max(copies_ms, work.keep_ms or 0)
    return Entry(
        offset=draft.offset,
        name=command.event.name,
        at_ms=draft.now_ms,
        size=size,
        until_ms=draft.now_ms + keep_ms if keep_ms else None,
        copies_until_ms=draft.now_ms + copies_ms if copies_ms else None,
        taken="start" if started else "",
    )


def _note_stopping(box: Mailbox, run: RunDraft, first: int) -> None:
    for offset, entry in box.entries.items():
        if offset >= first and entry.name in run.plan.waits:
            miss = outcomes.nearer(entry.miss, Miss("stopping", run.head.run))
            box.entries[offset] = replace(entry, miss=miss)


def _remembered(draft: Draft, outcome: str, position: Position) -> Remembered:
    return Remembered(outcome, draft.offset, draft.offset, draft.now_ms, position)


def _duplicate(draft: Draft, command: c.Deliver, reason: str) -> Verdict:
    outcomes.count(draft, command.definition, command.event.name, "duplicate", reason)
    return Verdict("duplicate", reason)


def _not_taken(draft: Draft, box: Mailbox, event: c.Event, entry: Entry, outcome: str, refused: str) -> Verdict:
    """Count and publish what nobody took."""
    if outcome == "overflow":
        outcomes.count(draft, box.definition, event.name, outcome)
        limits = draft.limits
        text = (
            f"The mailbox of {box.definition} for this key is full: it keeps at most {limits.kept_events} events of "
            f"together {limits.mailbox_bytes} bytes. Shorten `keep`, or use a narrower key; then replay this record."
        )
        draft.effects.append(DeadLetter("overflow", text))
        return Verdict("dead", "overflow")
    miss = entry.miss or (outcomes.NO_WAIT if box.runs else outcomes.NO_RUN)
    reason = refused or miss.reason
    if refused == "run_open":
        miss = Miss(refused, next(iter(box.runs)))
    outcomes.count(draft, box.definition, event.name, outcome, reason)
    outcomes.publish(draft, box.name, event, entry, outcome, reason, miss)
    return Verdict("rejected", refused or outcome)
