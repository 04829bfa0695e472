"""Contents and plans for decisions: from the definitions log, compiled once for each content."""

from __future__ import annotations

from streamflow.definition.compile import plan_of
from streamflow.definition.plan import Plan
from streamflow.engine.commands import Start
from streamflow.kafka.definitions import DefinitionsLog


class Plans:
    """`Contents` for the engine: reads the definitions log's snapshot, keeps compiled plans by sha."""

    def __init__(self, log: DefinitionsLog) -> None:
        self._log = log
        self._plans: dict[str, Plan] = {}

    def readable(self, start: Start) -> bool:
        """Whether the log has been read past the offset that `start` names."""
        return self._log.position > start.at

    async def wait(self, start: Start, timeout_s: float) -> None:
        """Return when it has been. Raises OperationError after `timeout_s`."""
        await self._log.wait_position(start.at + 1, timeout_s)

    def content(self, start: Start) -> str | None:
        """The content of `start.sha`, if it was published at or below `start.at`: the same answer whenever it is asked."""
        found = self._log.contents.get(start.sha)
        return found[0].decode() if found is not None and found[1] <= start.at else None

    def plan(self, sha: str, content: str) -> Plan:
        plan = self._plans.get(sha)
        if plan is None:
            plan = self._plans[sha] = plan_of(content.encode())
        return plan
