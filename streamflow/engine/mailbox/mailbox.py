"""One mailbox within a decision: its open runs and its entries, changed in memory and written when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streamflow.definition.plan import ClausePlan, ExpressionError, StepPlan, WaitPlan
from streamflow.engine.commands import ContinueDelivery
from streamflow.engine.effects import AppendCommand
from streamflow.engine.mailbox import memory, outcomes
from streamflow.engine.mailbox.records import (
    EMPTY,
    Box,
    Entry,
    Mail,
    Memory,
    Miss,
    OpenRun,
    Remembered,
    box_key,
    due_key,
    mail_key,
    mailbox_name,
)
from streamflow.engine.state import RunState, StepState
from streamflow.engine.transitions import WaitSatisfied

if TYPE_CHECKING:
    from streamflow.definition.plan import Plan
    from streamflow.engine.builder import DecisionBuilder, RunBuilder

Opened = Callable[[str], tuple[RunState, "Plan"]]  # the head and the plan of an open run


class Mailbox:
    """The mailbox of `definition` and `key` in a draft. `save` writes what has changed."""

    __slots__ = ("_before", "_mail", "builder", "continue_due", "definition", "entries", "key", "name", "runs")

    def __init__(self, builder: DecisionBuilder, definition: str, key: str) -> None:
        self.builder = builder
        self.definition = definition
        self.key = key
        self.name = mailbox_name(definition, key)
        self._before: Box = builder.get(box_key(self.name)) or EMPTY
        self._mail: dict[int, Mail] = {}
        self.runs: dict[str, OpenRun] = {run.run: run for run in self._before.runs}  # oldest first
        self.entries: dict[int, Entry] = {entry.offset: entry for entry in self._before.entries}  # in arrival order
        self.continue_due = self._before.continue_due

    def save(self) -> None:
        """Write the index, if it has changed."""
        there = self.entries
        runs = tuple([_without_gone(run, there) if run.took else run for run in self.runs.values()])
        box = Box(runs, tuple(there.values()), self.continue_due)
        if box != self._before:
            self.builder.put(box_key(self.name), box if box != EMPTY else None)
            self._before = box

    # -- entries

    def arrive(self, entry: Entry, mail: Mail) -> None:
        """Put in an event; it is written by `keep` only."""
        self.entries[entry.offset] = entry
        self._mail[entry.offset] = mail

    def keep(self, offset: int) -> None:
        """Write the payload of an entry, and when keeping it ends."""
        entry = self.entries[offset]
        self.builder.put(mail_key(self.name, offset), self._mail[offset])
        if (due_ms := entry.due_ms) is not None:
            self.builder.put(due_key(due_ms, self.name, offset), 1)

    def mail(self, offset: int) -> Mail:
        """An entry's event with its identity."""
        found = self._mail.get(offset)
        if found is None:
            found = self._mail[offset] = self.builder.get(mail_key(self.name, offset))
        return found

    def is_full(self, size: int) -> bool:
        """Whether there is no room for another event of `size` bytes."""
        limits, entries = self.builder.limits, self.entries
        kept = sum(entry.size for entry in entries.values()) if entries else 0
        return len(entries) >= limits.kept_events or kept + size > limits.mailbox_bytes

    def took(self, run: str, offset: int) -> bool:
        """Whether `run` has taken the entry, or was started by it."""
        found = self.runs[run]
        return offset == found.start or offset in found.took

    # -- claims

    def claim_for(self, run: RunBuilder, step: StepPlan) -> bool:
        """Let a wait that begins take the oldest entry that it accepts; whether it took one. Nothing is taken while a
        Continue is due, which begins again at the oldest run."""
        assert isinstance(step.work, WaitPlan)
        names = {clause.event for clause in step.work.clauses}
        for entry in tuple(self.entries.values()):
            if self.continue_due:
                return False
            if entry.name in names and self.offer(run, entry, step):
                return True
        return False

    def offer(self, run: RunBuilder, entry: Entry, step: StepPlan) -> bool:
        """Offer an entry to a begun wait; whether the wait took it, or would have if this command might claim more
        (then a Continue is due)."""
        found = self._match(run, entry, step)
        if isinstance(found, ClausePlan):
            if self._may_claim(run, entry):
                self._claim(run, entry, step, found)
            else:
                self.require_continue()
            return True
        self.entries[entry.offset] = replace(entry, miss=outcomes.nearer(entry.miss, found)) if found else entry
        return False

    def _match(self, run: RunBuilder, entry: Entry, step: StepPlan) -> ClausePlan | Miss | None:
        """The clause of a begun wait that accepts an entry, or why none does."""
        work, state, name = step.work, run.head.steps[step.id], run.head.run
        assert isinstance(work, WaitPlan)
        if self.took(name, entry.offset):
            return None
        if entry.taken and work.take == "one":
            return Miss("taken", name, step.id)
        if not self._counts(entry, name, run.head, work, state):
            return Miss("before_since", name, step.id)
        event = self.mail(entry.offset).event
        if state.due_ms is not None and event.limit_time_ms > state.due_ms:
            return Miss("late", name, step.id)
        reason = "where_false"
        for clause in work.clauses:
            if clause.event != entry.name:
                continue
            try:
                where = clause.where
                if where is None or where.holds(run.variables(where, event.data, attributes=event.attributes)):
                    return clause
            except ExpressionError as error:
                reason = f"where_failed:{error.code}"
        return Miss(reason, name, step.id)

    def _counts(self, entry: Entry, name: str, head: RunState, work: WaitPlan, state: StepState | None) -> bool:
        """Whether a wait counts an event: one after its point, or at most `keep` before it. The point is the start of
        the run, or the beginning of the wait."""
        offset, at_ms = self.runs[name].start, head.started_ms
        if work.since == "here":
            assert state is not None
            assert state.since_offset is not None
            offset, at_ms = state.since_offset, state.first_attempt_ms
        return entry.offset > offset or (bool(work.keep_ms) and entry.at_ms + (work.keep_ms or 0) >= at_ms)

    def _may_claim(self, run: RunBuilder, entry: Entry) -> bool:
        builder = self.builder
        return (
            not run.full
            and builder.claims < builder.limits.claims
            and (not builder.claims or builder.claimed_bytes + entry.size <= builder.limits.claimed_bytes)
        )

    def _claim(self, run: RunBuilder, entry: Entry, step: StepPlan, clause: ClausePlan) -> None:
        builder, is_copy, offset = self.builder, step.work.take == "every", entry.offset  # type: ignore[union-attr]
        builder.claims += 1
        builder.claimed_bytes += entry.size
        taken = entry.taken or ("" if is_copy else "one")
        self.entries[offset] = replace(entry, taken=taken, claims=entry.claims + 1)
        open_run = self.runs[run.head.run]
        self.runs[open_run.run] = replace(open_run, took=(*open_run.took, offset))
        mail = self.mail(offset)
        run.record(WaitSatisfied(outcome=clause.id, event=mail.event, offset=offset, is_copy=is_copy), step.id)
        builder.traces.link(run.head.run, mail.trace)

    def require_continue(self) -> None:
        """Have the rest of the claims made by another command."""
        if not self.continue_due:
            self.continue_due = True
            builder = self.builder
            place = f"{builder.partition.topic_id}/{builder.partition.partition}/{builder.offset}"
            command = ContinueDelivery(id=f"deliveries/{place}", definition=self.definition, key=self.key)
            builder.effects.append(AppendCommand(self.key, command))

    # -- what leaves

    def settle(self, opened: Opened, only: int | None = None) -> None:
        """Remove the entries that no run can consume any more: all of them, or `only` one if it is such. Nothing leaves
        while a Continue is due."""
        if self.continue_due:
            return
        for entry in tuple(self.entries.values()) if only is None else (self.entries[only],):
            if not self.is_useful(entry, opened):
                self._remove(entry)

    def is_useful(self, entry: Entry, opened: Opened) -> bool:
        """Whether keeping an entry lasts, or an open run has a wait for it that may still begin."""
        now = self.builder.now_ms
        if entry.copies_until_ms is not None and now <= entry.copies_until_ms:
            return True
        if entry.until_ms is not None and not entry.taken and now <= entry.until_ms:
            return True
        return any(self._is_wanted(entry, *opened(run)) for run in self.runs)

    def _is_wanted(self, entry: Entry, head: RunState, plan: Plan) -> bool:
        if head.stopping is not None or self.took(head.run, entry.offset):
            return False
        for work in _to_begin(head, plan, entry.name):
            if entry.taken and work.take == "one":
                continue
            if work.since == "run" and self._counts(entry, head.run, head, work, None):
                return True
        return False

    def _remove(self, entry: Entry) -> None:
        """An entry's delivery ends: as a start or a claim, or because nobody took it in its time."""
        builder, offset = self.builder, entry.offset
        mail = self.mail(offset)
        del self.entries[offset]
        builder.put(mail_key(self.name, offset), None)
        if (due_ms := entry.due_ms) is not None:
            builder.put(due_key(due_ms, self.name, offset), None)
        outcome = "started" if entry.taken == "start" else "claimed" if entry.claims else "expired"
        reason = ""
        if outcome == "expired":
            miss = entry.miss or (outcomes.NO_WAIT if self.runs else outcomes.NO_RUN)
            reason = miss.reason
            outcomes.publish(builder, self.name, mail.event, entry, outcome, reason, miss)
        known = memory.find(builder, self.definition, self.name, mail.identity)
        record = Remembered(
            outcome=outcome, offset=offset, last=builder.offset, at_ms=builder.now_ms, position=mail.position
        )
        kind: Memory = "trail" if outcome == "expired" else "seen"
        memory.remember(builder, kind, self.definition, self.name, mail.identity, record, known, mail.window_ms)
        outcomes.count(builder, self.definition, entry.name, outcome, reason)

    def erase(self) -> int:
        """Remove all entries, of which nothing more is reported than that they were erased; how many. No run is
        open."""
        builder, entries = self.builder, tuple(self.entries.values())
        for entry in entries:
            builder.put(mail_key(self.name, entry.offset), None)
            if (due_ms := entry.due_ms) is not None:
                builder.put(due_key(due_ms, self.name, entry.offset), None)
            outcome = "started" if entry.taken == "start" else "claimed" if entry.claims else outcomes.ERASED
            outcomes.count(builder, self.definition, entry.name, outcome)
            if outcome == outcomes.ERASED:
                outcomes.publish_erased(builder, self.definition, entry)
        self.entries.clear()
        self._mail.clear()
        self.continue_due = False
        return len(entries)


def _without_gone(run: OpenRun, there: Mapping[int, Entry]) -> OpenRun:
    """A run with what it took of the entries that are still there."""
    took = tuple(offset for offset in run.took if offset in there)
    return run if len(took) == len(run.took) else replace(run, took=took)


def _to_begin(head: RunState, plan: Plan, event: str) -> Iterator[WaitPlan]:
    """The waits for `event` that may still begin in a run: a parked one is retried or skipped by a person."""
    for step in plan.waits.get(event, ()):
        work, state = plan.steps[step].work, head.steps.get(step)
        if isinstance(work, WaitPlan) and (state is None or state.status == "parked"):
            yield work
