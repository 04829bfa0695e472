"""Operations as people see them: contracts, where they are from, how they are, and who does them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.worker_registry import RegisteredWorker
from streamflow.operations.contract import Health
from streamflow.operations.health import health_of
from streamflow.operations.plugin import PluginOperation
from streamflow.operations.registry import Registered, Registry
from streamflow.settings import Settings


def described(
    settings: Settings, log: Snapshot, workers: Sequence[RegisteredWorker], only: str | None = None
) -> list[dict[str, Any]]:
    """All operations as JSON would have them, by name. The health of plugins (of `only`, if given) is asked now and
    from here; that of others is what the workers said when they started. Not for use in an event loop."""
    registry = Registry(settings)
    asked = healths(registry, {name: value for name, value in log.operations.items() if only in (None, name)})
    found = [_facts(one, asked.get(one.spec.name), workers) for one in registry.registered()]
    for broken in registry.broken:
        health = {"ok": False, "detail": broken.why, "asked": True}
        found.append(
            {"name": broken.name, "source": f"{broken.source}, broken", "lane": "-", "health": health, "served_by": []}
        )
    return sorted(found, key=lambda one: str(one["name"]))


def healths(registry: Registry, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Health]:
    """The health of the plugins of `records`, by name, asked now. The registry is of no use afterwards but to look
    at."""
    return asyncio.run(_healths(registry, records))


async def _healths(registry: Registry, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Health]:
    registry.follow(records)
    plugins = [one.operation for one in registry.registered() if isinstance(one.operation, PluginOperation)]
    answers = await asyncio.gather(*map(health_of, plugins))
    await registry.close()
    return {plugin.spec.name: health for plugin, health in zip(plugins, answers, strict=True)}


def _facts(one: Registered, health: Health | None, workers: Sequence[RegisteredWorker]) -> dict[str, Any]:
    spec = one.spec
    served = [
        _served(worker, announced)
        for worker in workers
        for announced in worker.serving.operations
        if announced.get("name") == spec.name
    ]
    facts: dict[str, Any] = {
        "name": spec.name,
        "source": one.source,
        "lane": spec.lane,
        "contract": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "served_by": served,
    }
    if health is not None:
        facts["health"] = asdict(health) | {"asked": True}
    else:
        unwell = [each for each in served if each["present"] and not each["ok"]]
        facts["health"] = (
            {"ok": not unwell, "detail": unwell[0]["detail"] if unwell else "", "asked": False} if served else None
        )
    if isinstance(one.operation, PluginOperation):
        facts["plugin"] = one.operation.plugin.model_dump(mode="json", exclude_none=True)
    return facts


def _served(worker: RegisteredWorker, announced: dict[str, Any]) -> dict[str, Any]:
    serving = worker.serving
    place = {"lane": serving.lane, "instance": serving.instance, "host": serving.host, "pid": serving.pid}
    since_ms = announced.get("since_ms", serving.since_ms)
    return place | {
        "since_ms": since_ms,
        "present": worker.present,
        "ok": bool(announced.get("ok", True)),
        "detail": str(announced.get("detail", "")),
    }
