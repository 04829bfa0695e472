"""The settings of a drill: the user's own, with a prefix, lanes and session timeouts for the drill."""

from __future__ import annotations

import json
import os
from pathlib import Path

from streamflow.drill.definitions import SLOW
from streamflow.settings import Lane, Settings

PARTITIONS = 4
SESSION_S = 6.0  # of workers on a broker of the user's: the least that Kafka allows by default
OWN_SESSION_S = 3.0  # on the drill's own broker
_DRAIN_S = 3


def settings_for(given: Settings, prefix: str, folder: Path, session_s: float) -> Settings:
    """The settings by which a drill makes its topics."""
    lanes = {name: lane.model_copy(update={"session_timeout_s": session_s}) for name, lane in given.tasks.lanes.items()}
    for name in ("default", SLOW):
        lanes.setdefault(name, Lane(session_timeout_s=session_s))
    return given.model_copy(
        update={
            "topics": given.topics.model_copy(update={"prefix": prefix, "partitions": PARTITIONS}),
            "tasks": given.tasks.model_copy(update={"lanes": lanes}),
            "state_dir": folder / "state",
        }
    )


def environment(settings: Settings, session_s: float, ledger: str, role: str, member: str | None) -> dict[str, str]:
    """The environment of a worker: ours, and over it what the drill needs. `member` is its name in the group, if it is
    a static member."""
    tasks = settings.tasks
    own = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
        "TOPICS__PREFIX": settings.topics.prefix,
        "TOPICS__PARTITIONS": str(settings.topics.partitions),
        "ENGINE__SESSION_TIMEOUT_S": str(session_s),
        "INGRESS__SESSION_TIMEOUT_S": str(session_s),
        "TASKS__LANES": json.dumps({lane: config.model_dump(mode="json") for lane, config in tasks.lanes.items()}),
        "TASKS__ALLOW_HOSTS": json.dumps([*tasks.allow_hosts, ledger]),
        "TASKS__DRAIN_S": str(_DRAIN_S),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }
    found = {**os.environ, **{f"STREAMFLOW_{key}": value for key, value in own.items()}}
    instance = f"STREAMFLOW_{role.upper()}__INSTANCE_ID"
    found.pop(instance, None)
    return found | ({} if member is None else {instance: member})
