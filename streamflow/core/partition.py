"""One partition of `commands` without I/O: what it decides, what it sends, when it fires timers, and what a checkpoint
holds. Its host fetches records, sends outputs, commits transactions and writes the store, and decides nothing.

    begin                               after the restore: whether the partition can be served, and from which offset
    trim, judge, take                   a fetched batch: trimmed, checked for holes, decided record by record
    outputs, acknowledged               what to send, and what has arrived
    fire                                commands for timers that are due
    emitted                             events for users' topics
    capture, saved                      a checkpoint, with the steps in between on what `capture` returns
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from streamflow.core.aside import aside_verdict, stops_partition, undecidable_record, unpublished_start
from streamflow.core.awaited_events import AwaitedEvents
from streamflow.core.checkpoint import Checkpoint
from streamflow.core.cut import batches_of, whole_cut
from streamflow.core.emitted_events import EmittedEvents
from streamflow.core.gap_check import Verdict, judge
from streamflow.core.hot_keys import KEY_BYTES, HotKey
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.opening import Skipped, check_opening, input_gap, require_known
from streamflow.core.outbox import Outbox, TopicOf, WriterOf, unsent_of
from streamflow.core.outputs import Output, outputs_of, own_command_output
from streamflow.core.partition_metrics import TIMED_EVERY, PartitionMetrics
from streamflow.core.place import Place
from streamflow.core.reading import Unreadable, read, source_of
from streamflow.core.timers import Timers
from streamflow.core.tracing import Traced, is_traced
from streamflow.engine.commands import AdvanceWatermark, Command, DefinitionRef, FireTimer, start_of
from streamflow.engine.decide import decide
from streamflow.engine.effects import PrintLine, PublishEvent
from streamflow.engine.outcome import Contents, Decision
from streamflow.engine.overlay import Overlay, Store
from streamflow.engine.record_keys import content_key
from streamflow.engine.state import OWN, PartitionState
from streamflow.engine.watermarks import reached_by_all
from streamflow.errors import EngineFault
from streamflow.wire.decoding import Record


class Definitions(Contents, Protocol):
    """Contents and plans, and how far the host has read them."""

    def readable(self, start: DefinitionRef) -> bool:
        """Whether the definitions have been read past the offset that `start` names."""


class PartitionCore:
    """The partition at `place`, over a restored `store`. `printed` gets the lines that steps print, `put_aside` the
    offset, the reason and the error of a command that could not be decided; `topic_of` names the topic of an emitted
    event, `writer_of` how it is written; `clock` measures, in seconds, and never goes back; `traced` gets each decision
    that is in a recorded trace; `hot_key` gets a key that has most of the commands, if there are `metrics`.

    `failed_at` is the offset of a command that this process has already failed to decide for lack of memory. The
    memory of it is the process's, not the state's: a process that raised MemoryError lives on and opens the partition
    again itself, and writing down each offset before it is decided would cost a write for every command. A worker that
    gets the partition meanwhile fails once too, and then puts the command aside as well."""

    def __init__(
        self,
        place: Place,
        store: Store,
        definitions: Definitions,
        *,
        now_ms: int,
        printed: Callable[[PrintLine], None] = lambda line: None,
        put_aside: Callable[[int, str, Exception], None] = lambda offset, reason, error: None,
        topic_of: TopicOf,
        writer_of: WriterOf = lambda event: None,
        failed_at: int | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        traced: Traced | None = None,
        hot_key: Callable[[HotKey], None] = lambda found: None,
    ) -> None:
        self.place = place
        self.overlay = Overlay(store)
        self.timers = Timers(self.overlay, now_ms)
        self.topic_of = topic_of
        self.outputs: deque[tuple[int, Output]] = deque()  # to be sent in this order, each with its interval
        self.checkpoint: Checkpoint | None = None
        self.interval = 0  # between which captures outputs are made
        self.metrics = metrics or NoMetrics()
        self._measured = PartitionMetrics(self.overlay, place.number, metrics, hot_key) if metrics is not None else None
        self._traced = traced
        self._taken = 0  # records, by which some are timed
        self.emitted = EmittedEvents(
            Outbox(store, topic_of, clock(), writer_of),
            partition=place.number,
            queue=self._queue,
            letter_bytes=place.limits.record_bytes,
            metrics=self.metrics,
            clock=clock,
        )
        self._awaited = AwaitedEvents(self.overlay, definitions)
        self._definitions = definitions
        self._printed = printed
        self._report = put_aside
        self._failed_at = failed_at
        self._clock = clock
        self.unsaved = 0  # commands since the last cut, without watermarks: those alone are not worth a checkpoint
        self._unacknowledged: dict[int, int] = {}  # outputs by interval
        self._cut_number = whole_cut(store)
        self._aside_in: int | None = None  # interval in which a command was put aside
        self._captured = 0  # intervals that the last cut holds
        self._skips: Mapping[int, str] = {}  # commands that a person lets us pass over, by offset, with the reason

    @property
    def applied(self) -> int:
        """The offset of the last command in the state."""
        return self.overlay.own.applied

    # -- opening

    def begin(self, first: int, skips: Mapping[int, str] | None = None) -> Skipped | None:
        """Check that the state can be served. `first` is the oldest offset that `commands` still has, `skips` are the
        commands that a person lets us pass over, by offset, with the reason. Returns what was deleted and is passed
        over. Raises EngineFault when the topic is another one, a revision is unknown, or commands are missing."""
        self._skips = dict(skips or {})
        skipped = check_opening(self.overlay.own, self.place, first, self._skips)
        self.emitted.refuse_unbound()
        if skipped is not None:
            self.overlay.apply({OWN: msgspec.structs.replace(self._own(), applied=skipped.next - 1)})
            self.unsaved += 1
        return skipped

    def _own(self) -> PartitionState:
        own = self.overlay.own
        if own.topic_id:
            return own
        return msgspec.structs.replace(own, topic_id=self.place.topic_id, partition=self.place.number)

    # -- input

    def judge(self, first: int, sought: int | None, log_begins: int) -> Verdict:
        """What to do with a batch that begins at `first`; it was fetched from `sought` if it is the first one after a
        seek. Raises EngineFault when the log begins after the offset that is next."""
        expected = self.applied + 1
        if first > expected and log_begins > expected:
            raise input_gap(self.place, expected, log_begins)
        return judge(expected, first, sought)

    def is_next(self, first: int) -> bool:
        """Whether a batch that begins at `first` continues or overlaps what was taken, so that `judge` need not be
        asked."""
        return first <= self.applied + 1

    def trim(self, records: Sequence[Any]) -> Sequence[Any]:
        """The records of a batch that are new. Each has an `offset`."""
        applied = self.applied
        if records and records[0].offset <= applied:
            return [record for record in records if record.offset > applied]
        return records

    @property
    def must_save(self) -> bool:
        """Whether nothing may be decided before a checkpoint is saved. A command was put aside because this process
        could not decide it, or because a person passed it over. Another process might decide it, and what follows would
        then differ from what this one has sent."""
        return self._aside_in is not None

    def take(self, record: Record, now_ms: int, *, unpublished: bool = False) -> DefinitionRef | None:
        """Decide the next record; its outputs are queued. Returns None, or, without having decided, the start that
        names definitions the host has still to read: read them and take the record again, with `unpublished` if there
        are none at that offset. Raises MemoryError for the first time that a command needs too much memory."""
        if self.must_save:
            raise EngineFault(
                "verdict_unsaved",
                "A record was read before the checkpoint that has to follow a skipped command. Report this.",
                partition=self.place.number,
                offset=record.offset,
            )
        is_timed = self._measured is not None and self._taken % TIMED_EVERY == 0
        began = self._clock() if is_timed or self._traced is not None else 0.0
        self._taken += 1
        if (reason := self._skips.get(record.offset)) is not None:
            self._pass_over(record, reason, now_ms)
            return None
        own, command, source = self._own(), None, source_of(record.headers)
        try:
            found = read(record.value, self.place, record.headers, source)
            if isinstance(found, Unreadable):
                command = found.command
                decision = undecidable_record(own, record, found.reason, found.message, command)
            else:
                command = found
                start = start_of(command)
                missing = self._missing(start, record.offset) if start is not None else None
                if missing is None:
                    decision = self._decide(own, command, record)
                elif unpublished:
                    self._aside_in = self.interval  # the topic may have that offset some day
                    decision = unpublished_start(own, record, command, missing)
                else:
                    return missing
            outputs = outputs_of(decision, record, command, self.place, source)
            events = [unsent_of(effect) for effect in decision.effects if isinstance(effect, PublishEvent)]
        except Exception as error:
            if stops_partition(error):
                raise
            decision = self._put_aside(own, command, record, error)
            outputs, events = outputs_of(decision, record, command, self.place), []
        self._accept(decision, command, record, now_ms, began if is_timed else None)
        self._queue(outputs)
        for nth, event in enumerate(events):
            self.emitted.outbox.add(record.offset, nth, event, self._clock())
        if events:
            self.emitted.refuse_unbound()
        if (  # the second line saves a call: most commands are in no trace
            self._traced is not None
            and (decision.traces or getattr(command, "trace", None) is not None)
            and is_traced(command, decision)
        ):
            self._traced(record, command, decision, self._clock() - began)
        return None

    def _missing(self, start: DefinitionRef, offset: int) -> DefinitionRef | None:
        """The start in the command at `offset`, if its definitions are still to be read."""
        require_known(start.engine_revision, self.place, offset)
        if self._definitions.readable(start) or self.overlay.get(content_key(start.sha256)) is not None:
            return None
        return start

    def _pass_over(self, record: Record, reason: str, now_ms: int) -> None:
        """Take a command that a person passes over. Nothing of it is decided, whatever it is; if it can be read, a
        parent that waits for what it would have started is answered."""
        own, command = self._own(), None
        message = f"An operator has skipped this command: {reason}. Replay this record if it is still needed."
        try:
            found = read(record.value, self.place)
            command = found.command if isinstance(found, Unreadable) else found
            decision = undecidable_record(own, record, "skipped", message, command)
            outputs = outputs_of(decision, record, command, self.place)
        except Exception as error:  # noqa: BLE001 - what it is about may be just this
            self._report(record.offset, "skipped", error)
            decision = undecidable_record(own, record, "skipped", message)
            outputs = outputs_of(decision, record, None, self.place)
        self._aside_in = self.interval
        self.metrics.count("set_aside", reason="skipped")
        self._accept(decision, command, record, now_ms, None)
        self._queue(outputs)

    def _decide(self, own: PartitionState, command: Command, record: Record) -> Decision:
        return decide(
            self.overlay,
            self._definitions,
            own,
            command,
            record.timestamp_ms,
            record.offset,
            self.place.limits,
            source_of(record.headers),
        )

    def _put_aside(self, own: PartitionState, command: Command | None, record: Record, error: Exception) -> Decision:
        """The decision on a record that cannot be decided: a bug in a pure function, or a lack of memory that is there
        again after the partition was closed and opened, would fail every time. One command is put aside, not all runs
        of the partition."""
        reason, message = aside_verdict(error, command, record.offset, self._failed_at)
        self._aside_in = self.interval
        self.metrics.count("set_aside", reason=reason)
        self._report(record.offset, reason, error)
        return undecidable_record(own, record, reason, message, command)

    def _accept(
        self, decision: Decision, command: Command | None, record: Record, now_ms: int, began: float | None
    ) -> None:
        self.overlay.apply(decision.changes)
        self.timers.note(decision.changes)
        for effect in decision.effects:
            if isinstance(effect, PrintLine):
                self._printed(effect)
        if self._measured is not None:
            self.metrics.decided(decision, None if began is None else self._clock() - began)
            self._measured.keys.append(record.key[:KEY_BYTES] if record.key else None)
            if decision.tallied:
                self._measured.tallied.update(decision.tallied)
        self.unsaved += not isinstance(command, AdvanceWatermark)
        if isinstance(command, FireTimer):
            self._timer_decided(command, decision.reason, now_ms)
        elif isinstance(command, AdvanceWatermark):
            self.timers.unblock(lambda events: reached_by_all(self.overlay.own.watermarks, events))

    # -- timers

    def fire(self, now_ms: int) -> int:
        """Queue a command for every timer that is due at `now_ms`; how many."""
        if self._measured is not None:
            self._measured.look(now_ms)
        commands = self.timers.due(now_ms, self._awaited.blocking)
        self._queue([own_command_output(command, self.place) for command in commands])
        return len(commands)

    def _timer_decided(self, command: FireTimer, reason: str, now_ms: int) -> None:
        self.timers.decided(command)
        early_ms = command.due_ms - self.overlay.own.time_ms
        if reason == "early":  # the host's clock is ahead of the broker's
            self.timers.again(command, now_ms, max(1, early_ms))
        elif reason == "behind":
            self.timers.block(command, self._awaited.of(command))
        elif not reason:
            self.metrics.observe("timer_lateness_seconds", -early_ms / 1000)

    # -- outputs

    def _queue(self, outputs: Sequence[Output]) -> None:
        if outputs:
            interval = self.interval
            self.outputs.extend([(interval, output) for output in outputs])
            self._unacknowledged[interval] = self._unacknowledged.get(interval, 0) + len(outputs)

    def acknowledged(self, interval: int, count: int) -> None:
        """The broker has acknowledged `count` outputs that were made in `interval`."""
        self._unacknowledged[interval] -= count
        if not self._unacknowledged[interval]:
            del self._unacknowledged[interval]

    # -- checkpoints

    @property
    def dirty(self) -> bool:
        """Whether a checkpoint would write anything."""
        return OWN in self.overlay.dirty or self.emitted.outbox.dirty

    def capture(self) -> Checkpoint | None:
        """The cut of now, to be carried out; None if nothing has changed."""
        if not self.dirty:
            return None
        if self.checkpoint is not None:
            raise RuntimeError("a checkpoint is still being carried out")
        interval, self.unsaved = self.interval, 0
        self.interval = self._captured = interval + 1
        if self._measured is not None:
            self._measured.capture()
        self._cut_number += 1
        changes = {**self.overlay.capture(), **self.emitted.outbox.capture()}
        self.checkpoint = Checkpoint(
            self.applied,
            batches_of(changes, self._cut_number, self.place.batch_bytes),
            lambda: sum(count for made, count in self._unacknowledged.items() if made <= interval),
        )
        self.metrics.observe("checkpoint_bytes", self.checkpoint.size)
        return self.checkpoint

    def saved(self) -> None:
        """The checkpoint is in the changelog and in the store."""
        self.overlay.saved()
        if self._measured is not None:
            self._measured.saved()
        self.checkpoint = None
        if self._aside_in is not None and self._aside_in < self._captured:
            self._aside_in = None
