"""Sends notifications, in the process of the history worker.

It is the one that notes what happened, once, together with its position in the topics; several of them share the work
over PostgreSQL, and take notifications from each other by `queue`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from streamflow.access.accounting import Access
from streamflow.access.directory import Directory
from streamflow.access.records import Subscription
from streamflow.access.topic import AccessTopic
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError
from streamflow.history.database import Database
from streamflow.history.notices import NoticeRow
from streamflow.history.store import open_store
from streamflow.notifications.queue import (
    Claim,
    Outcome,
    claim,
    give_up_interrupted,
    needs_people,
    note,
    people_due,
    settle,
    spread,
)
from streamflow.notifications.recipients import recipients, wants
from streamflow.notifications.stalled import Positions, Stalled
from streamflow.notifications.text import composed
from streamflow.operations.message_target import Sender
from streamflow.ops.lag import engine_positions
from streamflow.secrets import read_secret
from streamflow.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)

_LOOK_S = 2.0
_AGAIN_S = 10.0  # after something that notifications stand on did not answer
_PEOPLE = 8  # who are sent something at the same time
_INTERRUPTED_S = 600.0  # longer than any attempt takes
_BACKOFF_S = (30.0, 3600.0)
_SAMPLE_S = 30.0  # between looks at the partitions, or a third of `stalled_s`


class Notifier:
    """Finds out who is notified, and sends. `positions` asks the broker where the engine is; it blocks."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        access: Access,
        positions: Callable[[], Positions],
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._own = settings.notifications
        self._database = database
        self._access = access
        self._positions = positions
        self._metrics = metrics or NoMetrics()
        self._clock = clock
        self._stalled = Stalled(self._own.stalled_s, clock)
        self._sampled_s = 0.0
        self._sender = Sender(self._own)
        self._using = asyncio.Lock()  # the connection to the store is used by one thread at a time

    async def step(self) -> None:
        """One look: what is new, and what is due. Raises OperationError when the store, the directory or the broker
        does not answer; what is due stays so."""
        await self._sample()
        directory = self._access.directory
        await self._stored(self._prepare, directory)
        people = await self._stored(people_due, self._now_ms(), int(self._own.interval_s * 1000))
        slots = asyncio.Semaphore(_PEOPLE)

        async def one(person: str) -> None:
            async with slots:
                await self._notify(directory, person)

        found = await asyncio.gather(*map(one, people), return_exceptions=True)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed  # when nothing is being sent any more

    async def _sample(self) -> None:
        now = self._clock()
        if now < self._sampled_s + min(_SAMPLE_S, self._own.stalled_s / 3):
            return
        self._sampled_s = now
        try:
            positions = await asyncio.to_thread(self._positions)
        except OperationError as error:  # the other notices do not wait for it
            _log.warning("partitions_not_looked_at", code=error.code, error=error.message)
            return
        await self._stored(note, self._stalled.look(positions, self._now_ms()))

    def _prepare(self, database: Database, directory: Directory) -> None:
        now_ms = self._now_ms()
        interrupted = give_up_interrupted(database, now_ms - int(_INTERRUPTED_S * 1000))
        if interrupted:
            _log.warning("notifications_interrupted", count=interrupted, consequence="they are not sent again")
            self._metrics.count("notifications", interrupted, outcome="unknown")
        targets = self._own.targets
        while spread(database, lambda notice: recipients(directory, targets, notice, now_ms), now_ms):
            pass

    async def _notify(self, directory: Directory, person: str) -> None:
        """Sends a user what is due, as one message."""
        claimed = await self._stored(claim, person, self._now_ms())
        if not claimed.taken:
            return  # another worker was quicker
        subscription = directory.subscription(person)
        outcomes = await self._stored(self._dropped, directory, subscription, claimed)
        left = [one for one in claimed.taken if one.notice.id not in outcomes]
        if left and subscription is not None:
            code, retryable = await self._sent(subscription.target, claimed, [one.notice for one in left])
            for one in left:
                outcomes[one.notice.id] = self._outcome(code, retryable=retryable, attempts=one.attempts)
        await self._stored(settle, claimed, outcomes, self._now_ms())
        for outcome, count in Counter(one.state for one in outcomes.values() if one.state != "due").items():
            self._metrics.count("notifications", count, outcome=outcome)

    def _dropped(
        self, database: Database, directory: Directory, subscription: Subscription | None, claimed: Claim
    ) -> dict[str, Outcome]:
        """The result of those that are not sent."""
        now_ms, found = self._now_ms(), dict[str, Outcome]()
        oldest_ms = now_ms - self._own.within_hours * 3_600_000
        for one in claimed.taken:
            notice = one.notice
            moved_on = notice.kind == "partition" and self._stalled.is_over(notice)
            if subscription is None or not wants(directory, self._own.targets, subscription, notice, now_ms=now_ms):
                found[notice.id] = Outcome("unwanted")
            elif notice.at_ms < oldest_ms or moved_on or not needs_people(database, notice):
                found[notice.id] = Outcome("over")
        return found

    async def _sent(self, target: str, claimed: Claim, notices: list[NoticeRow]) -> tuple[str, bool]:
        """The code of what went wrong, and whether it is worth another attempt; empty: the target took it."""
        made = composed(notices, self._settings.environment, self._settings.access.public_url)
        try:
            await self._sender.send(target, made, self._own.timeout_s, read_secret)
        except OperationError as error:
            _log.warning(
                "notification_not_sent",
                target=target,
                user=claimed.person,
                notices=len(notices),
                code=error.code,
                error=error.message,
            )
            return error.code, error.retryable
        return "", False

    def _outcome(self, code: str, *, retryable: bool, attempts: int) -> Outcome:
        if not code:
            return Outcome("sent")
        if not retryable or attempts >= self._own.attempts:
            return Outcome("failed", code)
        low, high = _BACKOFF_S
        return Outcome("due", code, self._now_ms() + int(min(high, low * 4 ** (attempts - 1)) * 1000))

    async def _stored(self, function: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._using:
            return await asyncio.to_thread(function, self._database, *args, **kwargs)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


async def serve_notifications(settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None) -> None:
    """Sends notifications until `stop` is set; returns at once where no target is configured. A message that is under
    way is finished."""
    if not settings.notifications.targets:
        return
    if settings.access.public_url is None:
        _log.warning("notifications_without_links", remedy="Set access.public_url to the address of the pages.")
    while not stop.is_set():
        try:
            with ExitStack() as held:
                access = await asyncio.to_thread(AccessTopic, settings)
                held.callback(access.close)
                await asyncio.to_thread(access.wait_loaded)
                database = await asyncio.to_thread(lambda: open_store(settings, write=True, make=False))
                held.callback(database.close)
                notifier = Notifier(settings, database, access, lambda: engine_positions(settings), metrics)
                while not stop.is_set():
                    await notifier.step()
                    await _pause(stop, _LOOK_S)
        except OperationError as error:
            is_being_made = error.code in ("history_missing", "history_older")  # by the history worker, in this moment
            if not is_being_made:
                _log.warning("notifications_interrupted", code=error.code, error=error.message, again_in_s=_AGAIN_S)
            await _pause(stop, _LOOK_S if is_being_made else _AGAIN_S)
        except Exception as error:  # noqa: BLE001 - its last frame: nobody else would report it, and nobody be notified
            _log.error("notifications_failed", exc_info=error, again_in_s=_AGAIN_S)
            await _pause(stop, _AGAIN_S)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
