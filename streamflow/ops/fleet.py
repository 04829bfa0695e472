"""Who works, and how much waits for them: workers and lanes as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamflow.kafka.groups import engine_group, history_group, ingress_group, mirror_group
from streamflow.kafka.members import Member
from streamflow.kafka.topics import lane_topic_name
from streamflow.kafka.worker_registry import RegisteredWorker, group_of
from streamflow.ops.lag import PartitionLag, totals
from streamflow.settings import Settings

UNANNOUNCED = {"engine": engine_group, "ingress": ingress_group, "history": history_group}
"""The roles whose workers announce nothing, and the group of each."""


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
        told, unwell = one.serving, [each for each in one.serving.operations if not each.get("ok", True)]
        rows.append(
            {
                "worker": told.instance,
                "role": "tasks",
                "host": told.host,
                "pid": told.pid,
                "since_ms": told.since_ms,
                "version": told.version,
                "revisions": [],
                "partitions": None,
                "present": one.present,
                "lanes": [told.lane],
                "operations": [str(each.get("name", "")) for each in told.operations],
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
    """Every lane by name: the workers that are there, what they do, and how much waits."""
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
                "oldest_s": round(seconds, 3),
            }
        )
    return rows


def lag_rows(settings: Settings, lags: Sequence[PartitionLag]) -> list[dict[str, Any]]:
    """The lag of each group on each topic: records, and seconds since the first of them came, 0 when nothing waits."""
    lanes = {lane_topic_name(settings, lane): lane for lane in settings.tasks.lanes}
    states = {(one.role, one.topic): one.state for one in lags if one.state}
    groups = {role: group(settings) for role, group in UNANNOUNCED.items()} | {"mirror": mirror_group(settings)}
    rows = []
    for (role, topic), (records, seconds) in totals(lags).items():
        lane = lanes.get(topic) if role == "tasks" else None
        rows.append(
            {
                "role": role,
                "group": groups.get(role) or group_of(settings, lane or ""),
                "topic": topic,
                "lane": lane,
                "records": records,
                "seconds": round(seconds, 3),
                "state": states.get((role, topic), ""),
            }
        )
    return rows
