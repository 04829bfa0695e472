"""Bugs planted in the protocol, one for each sentence of the laws that keeps it out. Each lives in tests alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streamflow.core.checkpoint import Checkpoint
from streamflow.core.gap_check import Verdict
from streamflow.core.outputs import Output
from streamflow.core.partition import PartitionCore
from streamflow.engine.commands import (
    Command,
    CompleteAttempt,
    DefinitionRef,
    Deliver,
    FailAttempt,
    StartRun,
    SuspendAttempt,
    start_of,
)
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import META, encode_record
from streamflow.engine.state import OWN, Counts, PartitionState
from streamflow.errors import OperationError
from streamflow.simulation.log import RUNS, Stored
from streamflow.simulation.worker import Partition, Worker
from streamflow.wire.decoding import Record
from streamflow.wire.tasks import source_header, source_of
from tests.property.outbox_mutants import (
    EventsForgotten,
    EventsNotDeleted,
    EventsNotKept,
    OutboxBehind,
    RefusedForgotten,
)
from tests.property.protocol import Protocol, a_mutant
from tests.property.timer_mutants import TimerSentOnce, TimersOfADowntime, TimerStaysBlocked


def with_counts(own: PartitionState, counts: Counts) -> PartitionState:
    return msgspec.structs.replace(own, counts=counts)


class StoreBeforeTransaction(Partition):
    """Law one-cut: the store is written before the transaction."""

    def capture(self) -> None:
        super().capture()
        assert self.cut is not None
        self.store.write(records_of(self.cut))


def records_of(cut: Checkpoint) -> dict[str, bytes | None]:
    return {key: value for batch in cut._batches for key, value in batch}


def put_records(cut: Checkpoint, change: Callable[[str, bytes | None], bytes | None]) -> None:
    cut._batches = [
        [(key, value if key.startswith(META) else change(key, value)) for key, value in batch] for batch in cut._batches
    ]


class OutputsNotAwaited(Partition):
    """Law one-cut: a checkpoint commits while its outputs are still queued."""

    def capture(self) -> None:
        super().capture()
        if self.cut is not None:
            self.cut._unacknowledged = lambda: 0


class OutputsOfLaterCutsOnly(Partition):
    """Law one-cut: a checkpoint waits only for the outputs of its own interval."""

    def capture(self) -> None:
        super().capture()
        core = self.core
        if self.cut is not None:
            self.cut._unacknowledged = lambda: core._unacknowledged.get(core.interval, 0)


class OverlayDropped(Partition):
    """Law one-cut: after the store is written, memory forgets also what changed since the capture."""

    def save(self) -> None:
        super().save()
        self.overlay.dirty.clear()


class LiveValues(Partition):
    """Law one-cut: a transaction takes the values of its moment, not those of the capture."""

    def commit(self) -> None:
        def live(key: str, value: bytes | None) -> bytes | None:
            record = self.overlay.dirty.get(key, self.overlay.saving[key])
            return None if record is None else encode_record(record)

        put_records(self._captured(), live)
        super().commit()


class LabelIsLive(Partition):
    """Law one-cut: the input offset of a transaction is that of its moment."""

    def commit(self) -> None:
        self._captured().applied = self.applied
        super().commit()


class HalfCommitted(Partition):
    """Law one-cut: a transaction is committed without the batch that the broker refused."""

    def commit(self) -> None:
        cut, refuses = self._captured(), self.changelog.refuses
        taken = [batch for number, batch in enumerate(cut._batches) if number not in refuses]
        refuses.clear()
        cut._batches = taken
        super().commit()


class AnyBatch(PartitionCore):
    def trim(self, records: Sequence[Any]) -> Sequence[Any]:
        return records

    def judge(self, first: int, sought: int | None, log_begins: int) -> Verdict:
        return Verdict.TAKE


class NotContiguous(Partition):
    """Law contiguous-input: a batch is applied wherever it begins."""

    kind = AnyBatch


class TrimOnly(PartitionCore):
    def judge(self, first: int, sought: int | None, log_begins: int) -> Verdict:
        return Verdict.TAKE


class HolesIgnored(Partition):
    """Law contiguous-input: overlaps are trimmed, but a hole is not answered by a seek."""

    kind = TrimOnly


class NotFenced(Partition):
    """Law fenced-owner: the changelog takes transactions of any owner."""

    def commit(self) -> None:
        self.epoch = self.changelog.epoch
        super().commit()


class FencedTooLate(Partition):
    """Law fenced-owner: the state is restored first, and then earlier owners are fenced."""

    def open_further(self) -> None:
        if not hasattr(self, "core"):
            self.restore()
            self.open = False
        else:
            self.fence()
            self.open = True


class CountsOfProcess(PartitionCore):
    counts = Counts()

    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        decision = super()._decide(with_counts(own, self.counts), command, record)
        self.counts = decision.changes[OWN].counts
        return decision


class CountsInMemory(Partition):
    """Law one-outcome: counts belong to the process."""

    kind = CountsOfProcess


def altered(partition: Partition, before: int, change: Callable[[Output], Output]) -> None:
    """Change the outputs that were queued after the first `before`."""
    queued = partition.core.outputs
    for place in range(before, len(queued)):
        interval, output = queued[place]
        queued[place] = (interval, change(output))


class UnsortedMapping(Partition):
    """Law identical-replay: a mapping is written in the order that this process has it in."""

    def take(self, records: Sequence[Stored]) -> int:
        before = len(self.core.outputs)
        taken = super().take(records)
        if self.worker.name == "b":
            altered(self, before, _reversed)
        return taken


def _reversed(output: Output) -> Output:
    if output.topic != RUNS:
        return output
    value = msgspec.json.encode(dict(reversed(msgspec.json.decode(output.value or b"").items())))
    return msgspec.structs.replace(output, value=value)


class DropsSecond(PartitionCore):
    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        decision = super()._decide(own, command, record)
        if len(decision.transitions) > 2:
            decision.transitions.pop(1)
        return decision


class SeqDropped(Partition):
    """A transition is not sent."""

    kind = DropsSecond


class OwnTime(PartitionCore):
    now_ms = 0

    def take(self, record: Record, now_ms: int, *, unpublished: bool = False) -> DefinitionRef | None:
        self.now_ms = now_ms
        return super().take(record, now_ms, unpublished=unpublished)

    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        return super()._decide(own, command, record._replace(timestamp_ms=self.now_ms))


class OwnClock(Partition):
    """Law input-is-commands: now is the worker's clock."""

    kind = OwnTime


class Newest(PartitionCore):
    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        if isinstance(command, StartRun | Deliver) and command.start is not None:
            definitions: Any = self._definitions
            newest = max(
                (
                    live
                    for live in definitions._log.published()
                    if live.plan.name == command.definition and live.at < definitions.position
                ),
                key=lambda live: live.at,
                default=None,
            )
            if newest is not None:
                start = msgspec.structs.replace(command.start, sha256=newest.plan.sha, log_offset=newest.at)
                command = msgspec.structs.replace(command, start=start)
        return super()._decide(own, command, record)


class NewestDefinition(Partition):
    """Law pinned-content: a start takes the newest version that this worker has read."""

    kind = Newest


class NotAwaited(PartitionCore):
    def _missing(self, start: DefinitionRef, offset: int) -> DefinitionRef | None:
        return None

    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        start = start_of(command)
        if start is not None and super()._missing(start, record.offset) is not None:
            definitions, self._definitions = self._definitions, _Nothing()
            try:
                return super()._decide(own, command, record)
            finally:
                self._definitions = definitions
        return super()._decide(own, command, record)


class ContentNotAwaited(Partition):
    """Law pinned-content: a start is decided before the worker has read what it names."""

    kind = NotAwaited


class _Nothing:
    def readable(self, start: Any) -> bool:
        return True

    def content(self, start: Any) -> None:
        return None

    def plan(self, sha: str, content: Callable[[], str]) -> Any:
        raise AssertionError("no content, no plan")


class AtItsTime(PartitionCore):
    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        due = getattr(command, "due_ms", 0)
        return super()._decide(own, command, record._replace(timestamp_ms=max(due, record.timestamp_ms)))


class TimerEarly(Partition):
    """A timer fires when its host thinks that it is time."""

    kind = AtItsTime


class StoreOfAnyAge(Partition):
    """A local store is used however old it is."""

    def _too_old(self, age_ms: int) -> bool:
        return False


class TombstonesNotWritten(Partition):
    """What is deleted stays in the changelog."""

    def commit(self) -> None:
        cut = self._captured()
        cut._batches = [[(key, value) for key, value in batch if value is not None] for batch in cut._batches]
        super().commit()


class RestoreGoesOnBehind(Partition):
    """Law contiguous-input: reading begins at the committed offset as it was when the partition was given, before the
    earlier owner was fenced."""

    kind = AnyBatch

    def __init__(self, number: int, worker: Worker) -> None:
        super().__init__(number, worker)
        self._committed = self.changelog.committed

    def restore(self) -> None:
        super().restore()
        self.position = self._committed


class ReopenedWithoutRestore(Partition):
    """Law fenced-owner: a fenced owner takes a new producer and goes on with its memory."""

    def commit(self) -> None:
        try:
            super().commit()
        except OperationError:
            self.closed, self.open = False, True
            self.fence()
            super().commit()


class TasksNotCounted(Partition):
    """Law identical-replay: all tasks of a decision have one place in it, so a worker takes the second for a copy of
    the first."""

    def take(self, records: Sequence[Stored]) -> int:
        before = len(self.core.outputs)
        taken = super().take(records)
        altered(self, before, _first_of_all)
        return taken


def _first_of_all(output: Output) -> Output:
    source = source_of(output.headers) if output.topic.startswith("tasks.") else None
    if source is None:
        return output
    return msgspec.structs.replace(output, headers=(source_header(source._replace(nth=0)),))


class TakesAnyAttempt(PartitionCore):
    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
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


class AnyAttempt(Partition):
    """Law one-outcome: a result is taken for the attempt that is pending, whichever it was for."""

    kind = TakesAnyAttempt


class KeepsTimers(PartitionCore):
    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        decision = super()._decide(own, command, record)
        if isinstance(command, SuspendAttempt):
            for key in [key for key, record in decision.changes.items() if record is None and key.startswith("timer/")]:
                del decision.changes[key]
        return decision


class SuspendedNotDisarmed(Partition):
    """Law one-cut: the timer of an attempt that was handed over stays armed beside the new one."""

    kind = KeepsTimers


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
DOWN = ("a_users_topic_takes_nothing", "all_publish", *CRASHES)
STALE = ("fetches_but_waits", "takes_what_waited", "one_takes")

STORIES: dict[type[Partition], tuple[str, ...]] = {
    StoreBeforeTransaction: CRASHES,
    OutputsNotAwaited: CRASHES,
    OutputsOfLaterCutsOnly: CRASHES,
    HalfCommitted: ("a_batch_of_the_next_cut_is_refused", *CRASHES),
    EventsNotKept: DOWN,
    EventsForgotten: DOWN,
    EventsNotDeleted: DOWN,
    OutboxBehind: DOWN,
    RefusedForgotten: ("a_users_topic_refuses_an_event", *DOWN),
    TimersOfADowntime: (*CRASHES, *TIMERS),
    TimerStaysBlocked: TIMERS,
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
    """Law one-cut: a failed checkpoint is forgotten, and work goes on."""
    partition.core.saved()


MUTANTS: dict[str, tuple[type[Protocol], tuple[str, ...]]] = {
    kind.__name__: (a_mutant(kind), story) for kind, story in STORIES.items()
} | {
    "FailedCheckpointDropped": (
        a_mutant(Partition, fail_checkpoint=dropped),
        ("transactions_fail", "all_checkpoint_further"),
    )
}
