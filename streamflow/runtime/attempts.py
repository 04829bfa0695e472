"""The attempts of a lane in this worker: many at a time, ended in any order, none for longer than its limit.

A task is *held* from being read until the broker has its answer. `in_flight` of them run at most; a few more wait for a
place, so that places are filled without asking the broker, and a request to cancel is seen although the lane is full.
Nothing more is read meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.offset_tracker import OffsetTracker, Outcome
from streamflow.engine.commands import CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.trace import identifiers
from streamflow.runtime.task_executor import Answer, failure
from streamflow.wire.codec import encode_command

log = structlog.get_logger(__name__)

LINGER_S = 5.0  # what an operation may take to be cancelled before its place is given to another
HELD_BYTES = 64 << 20

_OUTCOMES = {CompleteAttempt: Outcome.COMPLETED, FailAttempt: Outcome.FAILED, SuspendAttempt: Outcome.SUSPENDED}

Perform = Callable[[Task], Coroutine[Any, Any, tuple[Answer, bytes]]]


@dataclass(slots=True, eq=False)
class Held:
    """A task that was read from `log` at `offset`, and whose answer is not acknowledged yet."""

    task: Task
    log: OffsetTracker
    partition: int
    offset: int
    written_ms: int
    size: int
    began_s: float | None = None  # when it was started, by the event loop's clock
    work: asyncio.Task[tuple[Answer, bytes]] | None = None
    timer: asyncio.TimerHandle | None = None
    outcome: Outcome | None = None  # once it is answered, or cancelled
    error: str = ""  # the code of an answer that it failed
    stopped: bool = False  # nobody waits for what it still does
    cancelled: bool = False  # its result is not wanted; it is answered when it has ended
    cancels: list[int] = field(default_factory=list)  # offsets of the requests to cancel it, which are finished with it

    def facts(self) -> dict[str, Any]:
        """Where it belongs, for the log."""
        task = self.task
        return {
            "run": task.run,
            "scope": task.scope,
            "step": task.step,
            "attempt": task.attempt,
            "item": task.item,
            "partition": self.partition,
            "offset": self.offset,
            **identifiers(task.trace, task.correlation_id),
        }


class Attempts:
    """`answer` is given each held task with the bytes of its answer, and calls `finish` when the broker has them;
    `moved` is called when something is finished. `now_ms` is the broker's time. `ahead` is how many more than those
    that run are held."""

    def __init__(
        self,
        lane: str,
        in_flight: int,
        perform: Perform,
        answer: Callable[[Held, bytes], None],
        moved: Callable[[], None],
        now_ms: Callable[[], float],
        ahead: int,
        metrics: Metrics | None = None,
        topic: str = "",
    ) -> None:
        self._lane = lane
        self._topic = topic
        self._metrics = metrics or NoMetrics()
        self._log = log.bind(lane=lane, topic=topic)
        self._in_flight = in_flight
        self._most = in_flight + ahead
        self._perform = perform
        self._answer = answer
        self._moved = moved
        self._now_ms = now_ms
        self._held: dict[str, Held] = {}
        self._bytes = 0
        self._waiting: deque[Held] = deque()
        self._running: set[Held] = set()
        self._starting = True
        self._roomy = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._empty = asyncio.Event()
        self._empty.set()

    # -- what is there

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def held(self) -> int:
        return len(self._held)

    def room(self) -> int:
        """How many more may be read now."""
        return 0 if self._bytes >= HELD_BYTES else max(0, self._most - len(self._held))

    async def wait_room(self) -> None:
        """Returns when a quarter of the places is free again."""
        while len(self._held) > self._most - max(1, self._most // 4) or self._bytes >= HELD_BYTES:
            self._roomy.clear()
            await self._roomy.wait()

    async def wait_idle(self) -> None:
        """Returns when nothing runs."""
        await self._idle.wait()

    async def wait_answered(self) -> None:
        """Returns when nothing is answered whose answer is not acknowledged."""
        while any(held.outcome is not None for held in self._held.values()):
            self._empty.clear()
            await self._empty.wait()

    # -- what comes in

    def take(self, task: Task, log: OffsetTracker, partition: int, offset: int, written_ms: int, size: int) -> None:
        """Hold a task that was read, and start it when there is a place."""
        if task.id in self._held:  # sent twice by hand: the header `source` would have told
            log.finish(offset, Outcome.COPY)
            self._moved()
            return
        held = self._held[task.id] = Held(task, log, partition, offset, written_ms, size)
        self._bytes += size
        self._waiting.append(held)
        self._empty.clear()
        self._start()

    def cancel(self, request: CancelTask, log: OffsetTracker, offset: int) -> None:
        """The result of a task is no longer needed. Its answer comes when it has really ended: `cancelled`, or its
        result if it ended before that. One that is answered is left alone."""
        held = self._held.get(request.id)
        if held is None or held.log is not log:
            log.finish(offset, Outcome.CANCEL)
            self._moved()
            return
        held.cancels.append(offset)
        if held.outcome is not None or held.cancelled:
            return
        held.cancelled = True
        self._log.info("attempt_cancelled", running=held.work is not None, **held.facts())
        if held.work is None:
            self._waiting.remove(held)
            self._answer_cancelled(held)
        else:
            self._stop(held)

    # -- pausing, and giving up

    def hold(self) -> None:
        """Start nothing until `go`. What runs goes on."""
        self._starting = False

    def go(self) -> None:
        self._starting = True
        self._start()

    def drop(self, log: OffsetTracker) -> None:
        """The partition of `log` belongs to another worker now: none of its tasks is started here, those that run are
        cancelled without an answer."""
        for held in [held for held in self._held.values() if held.log is log]:
            if held.work is None and held.outcome is None:
                self._waiting.remove(held)
            elif held.outcome is None:
                self._log.warning(
                    "attempt_left", consequence="the partition's next owner makes it again", **held.facts()
                )
                self._stop(held)
            self._release(held)

    async def abandon(self) -> None:
        """Cancel everything that runs, and wait for its end. Nothing of it is finished."""
        self.hold()
        for held in list(self._running):
            held.cancelled = False
            if held.outcome is None:
                self._log.warning(
                    "attempt_left", consequence="the partition's next owner makes it again", **held.facts()
                )
            self._stop(held)
        await self._idle.wait()

    # -- inside

    def _start(self) -> None:
        while self._starting and self._waiting and len(self._running) < self._in_flight:
            held = self._waiting.popleft()
            if (late := self._too_late(held)) is not None:
                self._answered(held, Outcome.EXPIRED, late, encode_command(late))
                continue
            loop = asyncio.get_running_loop()
            self._running.add(held)
            self._idle.clear()
            held.began_s = loop.time()
            waited_s = max(0.0, self._now_ms() - held.written_ms) / 1000
            self._metrics.observe("attempt_queue_seconds", waited_s, lane=self._lane)
            with bound_contextvars(topic=self._topic, **held.facts()):  # for what the operation logs
                held.work = loop.create_task(self._perform(held.task))
            held.work.add_done_callback(partial(self._ended, held))
            held.timer = loop.call_later(held.task.timeout_ms / 1000, self._timed_out, held)

    def _too_late(self, held: Held) -> FailAttempt | None:
        now_ms, task = self._now_ms(), held.task
        if task.deadline_ms is not None and now_ms >= task.deadline_ms:
            return failure(
                task,
                "deadline_passed",
                "Its deadline had passed before it could be started. Scale the lane.",
                retryable=False,
            )
        waited_ms = now_ms - held.written_ms
        if waited_ms > task.queue_ms:
            limit_s = task.queue_ms / 1000
            text = f"It waited {waited_ms / 1000:.0f} s in its lane and may wait {limit_s:g} s. Scale the lane."
            return failure(task, "queue_expired", text, retryable=False)
        return None

    def _timed_out(self, held: Held) -> None:
        seconds = held.task.timeout_ms / 1000
        answer = failure(
            held.task,
            "attempt_timeout",
            f"{held.task.operation} did not end within {seconds:g} s. It was cancelled.",
        )
        self._answered(held, Outcome.FAILED, answer, encode_command(answer))
        self._stop(held)

    def _stop(self, held: Held) -> None:
        """Cancel what runs. Its place is free when it has ended, or after some seconds."""
        if held.stopped or held.work is None:
            return
        held.stopped = True
        if held.timer is not None:
            held.timer.cancel()
        held.work.cancel()
        held.timer = asyncio.get_running_loop().call_later(LINGER_S, self._lingers, held)

    def _lingers(self, held: Held) -> None:
        self._log.error(
            "attempt_lingers",
            operation=held.task.operation,
            seconds=LINGER_S,
            consequence="it was cancelled and goes on all the same",
            **held.facts(),
        )
        self._vacate(held)

    def _ended(self, held: Held, work: asyncio.Task[tuple[Answer, bytes]]) -> None:
        if held.timer is not None:
            held.timer.cancel()
        error = None if work.cancelled() else work.exception()
        if error is not None:  # a fault of ours: what an operation does is an answer
            self._log.error("attempt_broken", exc_info=error, **held.facts())
            broken = failure(
                held.task,
                "operation_failed",
                f"The worker failed with {type(error).__name__}. Report this.",
            )
            self._settle(held, broken, encode_command(broken))
        elif not work.cancelled():
            self._settle(held, *work.result())
        elif held.cancelled and held.outcome is None and self._held.get(held.task.id) is held:
            self._answer_cancelled(held)
        self._vacate(held)

    def _answer_cancelled(self, held: Held) -> None:
        answer = failure(held.task, "cancelled", "The attempt was cancelled: its run is stopping.", retryable=False)
        self._answered(held, Outcome.CANCELLED, answer, encode_command(answer))

    def _settle(self, held: Held, answer: Answer, value: bytes) -> None:
        if held.stopped and not held.cancelled:  # it was answered as timed out, or belongs to another worker now
            return
        if held.outcome is not None or self._held.get(held.task.id) is not held:
            return
        self._answered(held, _OUTCOMES[type(answer)], answer, value)

    def _vacate(self, held: Held) -> None:
        if held not in self._running:
            return
        self._running.discard(held)
        if not self._running:
            self._idle.set()
        self._start()

    def _answered(self, held: Held, outcome: Outcome, answer: Answer, value: bytes) -> None:
        held.outcome = outcome
        self._measure(held, outcome)
        if isinstance(answer, FailAttempt):
            held.error = answer.code
            self._log.info(
                "attempt_failed",
                operation=held.task.operation,
                code=answer.code,
                message=answer.message,
                retryable=answer.retryable,
                **held.facts(),
            )
        self._answer(held, value)

    def _measure(self, held: Held, outcome: Outcome) -> None:
        lane, operation = self._lane, held.task.operation
        self._metrics.count("attempts", lane=lane, operation=operation, outcome=outcome.value)
        if held.began_s is not None:
            seconds = asyncio.get_running_loop().time() - held.began_s
            self._metrics.observe("attempt_seconds", seconds, lane=lane, operation=operation)

    def finish(self, held: Held) -> None:
        """The broker has the answer of `held`, or it needs none."""
        if self._held.get(held.task.id) is not held:
            return  # of a partition that is another worker's now
        held.log.finish(held.offset, held.outcome or Outcome.CANCELLED)
        for offset in held.cancels:
            held.log.finish(offset, Outcome.CANCEL)
        self._release(held)
        self._moved()

    def _release(self, held: Held) -> None:
        if self._held.get(held.task.id) is held:
            del self._held[held.task.id]
            self._bytes -= held.size
        self._roomy.set()
        self._empty.set()
