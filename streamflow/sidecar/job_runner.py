"""Works on jobs, one at a time in this process, whichever sidecar was asked for them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

import structlog

from streamflow.engine.commands import CancelRun, FailRun, RetryStep, SkipStep
from streamflow.errors import OperationError, Rejected
from streamflow.ops.jobs import HOLD_MS, Board, Job, Result, Target, done, free, given_up, held, let_go
from streamflow.sidecar.job_rights import Require
from streamflow.sidecar.log import Log, heard_of_run

_log = structlog.get_logger(__name__)

_LOOK_S = 5.0  # how often a job is looked for that another sidecar was asked for
_ANSWER_S = 5.0
_TOGETHER = 20  # commands that are asked at the same time


class JobRunner:
    """Asks for what jobs say, part by part, and writes the results of a part before the next one begins.

    Of a part without results it is not known which commands were appended: the process that takes a job over asks for
    those that no transition names, so a command that the engine has not decided yet may come twice. A run for which the
    owner of the job no longer has the rights (`require`) is refused."""

    def __init__(self, log: Log, require: Require) -> None:
        self._kafka = log
        self._require = require
        self._name = uuid.uuid4().hex
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be a job."""
        self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        logged = ""
        while True:
            try:
                await self.work()
                logged = ""
            except OperationError as error:
                if error.code != logged:
                    _log.warning("jobs_interrupted", code=error.code, error=error.message, again_in_s=_LOOK_S)
                logged = error.code
            except Exception as error:  # noqa: BLE001 - the task's last frame: without it no job would ever be done
                _log.error("jobs_failed", exc_info=error, again_in_s=_LOOK_S)
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._woken.wait()

    async def work(self) -> None:
        """Takes and does jobs until none is free. Raises OperationError."""
        while (job := await self._take()) is not None:
            is_left = True
            try:
                await self._do(job)
            except OperationError:
                raise
            except Exception as error:  # noqa: BLE001 - one job must not keep the others from being done
                _log.error("job_failed", job=job.id, exc_info=error, again_in_s=HOLD_MS // 1000)
                is_left = False  # it is free when its time is over, after the others
            finally:
                if is_left:
                    with contextlib.suppress(OperationError):  # it is free when its time is over
                        await self._write_let_go(job.id)

    async def _take(self) -> Job | None:
        """A job that is ours now, as it was before."""
        found: list[Job] = []

        def take(board: Board, now_ms: int) -> dict[str, bytes | None]:
            found[:] = [one for one in [free(board, now_ms)] if one is not None]
            return held(board, found[0].id, self._name, now_ms) if found else {}

        if not await asyncio.to_thread(self._kafka.jobs.read, _is_open):
            return None
        taken = await asyncio.to_thread(self._kafka.jobs.write, take)
        return found[0] if taken else None

    async def _do(self, job: Job) -> None:
        again = bool(job.holder)  # another sidecar worked on it before
        while True:
            part = await asyncio.to_thread(self._kafka.jobs.read, lambda board: board.next_part(job.id))
            if part is None:
                await self._give_up(job)
                return
            number, targets = part
            results = await self._results(job, targets, again=again)
            again = False

            def write(board: Board, now_ms: int) -> dict[str, bytes | None]:
                return done(board, job.id, self._name, number, results, now_ms)  # noqa: B023 - called at once

            if not await asyncio.to_thread(self._kafka.jobs.write, write):
                _log.warning("job_lost", job=job.id, consequence="another sidecar continues it")
                return

    async def _give_up(self, job: Job) -> None:
        """Ends the job if it has runs left, which nobody can read: else it would be taken again for ever."""
        if await asyncio.to_thread(
            self._kafka.jobs.write, lambda board, now_ms: given_up(board, job.id, self._name, now_ms)
        ):
            _log.error("job_unreadable", job=job.id, consequence="some of its runs are not known, and got no command")

    async def _results(self, job: Job, targets: Sequence[Target], *, again: bool) -> list[Result]:
        slots = asyncio.Semaphore(_TOGETHER)

        async def one(target: Target) -> Result:
            async with slots:
                return await self._result(job, target, again=again)

        found = await asyncio.gather(*map(one, targets), return_exceptions=True)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed  # when no command is under way any more
        return [result for result in found if isinstance(result, Result)]

    async def _result(self, job: Job, target: Target, *, again: bool) -> Result:
        """The result of the action on one run. Raises OperationError when the broker does not do its part."""
        command = command_of(job, target)
        try:
            if again and any(one.cause == command.id for one in await self._kafka.history(target.run)):
                return Result(target.run, "applied")
            self._require(job, target)
            asked = await self._kafka.ask(command)
            answer = await heard_of_run(self._kafka, target.run, asked, _ANSWER_S)
        except Rejected as error:
            return Result(target.run, "refused", error.code, error.message)
        return Result(target.run, "applied" if answer is not None else "unanswered")

    async def _write_let_go(self, id: str) -> None:
        await asyncio.to_thread(self._kafka.jobs.write, lambda board, _now_ms: let_go(board, id, self._name))


def _is_open(board: Board) -> bool:
    return any(one.ended_ms is None for one in board.jobs())


def command_of(job: Job, target: Target) -> CancelRun | RetryStep | SkipStep | FailRun:
    """What the job asks of a run; its id names both."""
    id = f"job/{job.id}/{target.run}"
    if job.action == "cancel":
        return CancelRun(id, target.run, job.reason)
    if job.action == "fail":
        return FailRun(id, target.run, job.reason)
    return (RetryStep if job.action == "retry" else SkipStep)(id, target.run, target.step)
