"""What routes need of Kafka, and nothing more; so that tests may put a log in memory in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streamflow.access.audit import Actor
from streamflow.approvals.approval import Approval
from streamflow.approvals.report import Approved
from streamflow.conversations.topic import ConversationLog
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.members import Member
from streamflow.kafka.publication import Published, Retired
from streamflow.kafka.rollback import RolledBack
from streamflow.kafka.worker_registry import RegisteredWorker
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import OpenApproval
from streamflow.ops.command_request import Answer
from streamflow.ops.dead_letters import Letter
from streamflow.ops.history import END_AGAIN_S, END_S, explained
from streamflow.ops.jobs_topic import Jobs
from streamflow.ops.lag_rows import MeasuredLag
from streamflow.ops.produce import Outgoing
from streamflow.ops.restarts import Restarted
from streamflow.ops.shadow import Pair
from streamflow.ops.starts import Request
from streamflow.ops.tail import Listener
from streamflow.ops.unclaimed import UnclaimedEvent
from streamflow.wire.decoding import Record

if TYPE_CHECKING:
    from streamflow.simulation.shadow import Recorded
    from streamflow.simulation.shadow_range import RecordedRange

REMEMBER_S = 60.0  # for how long an answer is listened for, although nobody may ask for it


RecordPosition = tuple[int, int]
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
        """Starts a run instead of another one, which ends if it is open. Raises Rejected (see
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

    async def send(
        self, records: Sequence[tuple[str, Outgoing]]
    ) -> tuple[list[RecordPosition | None], OperationError | None]:
        """Sends records, each to a topic. The partition and offset of each that the broker took, and why it did not
        take others."""

    async def dead_letters(self) -> list[Letter]:
        """All dead letters that are kept, oldest first."""

    async def dead_letter(self, number: int) -> Record | None:
        """The record of a dead letter, None when it is no longer kept."""

    async def replay(
        self, letters: Sequence[Letter], *, why: str, as_new: bool, again: bool, dry_run: bool
    ) -> dict[str, Any]:
        """Sends the records of dead letters again; the result of each (see `ops.replay.replay_result`)."""

    async def drop(self, letters: Sequence[Letter], *, why: str) -> set[str]:
        """Marks dead letters as given up; the ids of those that are."""

    async def lag(self) -> MeasuredLag:
        """How far the workers are behind, and how long they take to catch up."""

    async def workers(self) -> tuple[list[RegisteredWorker], dict[str, tuple[Member, ...]]]:
        """The task workers that announced themselves, and the members of the other groups by role."""

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


async def heard(future: Future[Answer], timeout_s: float) -> Answer | None:
    """The answer, or None when there is none within `timeout_s`. Raises what it was refused with. Any other caller that
    waits for it continues to wait."""
    if future.done():
        return future.result()
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def notify(_future: Future[Answer]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(notify)
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
