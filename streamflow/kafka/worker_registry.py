"""Who does which operations, and since when: each task worker announces itself in the definitions log and withdraws
when it stops.

A worker that was killed could not withdraw. Its announcement stays, and is distinguished from the others by its
consumer group, which has no member with its client id any more; the announcements of those long gone are deleted by the
next worker that announces itself.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from streamflow.kafka.aiokafka_patches import run_and_disconnect
from streamflow.kafka.connection import client_name
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_writing import Records, write
from streamflow.kafka.members import members_of, release
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE

_log = structlog.get_logger(__name__)

_GONE_MS = 86_400_000

_LANE = re.compile(r"[A-Za-z0-9._-]{1,200}")  # it is part of a topic's and of a group's name


class WorkerRegistration(msgspec.Struct, frozen=True):
    """One task worker of one lane: its name, where it runs, since when (ms since the epoch), and its operations with
    their health at that time, `{"name", "ok", "detail", "since_ms"}` each. `client_id` is that of its consumer."""

    lane: str
    instance: str
    client_id: str
    host: str
    pid: int
    since_ms: int
    operations: list[dict[str, Any]]
    version: str = ""
    """The release that it runs; empty before releases said so."""

    draining: bool = False
    """It has been asked to stop, starts nothing, and lets running attempts end."""


def group_of(settings: Settings, lane: str) -> str:
    """The consumer group of a lane's task workers."""
    return f"{settings.topics.prefix}tasks.{lane}"


def client_role(lane: str, instance: str) -> str:
    """The role that a task worker gives to `aiokafka_config`, so that its client id says which worker it is."""
    return f"tasks-{lane}-{instance}"


def instance_name(settings: Settings) -> str:
    """What this process is called: the configured instance id, or its host and process id."""
    return settings.tasks.instance_id or f"{socket.gethostname()}-{os.getpid()}"


def announce(
    settings: Settings,
    *,
    lane: str,
    instance: str,
    operations: Sequence[Mapping[str, Any]],
    since_ms: int | None = None,
    draining: bool = False,
) -> WorkerRegistration:
    """Announces that this process does `operations` (see `WorkerRegistration`) in `lane`, from now on or since
    `since_ms`, or that it is draining. Blocks for a while.

    Raises OperationError."""
    now_ms = time.time_ns() // 1_000_000
    client_id = client_name(settings, client_role(lane, instance))
    made = WorkerRegistration(
        lane,
        instance,
        client_id,
        socket.gethostname(),
        os.getpid(),
        now_ms if since_ms is None else since_ms,
        [dict(one) for one in operations],
        release(),
        draining,
    )
    present = clients_of(settings, [lane])[lane]

    def records(log: Snapshot) -> Records:
        wanted: Records = {}
        for one in announced(log):
            if one.lane == lane and one.client_id not in present and now_ms - one.since_ms > _GONE_MS:
                wanted[_key(one.lane, one.instance)] = None
        return wanted | {_key(lane, instance): msgspec.json.encode(made)}

    write(settings, records)
    return made


def withdraw(settings: Settings, *, lane: str, instance: str) -> None:
    """Takes an announcement back, if it is there. Blocks for a while.

    Raises OperationError."""
    write(settings, lambda log: {_key(lane, instance): None} if f"{lane}/{instance}" in log.serving else {})


def announced(log: Snapshot) -> list[WorkerRegistration]:
    """All announcements in `log`, by lane and instance. One that cannot be understood is logged and left out."""
    found = []
    for name, value in sorted(log.serving.items()):
        try:
            one = msgspec.convert(value, WorkerRegistration)
            if name != f"{one.lane}/{one.instance}" or not _LANE.fullmatch(one.lane):
                raise ValueError("its key names another worker, or no lane")
            found.append(one)
        except UNREADABLE as error:
            _log.warning("announcement_malformed", name=name, error=str(error))
    return found


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """An announcement, and whether its worker is a member of its group now."""

    serving: WorkerRegistration
    present: bool


def registered_workers(settings: Settings, log: Snapshot) -> list[RegisteredWorker]:
    """All announcements, and which of the workers are there.

    Raises OperationError when the broker does not answer."""
    found = announced(log)
    clients = clients_of(settings, sorted({one.lane for one in found}))
    return [RegisteredWorker(one, one.client_id in clients[one.lane]) for one in found]


def clients_of(settings: Settings, lanes: Iterable[str]) -> dict[str, frozenset[str]]:
    """The client ids of the members of each lane's group. For use outside of an event loop; not by librdkafka's admin
    client (see `groups`).

    Raises OperationError when the broker does not answer."""
    wanted = list(lanes)
    return run_and_disconnect(_clients(settings, wanted)) if wanted else {}


async def _clients(settings: Settings, lanes: Sequence[str]) -> dict[str, frozenset[str]]:
    found = await members_of(settings, [group_of(settings, lane) for lane in lanes])
    return {lane: frozenset(one.client_id for one in found[group_of(settings, lane)]) for lane in lanes}


def _key(lane: str, instance: str) -> str:
    return f"serving/{lane}/{instance}"
