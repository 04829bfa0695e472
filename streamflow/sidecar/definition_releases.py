"""Promotion of approved versions to other environments, and rollback."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from streamflow.definition.content import child_names
from streamflow.kafka.rollback import target_of
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.definitions import resolve
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.definitions import Body, acting
from streamflow.sidecar.principal import PrincipalOf, Right, actor, needs_for_name
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf, StateOf, audited

router = APIRouter(prefix=f"{API_PATH}/definitions", tags=["definitions"], route_class=JsonRoute)

_PROMOTE = (
    *BODY_FAULTS,
    "version_unknown",
    "version_unreadable",
    "environment_unknown",
    "environment_unusable",
    "approval_missing",
    "approval_mismatch",
    "approval_invalid",
    "approval_own_work",
    "approval_key_missing",
    "approval_key_invalid",
    "secret_missing",
    "not_allowed",
    "version_taken",
    "version_retired",
    "child_unknown",
    "topic_reserved",
)


class Promoting(Body):
    """The target environment, and the person who promotes."""

    to: str = Field(pattern=r"^[a-z0-9]{1,16}$", description="an environment of approvals.environments")
    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="who promotes; default, and the only name allowed, for a user: their own",
    )


class RollingBack(Body):
    """Which version."""

    version: str | None = Field(
        default=None, max_length=200, description="version to use; default: the one published before the current one"
    )


@router.post(
    "/{name}/versions/{version}/promote",
    responses=declared(*_PROMOTE),
    dependencies=[needs_for_name(Right.PUBLISH_DEFINITIONS)],
)
async def promote(
    name: str, version: str, body: Promoting, log: LogOf, state: StateOf, principal: PrincipalOf
) -> dict[str, Any]:
    """Publishes a version that is approved here in another environment: exactly the same content, with an approval that
    is signed for that environment and names the one it follows."""
    reference = f"{name}@{version}"
    snapshot = await log.definitions(fresh=True)
    resolve(snapshot, reference)
    for child, _ in child_names(snapshot.read_version(name, version)[0]):
        principal.require(Right.START_RUNS, child)
    by = acting(principal, body.by)
    after = {"to": body.to, "by": by}
    await audited(state.identity, actor(principal), "definition.promote", reference, after=after)
    return await log.promote(reference, body.to, by=by, who=actor(principal))


@router.post(
    "/{name}/rollback",
    responses=declared(*BODY_FAULTS, "version_unknown", "version_retired", "definition_unapproved", "nothing_before"),
    dependencies=[needs_for_name(Right.PUBLISH_DEFINITIONS)],
)
async def rollback(name: str, body: RollingBack, log: LogOf, state: StateOf, principal: PrincipalOf) -> dict[str, Any]:
    """Has new runs start on an earlier version again; open runs continue with what they began with. `version` starts
    use now, `before` until now."""
    target, before = target_of(await log.definitions(fresh=True), name, body.version)
    was, now = {"current": before}, {"current": target}
    await audited(state.identity, actor(principal), "definition.rollback", name, before=was, after=now)
    return asdict(await log.roll_back(name, target))
