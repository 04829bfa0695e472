"""What routes need of Kafka, from Kafka itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from streamflow.access.audit import Actor
from streamflow.access.changes import Change
from streamflow.access.topic import AccessTopic
from streamflow.approvals.approval import Approval
from streamflow.approvals.report import Approved
from streamflow.conversations.topic import ConversationLog, ConversationTopic
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.history.reader import HistoryReader
from streamflow.ids import partition_of
from streamflow.kafka.admin import Admin
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.members import Member, members_of
from streamflow.kafka.publication import (
    Published,
    Retired,
    read_log,
    register_operation,
    retire,
    unregister_operation,
)
from streamflow.kafka.reserved_topics import require_users_topic
from streamflow.kafka.rollback import RolledBack, roll_back
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.kafka.worker_registry import RegisteredWorker, registered_workers
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import Approvals, OpenApproval
from streamflow.ops.command_client import CommandClient
from streamflow.ops.command_request import Answer
from streamflow.ops.dead_letters import Letter, read_dead_letters, record_of
from streamflow.ops.definition_approvals import keep
from streamflow.ops.fleet import unannounced
from streamflow.ops.history import find_history, partition_of_known_run
from streamflow.ops.jobs_topic import Jobs, JobsTopic
from streamflow.ops.lag import measure_lag
from streamflow.ops.lag_rows import MeasuredLag, Rates
from streamflow.ops.operations import described
from streamflow.ops.produce import Outgoing
from streamflow.ops.promotion import promote, settings_of
from streamflow.ops.publishing import create_topics, missing_topics, publish_checked
from streamflow.ops.record_sender import RecordSender
from streamflow.ops.replay import Replay, replay_letters
from streamflow.ops.restarts import Restarted, restart
from streamflow.ops.settlements import settle
from streamflow.ops.shadow import Pair, read_recorded
from streamflow.ops.shadow_range import read_range
from streamflow.ops.starts import Request, run_of
from streamflow.ops.tail import Listener, Tail
from streamflow.ops.unclaimed import UnclaimedEvent, read_unclaimed
from streamflow.settings import Settings
from streamflow.sidecar.log import REMEMBER_S, RecordPosition, Started
from streamflow.sidecar.run_histories import RunHistories
from streamflow.sidecar.traced import stamped, stamped_record
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement

if TYPE_CHECKING:
    from streamflow.simulation.shadow import Recorded
    from streamflow.simulation.shadow_range import RecordedRange

_MOMENT_S = 0.5  # reading all definitions takes a tenth of a second
_LATE_S = 3.0  # what is older is not given to anybody, although somebody reads it again


class KafkaLog:
    """Kafka, and what runs in the background for it until `close`. `history` has most of what is asked about single
    runs; without it, all of it is read from the topic."""

    def __init__(self, settings: Settings, history: HistoryReader | None = None) -> None:
        self._settings = settings
        self._histories = RunHistories(settings, history) if history is not None else None
        self._commands = CommandClient(settings)
        self._commands_id: str | None = None
        self._approvals = Approvals()
        self._tail = Tail(settings)
        self.jobs: Jobs = JobsTopic(settings)
        self.conversations: ConversationLog = ConversationTopic(settings)
        self._reading = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._sender: RecordSender | None = None
        self._definitions: tuple[Snapshot | None, float] = None, 0.0
        self._measuring = asyncio.Lock()
        self._rates = Rates()
        self._lag: tuple[MeasuredLag | None, float] = None, 0.0
        self._changed = 0.0  # when this process last published or retired; what was read before is not given any more

    async def ask(self, command: Command, *, key: str = "") -> Future[Answer]:
        partition = (
            partition_of(key, self._settings.topics.partitions)
            if key
            else partition_of_known_run(self._settings, getattr(command, "run", ""))
        )
        asked = stamped(command)
        return await asyncio.to_thread(self._commands.ask, asked, key=key, partition=partition, for_s=REMEMBER_S)

    async def start(self, request: Request) -> Started:
        return await asyncio.to_thread(self._start, request)

    def _start(self, request: Request) -> Started:
        key = request.command.key
        partition = partition_of(key, self._settings.topics.partitions)
        if self._commands_id is None:
            name = topic_name(self._settings, COMMANDS)
            self._commands_id = Admin(self._settings).topic_ids([name])[name]
        command = stamped(request.command)
        answer, offset = self._commands.append(command, key=key, partition=partition, for_s=REMEMBER_S)
        return Started(run_of(request, self._settings.environment, self._commands_id, partition, offset), answer)

    async def expect(self, command: str) -> Future[Answer]:
        return await asyncio.to_thread(self._commands.expect, command, REMEMBER_S)

    async def history(self, run: str) -> list[Transition]:
        entry = partition_of_known_run(self._settings, run)
        found = await self._histories.of(run, entry) if self._histories is not None else None
        return found if found is not None else await asyncio.to_thread(find_history, self._settings, run)

    async def restart(self, run: str, *, why: str, version: str | None) -> Restarted:
        return await asyncio.to_thread(restart, self._settings, run, why=why, version=version)

    async def unclaimed(self, key: str) -> list[UnclaimedEvent]:
        return await asyncio.to_thread(lambda: list(read_unclaimed(self._settings, key=key)))

    async def listen(self, listener: Listener) -> Callable[[], None]:
        return await asyncio.to_thread(self._tail.listen, listener)

    async def approvals(self) -> list[OpenApproval]:
        return await asyncio.to_thread(self._approvals.read, self._settings)

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        asked = time.monotonic()
        known, at = self._definitions
        if known is not None and not fresh and self._reading.locked() and at > max(asked - _LATE_S, self._changed):
            return known  # somebody reads them again; nobody has to wait for that
        async with self._reading:
            known, at = self._definitions
            if known is None or at < (asked if fresh else max(asked - _MOMENT_S, self._changed)):
                at = time.monotonic()
                known = await asyncio.to_thread(read_log, self._settings)
                self._definitions = known, at
            return known

    async def publish(
        self,
        definition: Definition,
        catalog: Catalog,
        *,
        scenarios: str | None = None,
        approval: Approval | None = None,
        by: str = "",
    ) -> Published:
        try:
            return await asyncio.to_thread(
                publish_checked, self._settings, definition, catalog, scenarios=scenarios, approval=approval, by=by
            )
        finally:
            self._changed = time.monotonic()

    async def approve(self, approved: Approved) -> None:
        try:
            await asyncio.to_thread(keep, self._settings, approved)
        finally:
            self._changed = time.monotonic()

    async def recorded(self, name: str, last: int) -> list[Recorded]:
        return await asyncio.to_thread(read_recorded, self._settings, name, last)

    async def recorded_range(self, pair: Pair, from_ms: int, to_ms: int) -> RecordedRange:
        log = await self.definitions()
        return await asyncio.to_thread(read_range, self._settings, log, pair, from_ms, to_ms)

    async def promote(self, reference: str, to: str, *, by: str, who: Actor) -> dict[str, Any]:
        def account(target: Settings, publication: dict[str, Any]) -> None:
            change = Change(records={}, action="definition.publish", target=reference, after=publication)
            with AccessTopic(target) as access:
                access.wait_loaded()
                access.change(who, lambda _directory, _now_ms: change)

        target = settings_of(self._settings, to)
        return await asyncio.to_thread(promote, self._settings, target, reference, by=by, account=account)

    async def roll_back(self, name: str, version: str) -> RolledBack:
        try:
            return await asyncio.to_thread(roll_back, self._settings, name=name, version=version)
        finally:
            self._changed = time.monotonic()

    async def retire(self, name: str, version: str) -> Retired:
        try:
            return await asyncio.to_thread(retire, self._settings, name=name, version=version)
        finally:
            self._changed = time.monotonic()

    async def missing_topics(self, names: Collection[str]) -> list[str]:
        return await asyncio.to_thread(missing_topics, self._settings, names)

    async def require_users_topic(self, topic: str) -> None:
        await asyncio.to_thread(require_users_topic, self._settings, topic)

    async def send(
        self, records: Sequence[tuple[str, Outgoing]]
    ) -> tuple[list[RecordPosition | None], OperationError | None]:
        async with self._sending:
            return await asyncio.to_thread(self._send, records)

    def _send(
        self, records: Sequence[tuple[str, Outgoing]]
    ) -> tuple[list[RecordPosition | None], OperationError | None]:
        if self._sender is None:
            self._sender = RecordSender(self._settings, "events")
        self._sender.error = None
        places = self._sender.send([(topic, -1, stamped_record(record)) for topic, record in records])
        return places, self._sender.error

    async def dead_letters(self) -> list[Letter]:
        return await asyncio.to_thread(read_dead_letters, self._settings)

    async def dead_letter(self, number: int) -> Record | None:
        return await asyncio.to_thread(record_of, self._settings, number)

    async def replay(
        self, letters: Sequence[Letter], *, why: str, as_new: bool, again: bool, dry_run: bool
    ) -> dict[str, Any]:
        made = Replay(
            self._settings,
            lambda: read_log(self._settings),
            now_ms=time.time_ns() // 1_000_000,
            as_new=as_new,
            again=again,
        )
        return await asyncio.to_thread(replay_letters, self._settings, made, letters, why=why, dry_run=dry_run)

    async def drop(self, letters: Sequence[Letter], *, why: str) -> set[str]:
        ends = [Settlement(letter=one.id, state="dropped", why=why) for one in letters]
        return {one.letter for one in await asyncio.to_thread(lambda: list(settle(self._settings, ends)))}

    async def lag(self) -> MeasuredLag:
        asked = time.monotonic()
        async with self._measuring:
            measured, at = self._lag
            if measured is None or at < asked:  # else it was measured while this waited
                at = time.monotonic()
                found = await asyncio.to_thread(measure_lag, self._settings, await self.definitions())
                measured = MeasuredLag(partitions=found, drains=self._rates.drains(found, at))
                self._lag = measured, at
            return measured

    async def workers(self) -> tuple[list[RegisteredWorker], dict[str, tuple[Member, ...]]]:
        groups = unannounced(self._settings)
        members = await members_of(self._settings, list(groups.values()))
        found = await asyncio.to_thread(registered_workers, self._settings, await self.definitions())
        return found, {role: members[group] for role, group in groups.items()}

    async def create_topics(self, names: Collection[str]) -> None:
        await asyncio.to_thread(create_topics, self._settings, names)

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
        return described(self._settings, published, registered_workers(self._settings, published))

    async def close(self) -> None:
        if self._histories is not None:
            await self._histories.close()
        await asyncio.to_thread(self._tail.close)
        await asyncio.to_thread(self.jobs.close)
        await asyncio.to_thread(self.conversations.close)
        await asyncio.to_thread(self._commands.close)
