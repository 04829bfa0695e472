"""The engine's own records in the definitions log: limits and environment, revisions, generations of partitions,
commands that are passed over."""

from __future__ import annotations

import time
from typing import Any

from streamflow.engine.commands import REVISION
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Skip, Snapshot, require_environment
from streamflow.kafka.log_reading import read_logs
from streamflow.kafka.log_writing import Recorded, Records, encoded, write
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.settings import Settings


def fix_limits(settings: Settings) -> dict[str, Any]:
    """The limits that decisions use: those of `settings` if none were fixed before, else the ones that were. They are
    never changed afterwards, because the same commands must give the same decisions in every worker. With them goes the
    first revision of the engine, and the name of the environment.

    Raises OperationError, also when `settings` name another environment than the one that was fixed
    (`environment_differs`)."""
    fixed: dict[str, Any] = settings.limits.model_dump()

    def records(log: Snapshot) -> Records:
        wanted: Records = {} if "revision" in log.engine else {"engine/revision": _revision(REVISION)}
        if "environment" in log.engine:
            require_environment(settings, log.environment)
        else:
            wanted["engine/environment"] = encoded({"environment": settings.environment})
        if known := log.engine.get("limits"):
            fixed.clear()
            fixed.update(known)
            return wanted
        return wanted | {"engine/limits": encoded(fixed)}

    write(settings, records)
    return fixed


def enable_revision(settings: Settings, revision: str) -> Recorded:
    """Runs start with `revision` of the engine from now on; those that are open keep theirs.

    Raises OperationError."""
    _, offsets = write(
        settings,
        lambda log: (
            {} if log.revision == revision and "revision" in log.engine else {"engine/revision": _revision(revision)}
        ),
    )
    return Recorded(revision, max(offsets.values(), default=None))


def record_generations(settings: Settings, partitions: tuple[int, ...]) -> Recorded:
    """Notes how many partitions each generation has, oldest first.

    Raises OperationError, also when others than those before the newest are noted (`generation_differs`): another
    process has grown the installation meanwhile."""

    def records(log: Snapshot) -> Records:
        if log.generations not in ((), partitions[:-1], partitions):
            found = ", ".join(map(str, log.generations)) or "none"
            raise OperationError(
                "generation_differs",
                f"expected no other generation to be added meanwhile but the generations have {found} partitions. Look "
                "at `streamflow topics generations`, and grow again if it is still needed.",
                retryable=False,
            )
        if log.generations == partitions:
            return {}
        return {"engine/generations": encoded({"partitions": list(partitions)})}

    _, offsets = write(settings, records)
    return Recorded("generations", max(offsets.values(), default=None))


def read_generations(settings: Settings) -> tuple[int, ...]:
    """How many partitions each generation has, oldest first; empty while there is only the first. Asks nothing else of
    the log, as an approval or the environment. Raises OperationError."""
    topic = topic_name(settings, DEFINITIONS)
    found = read_logs(settings, [topic])[topic]
    if isinstance(found, OperationError):
        raise found
    return found.generations


def _revision(revision: str) -> bytes:
    return encoded({"revision": revision, "enabled_ms": time.time_ns() // 1_000_000})


def skip_commands(settings: Settings, *, partition: int, offset: int, reason: str) -> int:
    """Lets `partition` pass over the command at `offset`, and what was deleted unread before it; the offset of the
    record that says so. The record is kept.

    Raises OperationError."""

    def records(_log: Snapshot) -> Records:
        return {f"engine/skip/{partition}/{offset}": encoded(Skip(reason, time.time_ns() // 1_000_000))}

    _, offsets = write(settings, records)
    return max(offsets.values())
