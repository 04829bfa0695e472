"""`/runs`: start one, look at one, and ask something of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from streamflow.engine.commands import CancelRun, Command, FailRun, RetryStep, SkipStep
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.ops.exchange import UNANSWERED
from streamflow.ops.history import described
from streamflow.ops.requests import new_id
from streamflow.ops.starts import request, started_before
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.log import Log, heard, heard_of_run
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix="/runs", tags=["runs"], route_class=JsonRoute)

_WAIT_S = 10.0
_LONGEST_WAIT_S = 60.0

# What these routes refuse, beside what every route does.
_START = (
    *BODY_FAULTS,
    "version_unknown",
    "version_retired",
    "schema_mismatch",
    "event_unknown",
    "event_unusable",
    "id_too_long",
    "key_missing",
    "run_open",
    "too_many_open",
    "definitions_behind",
)
_READ = ("request_invalid", "no_run_id", "run_unknown", "run_ended", "run_stopping", "not_parked", "not_approving")
_OPERATE = (*BODY_FAULTS, "no_run_id")

RunId = str
Wait = Annotated[
    str | None, Query(description="the id of a command: answer when it has been applied, or with why it was refused")
]
Seconds = Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, description="seconds to wait at most")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StartRequest(_Body):
    """What to start. Asked for twice with one `id` (within its definition and key), only one run starts."""

    definition: str = Field(
        min_length=1, max_length=200, description="name, or name@version; without a version the one that starts use"
    )
    key: str = Field(min_length=1, description="the business key")
    input: Any = Field(
        default_factory=dict,
        description="what fits the definition's input, or the payload of its first trigger's event",
    )
    id: str | None = Field(
        default=None, min_length=1, description="the idempotency key; without one, every request is another run"
    )


class Asked(BaseModel):
    """A command that is appended. `GET /runs/{run}?wait={command}` tells what became of it."""

    command: str
    run: str


class Reason(_Body):
    reason: str = Field(default="", max_length=2000, description="kept with the run")


class StepOf(_Body):
    step: str = Field(min_length=1, max_length=200, description="the parked step")


@router.post("", status_code=202, responses=declared(*_START), dependencies=[needs(Right.START_RUNS)])
async def start(body: StartRequest, log: LogOf) -> Asked:
    """Asks for a run. Its id is known at once; it begins when the engine has applied the command. With an id the answer
    waits for the engine: the request may have been served before."""
    try:
        found = request(await log.definitions(), body.definition, key=body.key, data=body.input, id=body.id)
    except Rejected as error:
        if error.code != "version_unknown":
            raise
        # It may have been published this moment.
        found = request(await log.definitions(fresh=True), body.definition, key=body.key, data=body.input, id=body.id)
    started = await log.start(found)
    run = started.run
    if found.named:
        try:
            answer = await heard(started.answer, _WAIT_S)
        except Rejected as error:
            run = started_before(error)
        else:
            run = answer.transitions[0].run if answer is not None else run
    return Asked(command=found.command.id, run=run)


@router.get("/{run}", responses=declared(*_READ), dependencies=[needs(Right.READ_RUNS)])
async def show(run: RunId, log: LogOf, wait: Wait = None, timeout_s: Seconds = _WAIT_S) -> dict[str, Any]:
    """How far a run is, and each of its steps."""
    return described(await _history(log, run, wait, timeout_s))


@router.get("/{run}/transitions", responses=declared(*_READ), dependencies=[needs(Right.READ_RUNS)])
async def transitions(run: RunId, log: LogOf, wait: Wait = None, timeout_s: Seconds = _WAIT_S) -> list[dict[str, Any]]:
    """Everything that happened in a run, in order."""
    return [{"type": one.type} | msgspec.to_builtins(one) for one in await _history(log, run, wait, timeout_s)]


@router.post("/{run}/cancel", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def cancel(run: RunId, log: LogOf, body: Reason | None = None) -> Asked:
    """Asks for the end of an open run; what is to be undone is undone first."""
    return await _ask(log, run, CancelRun(new_id(), run, body.reason if body else ""))


@router.post("/{run}/retry", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def retry(run: RunId, log: LogOf, body: StepOf) -> Asked:
    """Asks to try a parked step again."""
    return await _ask(log, run, RetryStep(new_id(), run, body.step))


@router.post("/{run}/skip", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def skip(run: RunId, log: LogOf, body: StepOf) -> Asked:
    """Asks to treat a parked step as skipped."""
    return await _ask(log, run, SkipStep(new_id(), run, body.step))


@router.post("/{run}/fail", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def fail(run: RunId, log: LogOf, body: Reason | None = None) -> Asked:
    """Asks for the end of a parked run as failed."""
    return await _ask(log, run, FailRun(new_id(), run, body.reason if body else ""))


async def _ask(log: Log, run: str, command: Command) -> Asked:
    await log.ask(command)
    return Asked(command=command.id, run=run)


async def _history(log: Log, run: str, wait: str | None, timeout_s: float) -> list[Transition]:
    """The history of `run`, once the command `wait` is in it. Raises Rejected with what the command was refused with,
    `run_unknown`, or OperationError `unanswered`."""
    expected = await log.expect(wait) if wait is not None else None
    found = await log.history(run)
    if expected is not None and not any(one.cause == wait for one in found):
        if await heard_of_run(log, run, expected, timeout_s) is None:
            raise OperationError("unanswered", UNANSWERED, command=wait)
        found = await log.history(run)
    if not found:
        raise Rejected(
            "run_unknown",
            f"expected transitions of {run} in runs but there are none. Wait for the command that starts it.",
            run=run,
        )
    return found
