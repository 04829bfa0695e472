"""Bugs planted in the protocol, one for each sentence of the laws that keeps it out. Each lives in tests alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamflow.engine.commands import Command, CompleteAttempt, FailAttempt, StartRun, SuspendAttempt
from streamflow.engine.decide import decide
from streamflow.engine.effects import DeadLetter
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import encode_record
from streamflow.engine.state import OWN, Counts, Own
from streamflow.errors import OperationError
from streamflow.simulation.log import RUNS, Outgoing, Stored
from streamflow.simulation.worker import Partition, Worker
from streamflow.wire.tasks import source_header, source_of
from tests.property.protocol import Protocol, a_mutant


def with_counts(own: Own, counts: Counts) -> Own:
    return Own(own.applied, own.time_ms, counts, own.reasons, own.watermarks, own.parked, own.topic_id)


class StoreBeforeTransaction(Partition):
    """Law 3: the store is written before the transaction."""

    def capture(self) -> None:
        super().capture()
        assert self.cut is not None
        self.store.write(self.cut.records)


class OutputsNotAwaited(Partition):
    """Law 3: a checkpoint commits while its outputs are still queued."""

    @property
    def acknowledged(self) -> bool:
        return True


class OverlayDropped(Partition):
    """Law 3: after the store is written, memory forgets also what changed since the capture."""

    def save(self) -> None:
        super().save()
        self.overlay.dirty.clear()


class LiveValues(Partition):
    """Law 3: a transaction takes the values of its moment, not those of the capture."""

    def commit(self) -> None:
        cut = self._captured()
        live = {key: self.overlay.dirty.get(key, self.overlay.saving[key]) for key in cut.records}
        cut.records = {key: None if record is None else encode_record(record) for key, record in live.items()}
        super().commit()


class LabelIsLive(Partition):
    """Law 3: the input offset of a transaction is that of its moment."""

    def commit(self) -> None:
        self._captured().applied = self.applied
        super().commit()


class NotContiguous(Partition):
    """Law 4: a batch is applied wherever it begins."""

    def _contiguous(self, records: Sequence[Stored]) -> Sequence[Stored]:
        return records


class HolesIgnored(Partition):
    """Law 4: overlaps are trimmed, but a hole is not answered by a seek."""

    def _contiguous(self, records: Sequence[Stored]) -> Sequence[Stored]:
        return [record for record in records if record.offset > self.applied]


class NotFenced(Partition):
    """Law 4: the changelog takes transactions of whoever comes."""

    def commit(self) -> None:
        self.epoch = self.changelog.epoch
        super().commit()


class FencedTooLate(Partition):
    """Law 4: the state is restored first, and then earlier owners are fenced."""

    def open_further(self) -> None:
        if not hasattr(self, "overlay"):
            self.restore()
            self.open = False
        else:
            self.fence()
            self.open = True


class CountsInMemory(Partition):
    """Law 5: counts belong to the process."""

    counts = Counts()

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        decision = super()._decide(with_counts(own, self.counts), command, record)
        self.counts = decision.changes[OWN].counts
        return decision


class UnsortedMapping(Partition):
    """Law 2: a mapping is written in the order that this process has it in."""

    def _queue(self, decision: Decision, record: Stored, trace: str | None) -> None:
        before = len(self.outbox)
        super()._queue(decision, record, trace)
        for place in range(before, len(self.outbox)):
            output = self.outbox[place]
            if output.topic == RUNS and self.worker.name == "b":
                value = msgspec.json.encode(dict(reversed(msgspec.json.decode(output.value or b"").items())))
                self.outbox[place] = Outgoing(output.topic, output.partition, output.key, value, output.headers)


class SeqDropped(Partition):
    """A transition is not sent."""

    def _queue(self, decision: Decision, record: Stored, trace: str | None) -> None:
        if len(decision.transitions) > 2:
            decision.transitions.pop(1)
        super()._queue(decision, record, trace)


class OwnClock(Partition):
    """Law 1: now is the worker's clock."""

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        return super()._decide(own, command, record._replace(timestamp_ms=self.worker.now_ms))


class NewestDefinition(Partition):
    """Law 7: a start takes the newest version that this worker has read."""

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        if isinstance(command, StartRun):
            served = [live for live in self.worker.definitions._log.published() if live.plan.name == command.definition]
            newest = max(
                (live for live in served if live.at < self.worker.definitions.position),
                key=lambda live: live.at,
                default=None,
            )
            if newest is not None:
                start = msgspec.structs.replace(command.start, sha=newest.plan.sha, at=newest.at)
                command = msgspec.structs.replace(command, start=start)
        return super()._decide(own, command, record)


class ContentNotAwaited(Partition):
    """Law 7: a start is decided before the worker has read what it names."""

    def _has_content(self, command: StartRun) -> bool:
        return True

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        if isinstance(command, StartRun) and not super()._has_content(command):
            decision = decide(
                self.overlay, _Nothing(), own, command, record.timestamp_ms, record.offset, self.worker.limits
            )
            assert any(isinstance(effect, DeadLetter) for effect in decision.effects) or decision.outcome != "dead"
            return decision
        return super()._decide(own, command, record)


class _Nothing:
    def content(self, start: Any) -> None:
        return None

    def plan(self, sha: str, content: str) -> Any:
        raise AssertionError("no content, no plan")


class TimerSentOnce(Partition):
    """Section 4: a timer that was refused as early is not sent again."""

    def _note(self, command: Command | None, decision: Decision) -> None:
        kept = dict(self.fired)
        super()._note(command, decision)
        if decision.reason == "early":
            self.fired = kept


class TimerEarly(Partition):
    """Section 4: a timer fires when its host thinks that it is time."""

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        due = getattr(command, "due_ms", 0)
        return super()._decide(own, command, record._replace(timestamp_ms=max(due, record.timestamp_ms)))


class StoreOfAnyAge(Partition):
    """Section 4: a local store is used however old it is."""

    def _too_old(self, age_ms: int) -> bool:
        return False


class TombstonesNotWritten(Partition):
    """Section 4: what is deleted stays in the changelog."""

    def commit(self) -> None:
        cut = self._captured()
        cut.records = {key: value for key, value in cut.records.items() if value is not None}
        super().commit()


class RestoreGoesOnBehind(Partition):
    """Law 4: reading begins at the committed offset as it was when the partition was given, before the earlier owner
    was fenced."""

    def __init__(self, number: int, worker: Worker) -> None:
        super().__init__(number, worker)
        self._committed = self.changelog.committed

    def restore(self) -> None:
        super().restore()
        self.position = self._committed

    _contiguous = NotContiguous._contiguous


class ReopenedWithoutRestore(Partition):
    """Law 4: a fenced owner takes a new producer and goes on with its memory."""

    def commit(self) -> None:
        try:
            super().commit()
        except OperationError:
            self.closed, self.open = False, True
            self.fence()
            super().commit()


class TasksNotCounted(Partition):
    """Law 2: all tasks of a decision have one place in it, so a worker takes the second for a copy of the first."""

    def _queue(self, decision: Decision, record: Stored, trace: str | None) -> None:
        before = len(self.outbox)
        super()._queue(decision, record, trace)
        for place in range(before, len(self.outbox)):
            output = self.outbox[place]
            if output.topic.startswith("tasks."):
                source = source_of(output.headers)
                assert source is not None
                self.outbox[place] = output._replace(headers=(source_header(source._replace(nth=0)),))


class AnyAttempt(Partition):
    """Law 5: a result is taken for the attempt that is pending, whichever it was for."""

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        if isinstance(command, CompleteAttempt | FailAttempt):
            head = self.overlay.get(f"run/{command.run}")
            state = (
                head.steps.get(command.address)
                if head and command.item is None
                else self.overlay.get(f"item/{command.run}/{command.address}/{command.item}")
            )
            if state is not None and state.attempt:
                command = msgspec.structs.replace(command, attempt=state.attempt)
        return super()._decide(own, command, record)


class SuspendedNotDisarmed(Partition):
    """Law 3: the timer of an attempt that was handed over stays armed beside the new one."""

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        decision = super()._decide(own, command, record)
        if isinstance(command, SuspendAttempt):
            for key in [key for key, record in decision.changes.items() if record is None and key.startswith("timer/")]:
                del decision.changes[key]
        return decision


OWNERS = (
    "owner_changes",
    "opens_further",
    "opens_further",
    "all_take",
    "one_worker_checkpoints_further",
    "one_worker_checkpoints_further",
)
CRASHES = ("crashes", "owner_opens", "all_take", "all_checkpoint_further")
TIMERS = ("all_fire", "time_passes", "ingress_tells_watermarks")
STALE = ("fetches_but_waits", "takes_what_waited", "one_takes")

STORIES: dict[type[Partition], tuple[str, ...]] = {
    StoreBeforeTransaction: CRASHES,
    OutputsNotAwaited: CRASHES,
    OverlayDropped: (),
    LiveValues: ("all_take",),
    LabelIsLive: ("all_take",),
    NotContiguous: STALE,
    HolesIgnored: STALE,
    NotFenced: OWNERS,
    FencedTooLate: OWNERS,
    ReopenedWithoutRestore: OWNERS,
    CountsInMemory: CRASHES,
    UnsortedMapping: OWNERS,
    SeqDropped: (),
    OwnClock: (*CRASHES, *TIMERS),
    NewestDefinition: ("new_version", "reads_definitions", "ingress_reads_all", "all_take"),
    ContentNotAwaited: ("new_version", "owner_opens", "ingress_reads_all", "all_take"),
    TimerSentOnce: TIMERS,
    TimerEarly: TIMERS,
    StoreOfAnyAge: ("owner_changes", "time_passes", "time_passes", "deletions_expire"),
    TombstonesNotWritten: ("time_passes",),
    RestoreGoesOnBehind: OWNERS,
    TasksNotCounted: (),
    AnyAttempt: ("an_answer_comes_late_or_again", "time_passes"),
    SuspendedNotDisarmed: CRASHES,
}


def dropped(self: Protocol, partition: Partition) -> None:
    """Law 3: a failed checkpoint is forgotten, and work goes on."""
    partition.overlay.saved()
    partition.cut = None


MUTANTS: dict[str, tuple[type[Protocol], tuple[str, ...]]] = {
    kind.__name__: (a_mutant(kind), story) for kind, story in STORIES.items()
} | {
    "FailedCheckpointDropped": (
        a_mutant(Partition, fail_checkpoint=dropped),
        ("transactions_fail", "all_checkpoint_further"),
    )
}
