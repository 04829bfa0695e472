"""Contents and plans for decisions: from the definitions log, compiled once for each content."""

from __future__ import annotations

from collections.abc import Callable

from streamflow import settings
from streamflow.core.outbox import Written
from streamflow.definition.compile import plan_of
from streamflow.definition.plan import Plan
from streamflow.engine.builder import Limits
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.outcome import UnapprovedContent, UnusableContent
from streamflow.errors import OperationError
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.registry.event_writers import EventWriters
from streamflow.wire.unreadable import UNREADABLE


class Plans:
    """`Contents` for the engine: reads the definitions log's snapshot, keeps compiled plans by sha."""

    def __init__(self, log: DefinitionsLog) -> None:
        self._log = log
        self._plans: dict[str, Plan] = {}
        self._writers = EventWriters()
        self._unapproved: set[str] = set()  # contents for whose approval the log was read to its end

    def readable(self, start: DefinitionRef) -> bool:
        """Whether the log has been read past the offset that `start` names, and to an approval where one is required;
        if there is none, to its end."""
        if self._log.position <= start.log_offset:
            return False
        return self._log.is_approved(start.sha256) or start.sha256 in self._unapproved

    async def wait(self, start: DefinitionRef, timeout_s: float) -> bool:
        """Return when it has been: True; or False when the log does not reach that offset, so that nobody can have read
        there what it starts. Raises OperationError after `timeout_s`."""
        end = await self._log.committed_end()
        if end is not None and start.log_offset >= end:
            return False
        await self._log.wait_position(start.log_offset + 1, timeout_s)
        if not self._log.is_approved(start.sha256):
            if end is None:
                raise OperationError(
                    "definitions_behind",
                    f"The content {start.sha256[:12]} has no valid approval as far as the definitions log is read, and "
                    "the broker does not say where the log ends. Check the broker.",
                )
            await self._log.wait_position(end, timeout_s)  # the writer of the start may have read more of it
            self._unapproved.add(start.sha256)
        return True

    def content(self, start: DefinitionRef) -> str | None:
        """The content of `start.sha256`, if it was published at or below `start.log_offset`.

        The same answer whenever it is asked, but for approvals: raises UnapprovedContent if one is required and
        missing."""
        found = self._log.contents.get(start.sha256)
        if found is None or found[1] > start.log_offset:
            return None
        if not self._log.is_approved(start.sha256):
            self._unapproved.discard(start.sha256)  # the next start reads to the end of the log again
            raise UnapprovedContent(start.sha256[:12])
        return found[0].decode()

    def limits(self) -> Limits:
        """The limits that were fixed with the topics. Raises OperationError when they were not."""
        fixed = self._log.engine.get("limits")
        if fixed is None:
            raise OperationError(
                "limits_missing",
                "expected the limits of decisions in definitions but they are missing. Run `streamflow topics apply`.",
            )
        # they are fixed once; what is newer than that has its default
        fixed = {**settings.Limits().model_dump(), **fixed}
        return Limits(
            environment=self._log.environment,
            transitions=fixed["transitions_per_command"],
            kept_events=fixed["kept_events"],
            mailbox_bytes=fixed["kept_bytes"],
            open_runs=fixed["open_runs"],
            window_ms=fixed["window_hours"] * 3_600_000,
            record_bytes=fixed["record_bytes"],
            items=fixed["items"],
            lost_ms=fixed["lost_attempt_s"] * 1000,
        )

    def skips(self, partition: int) -> dict[int, str]:
        """The commands that a person lets `partition` pass over, by offset, with the reason."""
        return {offset: skip.reason for offset, skip in self._log.skips(partition).items()}

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        """The plan of a content. Raises UnusableContent when this program cannot read or compile it."""
        plan = self._plans.get(sha)
        if plan is None:
            try:
                plan = plan_of(content().encode())
            except UNREADABLE as error:
                if isinstance(error, MemoryError):
                    raise
                raise UnusableContent(sha, error) from error
            self._plans[sha] = plan
        return plan

    def topic(self, event: str) -> str | None:
        """The topic that an emitted event is bound to, None without a binding."""
        binding = self._log.bindings.get(event)
        return binding.topics[0] if binding is not None else None

    def writer(self, event: str) -> Written | None:
        """How an emitted event is written; None: as JSON. Raises OperationError as `EventWriters`."""
        return self._writers.of(event, self._log.bindings.get(event))
