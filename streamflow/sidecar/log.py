"""What routes need of Kafka, and nothing more; so that tests may put a log in memory in its place."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.kafka.admin import Admin
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log, register_operation, unregister_operation
from streamflow.kafka.serving import presence
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import Approvals, OpenApproval
from streamflow.ops.exchange import Exchange
from streamflow.ops.history import END_AGAIN_S, END_S, explained, find_history, partition_of_known_run
from streamflow.ops.operations import described
from streamflow.ops.requests import Answer
from streamflow.ops.starts import Request, run_of
from streamflow.settings import Settings

_MOMENT_S = 0.5  # reading all definitions takes a tenth of a second
_LATE_S = 3.0  # what is older is not given to anybody, although somebody reads it anew
REMEMBER_S = 60.0  # for how long an answer is listened for, although nobody may ask for it


@dataclass(frozen=True, slots=True)
class Started:
    """A start that is appended. `run` is the id of its run, unless it was asked for under the same id before; `answer`
    is what will become of it."""

    run: str
    answer: Future[Answer]


class Log(Protocol):
    """The topics as the sidecar sees them. Everything may raise OperationError when the broker does not do its part."""

    async def ask(self, command: Command, *, key: str = "") -> Future[Answer]:
        """Appends `command` under the business key, if it is known; what will become of it. Raises Rejected if the run
        in it is no run id."""

    async def start(self, request: Request) -> Started:
        """Appends a start."""

    async def expect(self, command: str) -> Future[Answer]:
        """What will become, or lately became, of the command with this id: an Answer, or the Rejected that it was
        refused with."""

    async def history(self, run: str) -> list[Transition]:
        """The transitions of a run in order, each once; empty if there are none. Raises Rejected if `run` is no run
        id."""

    async def approvals(self) -> list[OpenApproval]:
        """The approvals that are open, oldest first."""

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        """All that is published now, or was a moment ago unless it has to be `fresh`."""

    async def register(self, registration: Registration, *, replace: bool) -> int | None:
        """Registers a plugin; the offset of its record, None if the same was registered already. Raises Rejected
        (`operation_registered`) if another one has its name, unless that is to be replaced."""

    async def remove(self, name: str) -> None:
        """Takes a plugin away. Raises Rejected (`operation_unknown`)."""

    async def operations(self) -> list[dict[str, Any]]:
        """All operations as JSON would have them, by name (see `ops.operations`)."""

    async def close(self) -> None:
        """Ends what runs in the background."""


class KafkaLog:
    """The log that is there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exchange = Exchange(settings)
        self._commands_id: str | None = None
        self._approvals = Approvals()
        self._reading = asyncio.Lock()
        self._definitions: tuple[Snapshot | None, float] = None, 0.0

    async def ask(self, command: Command, *, key: str = "") -> Future[Answer]:
        partition = (
            partition_of(key, self._settings.topics.partitions)
            if key
            else partition_of_known_run(self._settings, getattr(command, "run", ""))
        )
        return await asyncio.to_thread(self._exchange.ask, command, key=key, partition=partition, for_s=REMEMBER_S)

    async def start(self, request: Request) -> Started:
        return await asyncio.to_thread(self._start, request)

    def _start(self, request: Request) -> Started:
        key = request.command.key
        partition = partition_of(key, self._settings.topics.partitions)
        if self._commands_id is None:
            name = topic_name(self._settings, COMMANDS)
            self._commands_id = Admin(self._settings).topic_ids([name])[name]
        answer, offset = self._exchange.append(request.command, key=key, partition=partition, for_s=REMEMBER_S)
        return Started(run_of(request, self._settings.environment, self._commands_id, partition, offset), answer)

    async def expect(self, command: str) -> Future[Answer]:
        return await asyncio.to_thread(self._exchange.expect, command, REMEMBER_S)

    async def history(self, run: str) -> list[Transition]:
        return await asyncio.to_thread(find_history, self._settings, run)

    async def approvals(self) -> list[OpenApproval]:
        return await asyncio.to_thread(self._approvals.read, self._settings)

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        asked = time.monotonic()
        known, at = self._definitions
        if known is not None and not fresh and self._reading.locked() and at > asked - _LATE_S:
            return known  # somebody reads them anew; nobody has to wait for that
        async with self._reading:
            known, at = self._definitions
            if known is None or at < (asked if fresh else asked - _MOMENT_S):
                at = time.monotonic()
                known = await asyncio.to_thread(read_log, self._settings)
                self._definitions = known, at
            return known

    async def register(self, registration: Registration, *, replace: bool) -> int | None:
        value = registration.model_dump(mode="json", by_alias=True, exclude_none=True)
        recorded = await asyncio.to_thread(
            register_operation, self._settings, name=registration.spec.name, registration=value, replace=replace
        )
        return recorded.offset

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(unregister_operation, self._settings, name=name)

    async def operations(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._operations)

    def _operations(self) -> list[dict[str, Any]]:
        published = read_log(self._settings)
        return described(self._settings, published, presence(self._settings, published))

    async def close(self) -> None:
        await asyncio.to_thread(self._exchange.close)


async def heard(future: Future[Answer], timeout_s: float) -> Answer | None:
    """The answer, or None when there is none within `timeout_s`. Raises what it was refused with. Whoever else waits
    for it goes on waiting."""
    if future.done():
        return future.result()
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_future: Future[Answer]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    try:
        await asyncio.wait_for(done.wait(), timeout_s)
    except TimeoutError:
        return None
    return future.result()


async def heard_of_run(log: Log, run: str, future: Future[Answer], timeout_s: float) -> Answer | None:
    """As `heard`, for a command to `run`. Raises Rejected (`run_ended`) when the run's history shows that it has
    ended, and `run_unknown` only when nothing is known of it."""
    try:
        return await heard(future, timeout_s)
    except Rejected as error:
        if error.code != "run_unknown":
            raise
        # Dead letters and transitions are read from two topics: the refusal may be there before the run's end.
        deadline = time.monotonic() + END_S
        while True:
            history = await log.history(run)
            found = explained(error, history)
            if found is not error or not history or time.monotonic() > deadline:
                raise found from None
            await asyncio.sleep(END_AGAIN_S)
