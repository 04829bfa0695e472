"""`/catalog`: the events and operations that definitions may name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter

from streamflow.definition.content import event_names, operation_names
from streamflow.definition.model import Definition
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.operations.registry import known_operations
from streamflow.ops.catalog import published_operations
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix=f"{API_PATH}/catalog", tags=["catalog"])


@router.get("/events", responses=declared(), dependencies=[needs(Right.READ_CATALOG)])
async def events(log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """The published events by name: what identifies them, their schema, the topics that they are bound to here, and the
    definitions that name them."""
    return {"rows": await asyncio.to_thread(_events, await log.definitions(), principal), "next": None}


@router.get("/operations", responses=declared(), dependencies=[needs(Right.READ_CATALOG)])
async def operations(log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """The contracts of the operations by name, those that are built in and registered plugins, and the definitions that
    call them. How they are and who does them is under `/operations`."""
    return {"rows": await asyncio.to_thread(_operations, await log.definitions(), principal), "next": None}


def _events(log: Snapshot, principal: Principal) -> list[dict[str, Any]]:
    users = _users(log, principal, event_names)
    return [
        spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        | {"topics": list(spec.topics), "used_by": sorted(users.get(spec.name, ()))}
        for spec in log.catalog().events
    ]


def _operations(log: Snapshot, principal: Principal) -> list[dict[str, Any]]:
    users = _users(log, principal, operation_names)
    built_in = {spec.name: spec for spec in known_operations()}
    specs = {spec.name: spec for spec in published_operations(log)} | built_in
    return [
        spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        | {"kind": "built_in" if name in built_in else "plugin", "used_by": sorted(users.get(name, ()))}
        for name, spec in sorted(specs.items())
    ]


def _users(log: Snapshot, principal: Principal, names: Callable[[Definition], Iterable[str]]) -> dict[str, set[str]]:
    """The served definitions that the principal may look at, by the names that each has in it."""
    users: dict[str, set[str]] = {}
    for one in log.served():
        if principal.may(Right.READ_DEFINITIONS, one.name):
            for name in names(one.definition):
                users.setdefault(name, set()).add(one.name)
    return users
