"""Who works, and how much waits for them: workers and lanes as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamflow.kafka.groups import engine_group, history_group, ingress_group, mirror_group
from streamflow.kafka.members import Member
from streamflow.kafka.topics import lane_topic_name
from streamflow.kafka.worker_registry import RegisteredWorker, group_of
from streamflow.ops.lag import PartitionLag
from streamflow.ops.lag_rows import MeasuredLag, rows_of, totals
from streamflow.settings import Settings


def unannounced(settings: Settings) -> dict[str, str]:
    """The roles whose workers announce nothing, and the group of each. The mirror is among them where something is
    mirrored; elsewhere nobody has a right to its group."""
    groups = {"engine": engine_group(settings), "ingress": ingress_group(settings), "history": history_group(settings)}
    return groups | ({"mirror": mirror_group(settings)} if settings.mirror.topics else {})


def worker_rows(workers: Sequence[RegisteredWorker], members: Mapping[str, Iterable[Member]]) -> list[dict[str, Any]]:
    """Every worker: task workers as they announced themselves, and the members of the other groups (`members`, by
    role). `health` is `ok`, `draining` (it lets running attempts end), `degraded` (an operation is not well) or
    `silent` (it is no member of its group). `partitions` are those that it has, None for a task worker."""
    rows: list[dict[str, Any]] = [
        {
            "worker": one.instance or (f"{one.host}-{one.pid}" if one.host else one.client_id),
            "role": role,
            "host": one.host or one.address,
            "pid": one.pid,
            "since_ms": one.since_ms,
            "version": one.version,
            "revisions": list(one.revisions),
            "partitions": one.partitions,
            "present": True,
            "lanes": [],
            "operations": [],
            "health": "ok",
            "detail": "",
        }
        for role, found in members.items()
        for one in found
    ]
    for one in workers:
        serving, unwell = one.serving, [each for each in one.serving.operations if not each.get("ok", True)]
        rows.append(
            {
                "worker": serving.instance,
                "role": "tasks",
                "host": serving.host,
                "pid": serving.pid,
                "since_ms": serving.since_ms,
                "version": serving.version,
                "revisions": [],
                "partitions": None,
                "present": one.present,
                "lanes": [serving.lane],
                "operations": [str(each.get("name", "")) for each in serving.operations],
                "health": _health(one, well=not unwell),
                "detail": str(unwell[0].get("detail", "")) if unwell else "",
            }
        )
    return rows


def _health(one: RegisteredWorker, *, well: bool) -> str:
    if not one.present:
        return "silent"
    if one.serving.draining:
        return "draining"
    return "ok" if well else "degraded"


def lane_rows(
    settings: Settings, workers: Sequence[RegisteredWorker], lags: Iterable[PartitionLag]
) -> list[dict[str, Any]]:
    """Every lane by name: the workers that are there, what they do, how much waits, and how long the oldest has (None:
    it is not known)."""
    waiting = totals(lags)
    rows = []
    for lane in sorted(settings.tasks.lanes):
        here = [one.serving for one in workers if one.present and one.serving.lane == lane]
        records, seconds = waiting.get(("tasks", lane_topic_name(settings, lane)), (0, 0.0))
        names = {str(each.get("name", "")) for one in here for each in one.operations}
        rows.append(
            {
                "lane": lane,
                "operations": sorted(names),
                "workers": len(here),
                "waiting": records,
                "oldest_s": None if seconds is None else round(seconds, 3),
            }
        )
    return rows


def group_lag_rows(settings: Settings, measured: MeasuredLag) -> list[dict[str, Any]]:
    """The lag of each group on each topic, see `rows_of`, with the group and its lane."""
    lanes = {lane_topic_name(settings, lane): lane for lane in settings.tasks.lanes}
    groups = unannounced(settings)
    rows = []
    for row in rows_of(measured.partitions, measured.drains):
        lane = lanes.get(row["topic"]) if row["role"] == "tasks" else None
        rows.append({**row, "group": groups.get(row["role"]) or group_of(settings, lane or ""), "lane": lane})
    return rows
