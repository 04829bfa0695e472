"""`/audit`: who changed what."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query

from streamflow.access.audit import Entry
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.run_query import Ms
from streamflow.sidecar.state import IdentityOf

router = APIRouter(prefix=API_PATH, tags=["access"])

_PAGE = 200


@router.get("/audit", responses=declared("request_invalid"), dependencies=[needs(Right.READ_AUDIT)])
async def list_(
    identity: IdentityOf,
    who: Annotated[str | None, Query(max_length=1000, description="only actions of this user")] = None,
    action: Annotated[str | None, Query(max_length=100, description="prefix of the action, such as `user.`")] = None,
    target: Annotated[str | None, Query(max_length=1000, description="part of the name of the changed object")] = None,
    from_ms: Ms | None = None,
    to_ms: Ms | None = None,
    cursor: Annotated[int | None, Query(ge=1, description="`next` of the previous page")] = None,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 50,
) -> dict[str, Any]:
    """Entries of the audit, newest first: who, by what, when, what, and how it was before and is after. Each has the
    digest of the one before it; `streamflow audit verify` checks the chain."""

    def fits(entry: Entry) -> bool:
        return (
            (cursor is None or entry.number < cursor)
            and who in (None, entry.who)
            and (action is None or entry.action.startswith(action))
            and (target is None or target in entry.target)
            and (from_ms is None or entry.at_ms >= from_ms)
            and (to_ms is None or entry.at_ms < to_ms)
        )

    found = await asyncio.to_thread(identity.access.audit, fits, limit + 1)
    rows = found[:limit]
    return {"rows": msgspec.to_builtins(rows), "next": rows[-1].number if len(found) > limit else None}
