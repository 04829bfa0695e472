"""`/approvals`: what waits for people, and what they decide.

The sidecar knows one token and no people: `by` is whom the caller says to decide. A proxy that knows people may say who
they are with the headers `X-Streamflow-User`, which `by` must then be, and `X-Streamflow-Groups`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.errors import Rejected
from streamflow.ops.approvals import decide, open_approval
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.log import heard_of_run
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf

router = APIRouter(tags=["approvals"], route_class=JsonRoute)

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
    """What a person decided, and what they filled in."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approved", "rejected"]
    by: str = Field(min_length=1, max_length=200, description="who decides")
    data: Any = Field(default=None, description="what fits the approval's form")


@router.get("/approvals", responses=declared("request_invalid"), dependencies=[needs(Right.READ_APPROVALS)])
async def list_(log: LogOf, who: str | None = None) -> list[dict[str, Any]]:
    """The approvals that are open, oldest first; with `who`, those that this person or group may decide."""
    return [one.facts() for one in await log.approvals() if who is None or who in one.who]


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
    response: Response,
    user: Annotated[
        str | None, Header(alias="X-Streamflow-User", description="who the caller is, said by a proxy that knows")
    ] = None,
    groups: Annotated[
        str, Header(alias="X-Streamflow-Groups", description="groups of the caller, divided by commas")
    ] = "",
) -> dict[str, Any]:
    """Decides. 200: it is decided; 202: the engine has not said so yet, `GET /runs/{run}?wait={command}` tells."""
    if user is not None and user != body.by:
        raise Rejected(
            "not_allowed", f"expected `by` to be {user}, who asks, but found {body.by}. Decide for yourself."
        )
    history = await log.history(run)
    if not history:
        raise Rejected(
            "run_unknown",
            f"expected transitions of {run} in runs but there are none. List the open approvals.",
            run=run,
        )
    approval = open_approval(history, run, step)
    named = [group.strip() for group in groups.split(",") if group.strip()]
    command = decide(approval, body.decision, by=body.by, groups=named, data=body.data)
    answer = await heard_of_run(log, run, await log.ask(command, key=approval.key), _ANSWER_S)
    response.status_code = 200 if answer is not None else 202
    return {"command": command.id, "run": run, "step": step, "decision": body.decision, "applied": answer is not None}
