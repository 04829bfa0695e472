"""Revisions of the engine: which one runs start with, and which ones the workers that are there know
(docs/design.md#what-identical-replay-forbids).

Every engine worker's client id names the revisions that it knows, so that they can be asked of the group. A new one is
enabled when all know it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamflow.engine.commands import KNOWN_REVISIONS, REVISION
from streamflow.errors import Rejected
from streamflow.kafka.aiokafka_patches import run_and_disconnect
from streamflow.kafka.connection import client_name
from streamflow.kafka.engine_records import enable_revision
from streamflow.kafka.groups import engine_group
from streamflow.kafka.log_reading import read_log
from streamflow.kafka.log_writing import Recorded
from streamflow.kafka.members import member_role, members_of
from streamflow.settings import Settings


@dataclass(frozen=True, slots=True)
class Revisions:
    """`enabled`: what runs start with. `newest` and `known`: of this program. `workers`: what each engine worker that
    is there knows."""

    enabled: str
    newest: str
    known: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]


def client_id(settings: Settings, known: Iterable[str] = KNOWN_REVISIONS) -> str:
    """The client id of an engine worker that knows these revisions."""
    return client_name(settings, member_role("engine", settings.engine.instance_id, sorted(known)))


def revisions(settings: Settings) -> Revisions:
    """Blocks. Raises OperationError."""
    group = engine_group(settings)
    members = run_and_disconnect(members_of(settings, [group]))[group]
    workers = tuple(sorted(one.revisions for one in members))
    return Revisions(read_log(settings).revision, REVISION, tuple(sorted(KNOWN_REVISIONS)), workers)


def enable(settings: Settings, revision: str) -> Recorded:
    """Lets runs start with `revision`. Blocks. Raises Rejected (`revision_unknown`, when a worker that is there does
    not know it) or OperationError."""
    found = revisions(settings)
    lacking = [worker for worker in found.workers if revision not in worker]
    if lacking or not found.workers:
        who = (
            f"{len(lacking)} of {len(found.workers)} engine workers do not"
            if found.workers
            else "no engine worker is there"
        )
        text = (
            f"expected every engine worker to know revision {revision} but {who}. Start workers of the version that "
            "has it, and repeat the command."
        )
        raise Rejected("revision_unknown", text)
    return enable_revision(settings, revision)
