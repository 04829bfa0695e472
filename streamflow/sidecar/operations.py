"""`/operations`: what may be called, who does it, and plugins as they come and go."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.operations.plugin import Registration
from streamflow.operations.registry import known_operations
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.principal import PrincipalOf, Right, actor, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import IdentityOf, LogOf, audited

router = APIRouter(prefix=f"{API_PATH}/operations", tags=["operations"], route_class=JsonRoute)

_REGISTER = (
    *BODY_FAULTS,
    "plugin_invalid",
    "operation_taken",
    "operation_registered",
)

Replace = Annotated[bool, Query(description="replace another plugin of this name")]


@router.get("", responses=declared(), dependencies=[needs(Right.READ_OPERATIONS)])
async def list_(log: LogOf) -> list[dict[str, Any]]:
    """The operations, by name: their contracts, where they are from, whether they are well, and the task workers that
    do them."""
    return await log.operations()


@router.post(
    "",
    status_code=201,
    responses={200: {"description": "It was registered already"}, **declared(*_REGISTER)},
    dependencies=[needs(Right.REGISTER_OPERATIONS)],
)
async def register(
    body: Registration,
    log: LogOf,
    identity: IdentityOf,
    principal: PrincipalOf,
    response: Response,
    replace: Replace = False,
) -> dict[str, Any]:
    """Registers a plugin; task workers have it at once. 200: it was registered already, the same. 409: another plugin
    has its name, and `replace` was not asked for."""
    if replace:
        principal.require(Right.REPLACE_OPERATIONS)
    name = body.spec.name
    if name in {spec.name for spec in known_operations()}:
        raise Rejected(
            "operation_taken",
            f"expected the name {name} to be free but an installed operation has it. Choose another.",
        )
    after = body.model_dump(mode="json", by_alias=True, exclude_none=True)
    await audited(identity, actor(principal), "operation.register", name, after=after)
    recorded = await log.register(body, replace=replace)
    response.status_code = 201 if recorded is not None else 200
    return {"name": name, "already": recorded is None}


@router.delete(
    "/{name}",
    status_code=204,
    responses=declared("request_invalid", "operation_unknown"),
    dependencies=[needs(Right.REPLACE_OPERATIONS)],
)
async def remove(name: str, log: LogOf, identity: IdentityOf, principal: PrincipalOf) -> None:
    """Takes a plugin away."""
    await audited(identity, actor(principal), "operation.remove", name[:200])
    await log.remove(name)
