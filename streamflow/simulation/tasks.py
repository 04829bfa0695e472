"""The task workers of a simulation: operations as functions, attempts that a test answers by hand.

An operation that has a function is done as soon as its task is there. The tasks of others stay open until they are
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.core.offset_tracker import OffsetTracker, Outcome, Seen
from streamflow.core.outputs import TASKS
from streamflow.engine.commands import Command, CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.tasks import CancelTask, Task
from streamflow.errors import OperationError
from streamflow.ids import partition_of
from streamflow.simulation.log import COMMANDS, Log, Outgoing
from streamflow.wire.codec import encode_command
from streamflow.wire.lane_position import LanePosition
from streamflow.wire.tasks import decode_task, source_of


@dataclass(frozen=True, slots=True)
class Handed:
    """What a function returns for an attempt that another system will answer, within `for_ms`."""

    for_ms: int


@dataclass(frozen=True, slots=True)
class Silent:
    """What a function returns for an attempt that is never answered; nor when it is cancelled, if it is `lost`."""

    lost: bool = False


Function = Callable[[Any, Task], Any]  # input, task -> output, Handed or Silent; raises OperationError


class Tasks:
    """All task workers. `calls` are the tasks that were done, copies left out; `open` those that wait for an answer, by
    id; `cancelled` are the ids of those that are no longer needed."""

    def __init__(self, log: Log, operations: Mapping[str, Function]) -> None:
        self._log = log
        self.operations = dict(operations)
        self.calls: list[Task] = []
        self.open: dict[str, Task] = {}
        self._asked_by: dict[str, int] = {}  # the partition that sent a task, by its id
        self._trackers: dict[tuple[str, int], OffsetTracker] = {}
        self.cancelled: set[str] = set()
        self.running: dict[str, Task] = {}  # without an answer until they are cancelled
        self.handed: set[str] = set()  # ids of tasks that wait for a callback
        self.busy: set[str] = set()  # operations that continue although they are cancelled

    def work(self) -> int:
        """Do what is there; how many records were read."""
        read = 0
        for name in [name for name in self._log.topics if name.startswith(TASKS)]:
            for number, records in enumerate(self._log.topics[name].partitions):
                tracker = self._trackers.setdefault((name, number), _begun(name))
                for record in records[tracker.next :]:
                    read += 1
                    if tracker.read(record.offset, source_of(record.headers)) is Seen.NEW:
                        tracker.finish(record.offset, Outcome.COMPLETED)
                        task = decode_task(record.value or b"")
                        self._asked_by[task.id] = number
                        self._take(task)
        return read

    def _take(self, task: Task | CancelTask) -> None:
        if isinstance(task, CancelTask):
            self._cancel(task.id)
            return
        if task.id in self.cancelled and task.id not in self.running:
            return
        function = self.operations.get(task.operation)
        if function is None:
            self.open[task.id] = task
            return
        self.calls.append(task)
        try:
            output = function(task.input, task)
        except OperationError as error:
            self.fail(task, error.code, error.message, retryable=error.retryable, after_s=error.retry_after_s)
            return
        if isinstance(output, Handed):
            self.open[task.id] = task
            self.handed.add(task.id)
            self._answer(
                task,
                SuspendAttempt(
                    id=f"{task.id}/suspended",
                    run=task.run,
                    address=task.address,
                    attempt=task.attempt,
                    for_ms=output.for_ms,
                    item=task.item,
                    trace=task.attempt_trace,
                ),
            )
        elif not isinstance(output, Silent):
            self.complete(task, output)
        elif not output.lost:
            self.running[task.id] = task

    def _cancel(self, id_: str) -> None:
        """What runs is cancelled and says so, unless its operation is `busy`. What was handed over waits for its
        callback."""
        self.cancelled.add(id_)
        task = self.running.get(id_) or self.open.get(id_)
        if task is not None and id_ not in self.handed and task.operation not in self.busy:
            self.running.pop(id_, None)
            self.open.pop(id_, None)
            self.fail(task, "cancelled", "The attempt was cancelled.", retryable=False)

    def restart(self, back: int) -> None:
        """The end of a worker that had not committed its last `back` records: they are read again, and what was done is
        done again."""
        for (name, number), tracker in self._trackers.items():
            again = _begun(name)
            for record in self._log.topics[name].partitions[number][: max(0, tracker.next - back)]:
                if again.read(record.offset, source_of(record.headers)) is Seen.NEW:
                    again.finish(record.offset, Outcome.COMPLETED)
            self._trackers[name, number] = OffsetTracker(again.position())

    def complete(self, task: Task, output: Any) -> None:
        """Answer an attempt with its output."""
        self._answer(
            task,
            CompleteAttempt(
                id=f"{task.id}/completed",
                run=task.run,
                address=task.address,
                attempt=task.attempt,
                output=output,
                item=task.item,
                trace=task.attempt_trace,
            ),
        )

    def fail(
        self, task: Task, code: str, message: str = "", *, retryable: bool = True, after_s: float | None = None
    ) -> None:
        """Answer an attempt with an error."""
        after_ms = None if after_s is None else int(after_s * 1000)
        self._answer(
            task,
            FailAttempt(
                id=f"{task.id}/failed",
                run=task.run,
                address=task.address,
                attempt=task.attempt,
                code=code,
                message=message,
                retryable=retryable,
                retry_after_ms=after_ms,
                item=task.item,
                trace=task.attempt_trace,
            ),
        )

    def _answer(self, task: Task, command: Command) -> None:
        if not isinstance(command, SuspendAttempt):
            self.open.pop(task.id, None)
        entry = partition_of(task.key, self._log.partitions)  # of an answer that no worker gives
        number = self._asked_by.get(task.id, entry)
        self._log.append(Outgoing(COMMANDS, number, task.key.encode(), encode_command(command)))


def _begun(topic: str) -> OffsetTracker:
    """A lane's partition of which nothing was read."""
    return OffsetTracker(LanePosition(offset=0, topic_id=topic, by="simulation"))
