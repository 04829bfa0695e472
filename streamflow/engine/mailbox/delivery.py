"""Deciding deliveries. In this order: the mark of the source, the event's identity, a start, open runs, keeping."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.deduplication import is_committed
from streamflow.engine.effects import DeadLetter
from streamflow.engine.generations import require_mailbox_here
from streamflow.engine.lookup import head_and_plan
from streamflow.engine.mailbox import memory, outcomes
from streamflow.engine.mailbox.identity import identity
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.mailbox.records import Entry, Mail, Memory, Miss, Position, Remembered, mailbox_of, names_of
from streamflow.engine.name_limits import refuse_long_names
from streamflow.engine.outcome import Contents, Refused, Verdict
from streamflow.engine.starts import begin_run, plan_of_start
from streamflow.engine.state import PartitionState

ENDED_PER_COMMAND = 16  # entries whose keeping is over; more than one command can add, so a backlog shrinks

_encoder = msgspec.json.Encoder()


def deliver(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.Deliver) -> Verdict | None:
    """Start a run with an event, offer it to the open runs of its key, or keep it. Raises Refused."""
    refuse_long_names(builder, command.key, command.event)
    event, origin = command.event, command.origin
    outcomes.count(builder, command.definition, event.name, outcomes.DELIVERED)
    if is_committed(builder, origin):
        return _duplicate(builder, command, "source")
    box = builder.mailbox(command.definition, command.key)
    position: Position = (origin.topic_id, origin.partition, origin.offset)
    name = identity(event.name, event.source, event.id)
    window_ms = builder.limits.window(command.window_ms)
    known = memory.find(builder, box.definition, box.name, name)
    if known is not None and known.memory == "seen":
        return _duplicate(builder, command, "seen")
    if known is not None and known.record.position == position:
        return _duplicate(builder, command, "record")
    require_mailbox_here(builder, box)

    def remember(kind: Memory, outcome: str) -> None:
        offset = builder.offset
        record = Remembered(outcome=outcome, offset=offset, last=offset, at_ms=builder.now_ms, position=position)
        memory.remember(builder, kind, box.definition, box.name, name, record, known, window_ms)

    started, refused = _start(builder, contents, box, command)
    if started and not _is_for_others(builder, contents, box, command):
        remember("seen", "started")
        outcomes.count(builder, box.definition, event.name, "started")
        return None
    size = len(_encoder.encode(event))
    full = box.is_full(size)
    if full:  # what is over makes room first
        box.settle(lambda run: head_and_plan(builder, contents, run))
        full = box.is_full(size)
    box.arrive(
        _entry(builder, contents, box, command, size, started), Mail(event, name, position, window_ms, command.trace)
    )
    if not box.continue_due:
        hand_out(builder, contents, box, builder.offset)
    entry = box.entries[builder.offset]
    useful = box.continue_due or box.is_useful(entry, lambda run: head_and_plan(builder, contents, run))
    if useful and not full:
        box.keep(builder.offset)
        remember("seen", "kept")
        return None
    del box.entries[builder.offset]
    if entry.taken == "start":
        outcome = "started"
    elif entry.claims:
        outcome = "claimed"
    elif useful:
        outcome = "overflow"
    else:
        outcome = "refused" if refused else "unclaimed"
    consumed = outcome in ("started", "claimed")
    remember("seen" if consumed else "trail", outcome)
    if consumed:
        outcomes.count(builder, box.definition, event.name, outcome)
        return None
    return _not_taken(builder, box, event, entry, outcome, refused)


def hand_out(builder: DecisionBuilder, contents: Contents, box: Mailbox, first: int) -> None:
    """Offer the entries from offset `first` on to the open runs, oldest run first; to each of them the oldest entry
    first. When this command may claim no more, a Continue is due, which begins again at the oldest run."""
    box.continue_due = False
    offsets = [offset for offset in box.entries if offset >= first]
    names = {box.entries[offset].name for offset in offsets}
    for name in tuple(box.runs):
        head, plan = head_and_plan(builder, contents, name)
        if names.isdisjoint(plan.waits):
            continue
        run = RunBuilder(builder, plan, head)
        if head.stopping is not None:
            _note_stopping(box, run, offsets)
            continue
        for offset in offsets:
            _offer(box, run, offset)
            if box.continue_due:
                return
            if run.is_over():
                break


def _offer(box: Mailbox, run: RunBuilder, offset: int) -> None:
    """Offer an entry to the begun waits of a run, in plan order; the first that accepts it takes it."""
    entry = box.entries[offset]
    for step_id in run.plan.waits.get(entry.name, ()):
        state = run.head.steps.get(step_id)
        if state is None or state.status != "waiting":
            continue
        step = run.plan.steps[step_id]
        if box.offer(run, box.entries[offset], step):
            if not box.continue_due:
                advance(run, step.dependents)
            return


def continue_delivery(
    builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.ContinueDelivery
) -> None:
    """Go on with the claims that one command could not make. Raises Refused when there is nothing left to do."""
    box = builder.mailbox(command.definition, command.key)
    if not box.continue_due:
        raise Refused("duplicate", "nothing_to_do")
    hand_out(builder, contents, box, 0)


def end_keeping(builder: DecisionBuilder, contents: Contents) -> None:
    """Let the entries leave whose keeping is over, a few per command."""
    for _ in range(ENDED_PER_COMMAND):
        key = builder.view.due(builder.now_ms - 1, builder.changes)
        if key is None:
            return
        builder.put(key, None)
        mailbox, offset = mailbox_of(key)
        box = builder.mailbox(*names_of(mailbox))
        if int(offset) in box.entries:
            box.settle(lambda run: head_and_plan(builder, contents, run), int(offset))
        box.save()


def settle(builder: DecisionBuilder, contents: Contents) -> None:
    """Let everything leave that no run can consume any more after this command, and write the mailboxes it touched."""
    for box in tuple(builder.mailboxes.values()):
        if box.entries:
            box.settle(lambda run: head_and_plan(builder, contents, run))
        box.save()


def _start(builder: DecisionBuilder, contents: Contents, box: Mailbox, command: c.Deliver) -> tuple[bool, str]:
    """Start a run if the delivery says so and the definition allows it: whether it did, and why not."""
    if command.start is None:
        return False, ""
    plan = plan_of_start(builder, contents, command.start)
    if box.runs and plan.policy != "many":
        return False, "run_open" if plan.policy == "one" else ""
    if len(box.runs) >= builder.limits.open_runs:
        return False, "too_many_open"
    begin_run(
        builder,
        contents,
        plan,
        command.start,
        command.key,
        command.event,
        builder.run_id(command.definition, command.key),
        trigger=command.trigger,
        correlation_id=command.correlation_id,
    )
    return True, ""


def _is_for_others(builder: DecisionBuilder, contents: Contents, box: Mailbox, command: c.Deliver) -> bool:
    """Whether an event that started a run is to be kept, or is one that an open run waits for. Most are not."""
    if box.entries or box.continue_due or command.keep_ms or command.copies_ms:
        return True
    name = command.event.name
    return any(name in head_and_plan(builder, contents, run)[1].waits for run in box.runs)


def _entry(
    builder: DecisionBuilder, contents: Contents, box: Mailbox, command: c.Deliver, size: int, started: bool
) -> Entry:
    """The entry of an event that arrives. It is kept as long as the most patient wait says, of the versions that
    ingress knew and of those that have open runs."""
    keep_ms, copies_ms = command.keep_ms, command.copies_ms
    for run in box.runs:
        _, plan = head_and_plan(builder, contents, run)
        keeps = plan.keeps.get(command.event.name)
        if keeps is not None:
            keep_ms = max(keep_ms, keeps.original_ms)
            copies_ms = max(copies_ms, keeps.copies_ms)
    return Entry(
        offset=builder.offset,
        name=command.event.name,
        at_ms=builder.now_ms,
        size=size,
        until_ms=builder.now_ms + keep_ms if keep_ms else None,
        copies_until_ms=builder.now_ms + copies_ms if copies_ms else None,
        taken="start" if started else "",
    )


def _note_stopping(box: Mailbox, run: RunBuilder, offsets: list[int]) -> None:
    for offset in offsets:
        entry = box.entries[offset]
        if entry.name in run.plan.waits:
            miss = outcomes.nearer(entry.miss, Miss("stopping", run.head.run))
            box.entries[offset] = replace(entry, miss=miss)


def _duplicate(builder: DecisionBuilder, command: c.Deliver, reason: str) -> Verdict:
    outcomes.count(builder, command.definition, command.event.name, "duplicate", reason)
    return Verdict("duplicate", reason)


def _not_taken(
    builder: DecisionBuilder, box: Mailbox, event: c.Event, entry: Entry, outcome: str, refused: str
) -> Verdict:
    """Count and publish what nobody took."""
    if outcome == "overflow":
        outcomes.count(builder, box.definition, event.name, outcome)
        limits = builder.limits
        text = (
            f"The mailbox of {box.definition} for this key is full: it keeps at most {limits.kept_events} events of "
            f"together {limits.mailbox_bytes} bytes. Shorten `keep`, or use a narrower key; then send the event again."
        )
        builder.effects.append(DeadLetter("overflow", text))
        return Verdict("dead", "overflow")
    miss = entry.miss or (outcomes.NO_WAIT if box.runs else outcomes.NO_RUN)
    reason = refused or miss.reason
    if refused == "run_open":
        miss = Miss(refused, next(iter(box.runs)))
    outcomes.count(builder, box.definition, event.name, outcome, reason)
    outcomes.publish(builder, box.name, event, entry, outcome, reason, miss)
    return Verdict("rejected", refused or outcome)
