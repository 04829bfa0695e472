"""What routes need of Kafka, and nothing more; so that tests may put a log in memory in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

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
from streamflow.errors import OperationError, Rejected
from streamflow.ids import partition_of
from streamflow.kafka.admin import Admin
from streamflow.kafka.definitions import Snapshot
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
from streamflow.kafka.serving import Presence, members_of, presence
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import Approvals, OpenApproval
from streamflow.ops.dead_letters import Letter, read_dead_letters, record_of
from streamflow.ops.definition_approvals import keep
from streamflow.ops.exchange import Exchange
from streamflow.ops.fleet import DECIDING
from streamflow.ops.history import END_AGAIN_S, END_S, explained, find_history, partition_of_known_run
from streamflow.ops.jobs_topic import Jobs, JobsTopic
from streamflow.ops.lag import PartitionLag, measure_lag
from streamflow.ops.operations import described
from streamflow.ops.produce import Outgoing
from streamflow.ops.promotion import promote, settings_of
from streamflow.ops.publishing import create_topics, missing_topics, publish_checked
from streamflow.ops.record_sender import RecordSender
from streamflow.ops.replay import Replay, replay_letters, settle
from streamflow.ops.requests import Answer
from streamflow.ops.restarts import Restarted, restart
from streamflow.ops.shadow import Pair, read_recorded
from streamflow.ops.shadow_range import read_range
from streamflow.ops.starts import Request, run_of
from streamflow.ops.tail import Listener, Tail
from streamflow.ops.unclaimed import UnclaimedEvent, read_unclaimed
from streamflow.settings import Settings
from streamflow.sidecar.traced import stamped, stamped_record
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement

if TYPE_CHECKING:
    from streamflow.simulation.shadow import Recorded
    from streamflow.simulation.shadow_range import RecordedRange

_MOMENT_S = 0.5  # reading all definitions takes a tenth of a second
_LATE_S = 3.0  # what is older is not given to anybody, although somebody reads it again
REMEMBER_S = 60.0  # for how long an answer is listened for, although nobody may ask for it


Place = tuple[int, int]
"""A partition and an offset in it."""


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

    async def restart(self, run: str, *, why: str, version: str | None) -> Restarted:
        """Starts a run in the place of another one, which ends if it is open. Raises Rejected (see
        `ops.restarts.restart`)."""

    async def unclaimed(self, key: str) -> list[UnclaimedEvent]:
        """The events of a business key that no run took, oldest first."""

    async def listen(self, listener: Listener) -> Callable[[], None]:
        """Has `listener` given every transition that is appended from now on (see `ops.tail.Listener`); what ends
        that."""

    async def approvals(self) -> list[OpenApproval]:
        """The approvals that are open, oldest first."""

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        """All that is published now, or was a moment ago unless it has to be `fresh`."""

    async def publish(
        self,
        definition: Definition,
        catalog: Catalog,
        *,
        scenarios: str | None = None,
        approval: Approval | None = None,
        by: str = "",
    ) -> Published:
        """Publishes what was checked, and the text of its scenarios, with an approval of this content; `by` publishes.
        Raises Rejected (see `kafka.publication.publish`)."""

    async def approve(self, approved: Approved) -> None:
        """Keeps an approval and its report."""

    async def recorded(self, name: str, last: int) -> list[Recorded]:
        """The newest runs of a definition that have ended, for a replay (see `ops.shadow`)."""

    async def recorded_range(self, pair: Pair, from_ms: int, to_ms: int) -> RecordedRange:
        """What came in a time, for a replay (see `ops.shadow_range`). Raises Rejected (`range_invalid`,
        `version_unknown`)."""

    async def promote(self, reference: str, to: str, *, by: str, who: Actor) -> dict[str, Any]:
        """Publishes an approved version in another environment, and accounts for it there (see `ops.promotion`)."""

    async def roll_back(self, name: str, version: str) -> RolledBack:
        """Has starts use an earlier version. Raises Rejected (see `kafka.rollback.roll_back`)."""

    async def retire(self, name: str, version: str) -> Retired:
        """Takes a version out of use. Raises Rejected (`version_unknown`)."""

    async def missing_topics(self, names: Collection[str]) -> list[str]:
        """Those topics that do not exist, sorted."""

    async def require_users_topic(self, topic: str) -> None:
        """Returns if `topic` is the users'. Raises Rejected (`topic_reserved`)."""

    async def send(self, records: Sequence[tuple[str, Outgoing]]) -> tuple[list[Place | None], OperationError | None]:
        """Sends records, each to a topic. The partition and offset of each that the broker took, and why it did not
        take others."""

    async def dead_letters(self) -> list[Letter]:
        """All dead letters that are kept, oldest first."""

    async def dead_letter(self, number: int) -> Record | None:
        """The record of a dead letter, None when it is no longer kept."""

    async def replay(
        self, letters: Sequence[Letter], *, why: str, as_new: bool, again: bool, dry_run: bool
    ) -> dict[str, Any]:
        """Sends the records of dead letters again; what became of each (see `ops.replay.told`)."""

    async def drop(self, letters: Sequence[Letter], *, why: str) -> set[str]:
        """Marks dead letters as given up; the ids of those that are."""

    async def lag(self) -> list[PartitionLag]:
        """How far the workers are behind."""

    async def workers(self) -> tuple[list[Presence], dict[str, frozenset[str]]]:
        """The task workers that announced themselves, and the client ids of the members of the other groups by
        role."""

    async def create_topics(self, names: Collection[str]) -> None:
        """Creates topics of users."""

    async def register(self, registration: Registration, *, replace: bool) -> int | None:
        """Registers a plugin; the offset of its record, None if the same was registered already. Raises Rejected
        (`operation_registered`) if another one has its name, unless that is to be replaced."""

    async def remove(self, name: str) -> None:
        """Takes a plugin away. Raises Rejected (`operation_unknown`)."""

    async def operations(self) -> list[dict[str, Any]]:
        """All operations as JSON would have them, by name (see `ops.operations`)."""

    @property
    def jobs(self) -> Jobs:
        """Actions on many runs. Its methods block."""

    @property
    def conversations(self) -> ConversationLog:
        """Conversations about drafts. Its methods block."""

    async def close(self) -> None:
        """Ends what runs in the background."""


class KafkaLog:
    """The log that is there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exchange = Exchange(settings)
        self._commands_id: str | None = None
        self._approvals = Approvals()
        self._tail = Tail(settings)
        self.jobs: Jobs = JobsTopic(settings)
        self.conversations: ConversationLog = ConversationTopic(settings)
        self._reading = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._sender: RecordSender | None = None
        self._definitions: tuple[Snapshot | None, float] = None, 0.0
        self._changed = 0.0  # when this process last published or retired; what was read before is not given any more

    async def ask(self, command: Command, *, key: str = "") -> Future[Answer]:
        partition = (
            partition_of(key, self._settings.topics.partitions)
            if key
            else partition_of_known_run(self._settings, getattr(command, "run", ""))
        )
        asked = stamped(command)
        return await asyncio.to_thread(self._exchange.ask, asked, key=key, partition=partition, for_s=REMEMBER_S)

    async def start(self, request: Request) -> Started:
        return await asyncio.to_thread(self._start, request)

    def _start(self, request: Request) -> Started:
        key = request.command.key
        partition = partition_of(key, self._settings.topics.partitions)
        if self._commands_id is None:
            name = topic_name(self._settings, COMMANDS)
            self._commands_id = Admin(self._settings).topic_ids([name])[name]
        command = stamped(request.command)
        answer, offset = self._exchange.append(command, key=key, partition=partition, for_s=REMEMBER_S)
        return Started(run_of(request, self._settings.environment, self._commands_id, partition, offset), answer)

    async def expect(self, command: str) -> Future[Answer]:
        return await asyncio.to_thread(self._exchange.expect, command, REMEMBER_S)

    async def history(self, run: str) -> list[Transition]:
        return await asyncio.to_thread(find_history, self._settings, run)

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
        def account(target: Settings, told: dict[str, Any]) -> None:
            change = Change(records={}, action="definition.publish", target=reference, after=told)
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

    async def send(self, records: Sequence[tuple[str, Outgoing]]) -> tuple[list[Place | None], OperationError | None]:
        async with self._sending:
            return await asyncio.to_thread(self._send, records)

    def _send(self, records: Sequence[tuple[str, Outgoing]]) -> tuple[list[Place | None], OperationError | None]:
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

    async def lag(self) -> list[PartitionLag]:
        return await asyncio.to_thread(measure_lag, self._settings, await self.definitions())

    async def workers(self) -> tuple[list[Presence], dict[str, frozenset[str]]]:
        groups = {role: group(self._settings) for role, group in DECIDING.items()}
        members = await members_of(self._settings, list(groups.values()))
        found = await asyncio.to_thread(presence, self._settings, await self.definitions())
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
        return described(self._settings, published, presence(self._settings, published))

    async def close(self) -> None:
        await asyncio.to_thread(self._tail.close)
        await asyncio.to_thread(self.jobs.close)
        await asyncio.to_thread(self.conversations.close)
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
