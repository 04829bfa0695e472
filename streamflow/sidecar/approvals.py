"""`/approvals`: what waits for people, and what they decide.

A user decides in their own name and for the groups that the directory and their identity provider put them in. Anyone
who has the sidecar's token, or is on the machine of one that has no users, is an admin who may say for whom they ask.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.approvals import decide, open_approval
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.log import heard_of_run
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs, require_run
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import IdentityOf, LogOf, audited

router = APIRouter(prefix=API_PATH, tags=["approvals"], route_class=JsonRoute)

_ANSWER_S = 5.0
_DECIDE = (
    *BODY_FAULTS,
    "no_run_id",
    "run_unknown",
    "run_ended",
    "approval_unknown",
    "approval_closed",
    "not_allowed",
    "decision_unknown",
    "by_missing",
    "schema_mismatch",
)


class Decision(BaseModel):
    """A person's decision, with the data of the form."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approved", "rejected"]
    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="who decides; default, and the only name allowed, for a user: their own",
    )
    groups: list[str] = Field(
        default_factory=list,
        max_length=200,
        description="groups of the person who decides; only with the sidecar's token, or without users",
    )
    data: Any = Field(default=None, description="data for the approval's form")


@router.get("/approvals", responses=declared("request_invalid"), dependencies=[needs(Right.READ_APPROVALS)])
async def list_(log: LogOf, principal: PrincipalOf, who: str | None = None, mine: bool = False) -> list[dict[str, Any]]:
    """The approvals that are open, oldest first; with `who`, those that this person or group may decide, with `mine`
    those that the caller may."""
    own = {principal.name, *principal.groups}
    return [
        one.facts()
        for one in await log.approvals()
        if principal.may(Right.READ_APPROVALS, one.definition)
        and (who is None or who in one.who)
        and (not mine or own & set(one.who))
    ]


@router.post(
    "/runs/{run}/approvals/{step}",
    responses={202: {"description": "Accepted"}, **declared(*_DECIDE)},
    dependencies=[needs(Right.DECIDE_APPROVALS)],
)
async def give(
    run: str,
    step: str,
    body: Decision,
    log: LogOf,
    identity: IdentityOf,
    principal: PrincipalOf,
    response: Response,
) -> dict[str, Any]:
    """Decides. 200: it is decided; 202: the engine has not said so yet, `GET /runs/{run}?wait={command}` returns it."""
    by, groups = _decider(principal, body)
    history = require_run(principal, Right.DECIDE_APPROVALS, run, await log.history(run))
    approval = open_approval(history, run, step)
    command = decide(approval, body.decision, by=by, groups=groups, data=body.data)
    after = {"decision": body.decision, "by": by, "command": command.id}
    await audited(identity, actor(principal), "approval.decide", f"{run}/{step}", after=after)
    answer = await heard_of_run(log, run, await log.ask(command, key=approval.key), _ANSWER_S)
    response.status_code = 200 if answer is not None else 202
    return {"command": command.id, "run": run, "step": step, "decision": body.decision, "applied": answer is not None}


def _decider(principal: Principal, body: Decision) -> tuple[str, list[str]]:
    """Who decides, and their groups. Raises Rejected (`not_allowed`, `by_missing`)."""
    if not principal.id:
        if body.by is None:
            raise Rejected(
                "by_missing", "expected the name of the person who decides but it is missing. Name them in `by`."
            )
        return body.by, body.groups
    if body.by not in (None, principal.name) or body.groups:
        raise Rejected(
            "not_allowed",
            f"expected `by` to be {principal.name}, the caller, and no `groups`, but found {body.by} and "
            f"{body.groups}. Decide for yourself.",
        )
    return principal.name, list(principal.groups)
