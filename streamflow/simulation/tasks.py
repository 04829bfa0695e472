"""The task workers of a simulation: operations as functions, attempts that a test answers by hand.

An operation that has a function is done as soon as its task is there. The tasks of others stay open until they are
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.core.outputs import TASKS
from streamflow.engine.commands import Command, CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.tasks import CancelTask, Task
from streamflow.errors import OperationError
from streamflow.ids import partition_of
from streamflow.simulation.log import COMMANDS, Log, Outgoing
from streamflow.wire.codec import encode_command
from streamflow.wire.tasks import Source, decode_task, source_of


@dataclass(frozen=True, slots=True)
class Handed:
    """What a function returns for an attempt that somebody else will answer, within `for_ms`."""

    for_ms: int


@dataclass(frozen=True, slots=True)
class Silent:
    """What a function returns for an attempt that is never answered."""


Function = Callable[[Any, Task], Any]  # input, task -> output, Handed or Silent; raises OperationError


class Tasks:
    """All task workers. `calls` are the tasks that were done, copies left out; `open` those that wait for an answer, by
    id; `cancelled` are the ids of those that nobody waits for any more."""

    def __init__(self, log: Log, operations: Mapping[str, Function]) -> None:
        self._log = log
        self.operations = dict(operations)
        self.calls: list[Task] = []
        self.open: dict[str, Task] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._seen: dict[tuple[str, int], Source] = {}
        self.cancelled: set[str] = set()

    def work(self) -> int:
        """Do what is there; how many records were read."""
        read = 0
        for name in [name for name in self._log.topics if name.startswith(TASKS)]:
            for number, records in enumerate(self._log.topics[name].partitions):
                place = (name, number)
                while (position := self._positions.get(place, 0)) < len(records):
                    self._positions[place] = position + 1
                    read += 1
                    record, source = records[position], source_of(records[position].headers)
                    if source is not None:
                        if place in self._seen and self._seen[place].covers(source):
                            continue
                        self._seen[place] = source
                    self._take(decode_task(record.value or b""))
        return read

    def _take(self, task: Task | CancelTask) -> None:
        if isinstance(task, CancelTask):
            self.cancelled.add(task.id)
            self.open.pop(task.id, None)
            return
        if task.id in self.cancelled:
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
            self._answer(
                task,
                SuspendAttempt(
                    id=f"{task.id}/suspended",
                    run=task.run,
                    address=task.address,
                    attempt=task.attempt,
                    for_ms=output.for_ms,
                    item=task.item,
                ),
            )
        elif not isinstance(output, Silent):
            self.complete(task, output)

    def restart(self, back: int) -> None:
        """The end of a worker that had not committed its last `back` records: they are read again, and what was done is
        done again."""
        for place, position in self._positions.items():
            records = self._log.topics[place[0]].partitions[place[1]]
            self._positions[place] = max(0, position - back)
            sources = [
                source
                for record in records[: self._positions[place]]
                if (source := source_of(record.headers)) is not None
            ]
            self._seen.pop(place, None)
            if sources:
                self._seen[place] = max(sources, key=lambda source: source[1:])

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
            ),
        )

    def _answer(self, task: Task, command: Command) -> None:
        if not isinstance(command, SuspendAttempt):
            self.open.pop(task.id, None)
        self._log.append(
            Outgoing(COMMANDS, partition_of(task.key, self._log.partitions), task.key.encode(), encode_command(command))
        )
