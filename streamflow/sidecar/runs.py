"""`/runs`: start one, look at one, and ask something of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.engine.commands import CancelRun, FailRun, RetryStep, SkipStep
from streamflow.engine.trace import CORRELATION_CHARS
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.command_client import UNANSWERED
from streamflow.ops.command_request import new_id
from streamflow.ops.history import described, partition_of_known_run
from streamflow.ops.starts import Request as StartOf
from streamflow.ops.starts import request, started_before
from streamflow.sidecar.bodies import JsonAnswer, JsonRoute
from streamflow.sidecar.log import Log, heard, heard_of_run
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs, principal_of, require_run
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf, State, audited, state_of

router = APIRouter(prefix=f"{API_PATH}/runs", tags=["runs"], route_class=JsonRoute)

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
_OPERATE = (*BODY_FAULTS, "no_run_id", "run_unknown")

_VERBS = {CancelRun: "cancel", RetryStep: "retry", SkipStep: "skip", FailRun: "fail"}

_RESTART = (
    *_OPERATE,
    "run_completed",
    "run_is_child",
    "version_same",
    "version_unknown",
    "version_retired",
    "schema_mismatch",
    "event_unknown",
    "run_stopping",
    "run_open",
    "too_many_open",
)
_PAGE = 1000
_LONG = 500  # transitions that take too long to be gone through while others wait

RunId = str
Wait = Annotated[str | None, Query(description="the id of a command: answer when it has been applied or refused")]
Seconds = Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, description="maximum seconds to wait")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StartRequest(_Body):
    """A start of a run. Two requests with one `id` (for one definition and key) start only one run."""

    definition: str = Field(
        min_length=1, max_length=200, description="name, or name@version; default: the version that new runs use"
    )
    key: str = Field(min_length=1, description="the business key")
    input: Any = Field(
        default_factory=dict,
        description="the definition's input, or the payload of its first trigger's event",
    )
    id: str | None = Field(
        default=None, min_length=1, description="the idempotency key; without one, every request starts another run"
    )
    correlation_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=CORRELATION_CHARS,
        pattern=r"^[ -~]+$",
        description="your own id of the run: in its log lines and spans, and passed on to its child runs and events",
    )


class Asked(BaseModel):
    """A command that is appended. `GET /runs/{run}?wait={command}` tells its result."""

    command: str
    run: str


class Reason(_Body):
    reason: str = Field(default="", max_length=2000, description="kept with the run")


class Restart(Reason):
    version: str | None = Field(
        default=None, min_length=1, max_length=200, description="the version; default: the one that new runs use"
    )


class StepOf(_Body):
    step: str = Field(min_length=1, max_length=200, description="the parked step")


class _Asking:
    """Asks something of a run, in the name of the principal, with its account in the audit."""

    def __init__(self, state: State, principal: Principal) -> None:
        self._state, self._principal = state, principal

    async def ask(self, run: str, command: CancelRun | RetryStep | SkipStep | FailRun) -> Asked:
        """Raises Rejected: `no_run_id`, and `run_unknown` or `right_missing` for one who may not do it to all runs."""
        await self.account(run, _VERBS[type(command)], msgspec.to_builtins(command))
        await self._state.log.ask(command)
        return Asked(command=command.id, run=run)

    async def account(self, run: str, verb: str, told: Any) -> None:
        """Accounts for what is about to be asked. Raises Rejected, as `ask`."""
        partition_of_known_run(self._state.settings, run)
        if not self._principal.may_everywhere(Right.OPERATE_RUNS):
            require_run(self._principal, Right.OPERATE_RUNS, run, await self._state.log.history(run))
        await audited(self._state.identity, actor(self._principal), f"run.{verb}", run, after=told)


async def _asking(request: Request) -> _Asking:
    return _Asking(state_of(request), await principal_of(request))


AskingOf = Annotated[_Asking, Depends(_asking)]


@router.post("", status_code=202, responses=declared(*_START), dependencies=[needs(Right.START_RUNS)])
async def start(
    body: StartRequest,
    log: LogOf,
    principal: PrincipalOf,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=400, description="instead of `id` in the body")
    ] = None,
    x_correlation_id: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=CORRELATION_CHARS,
            pattern=r"^[ -~]+$",
            description="instead of `correlation_id` in the body",
        ),
    ] = None,
) -> Asked:
    """Asks for a run. Its id is known at once; it begins when the engine has applied the command. With an id, in the
    body or as the header Idempotency-Key, the answer waits for the engine: the request may have been served before."""
    principal.require(Right.START_RUNS, body.definition.partition("@")[0])
    if body.id is not None and idempotency_key not in (None, body.id):
        raise Rejected(
            "request_invalid", "The header Idempotency-Key and `id` in the body are not the same. Send one of them."
        )
    id = body.id or idempotency_key
    known_by = body.correlation_id or x_correlation_id or ""

    def asked(published: Snapshot) -> StartOf:
        return request(published, body.definition, key=body.key, data=body.input, id=id, correlation_id=known_by)

    try:
        found = asked(await log.definitions())
    except Rejected as error:
        if error.code != "version_unknown":
            raise
        # It may have been published this moment.
        found = asked(await log.definitions(fresh=True))
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


@router.get(
    "/{run}",
    response_model=dict[str, Any],
    responses=declared(*_READ),
    dependencies=[needs(Right.READ_RUNS)],
)
async def show(
    run: RunId, log: LogOf, principal: PrincipalOf, wait: Wait = None, timeout_s: Seconds = _WAIT_S
) -> JsonAnswer:
    """How far a run is, and each of its steps."""
    history = await _history(log, principal, run, wait, timeout_s)
    return JsonAnswer(described(history) if len(history) < _LONG else await asyncio.to_thread(described, history))


@router.get(
    "/{run}/transitions",
    response_model=dict[str, Any],
    responses=declared(*_READ),
    dependencies=[needs(Right.READ_RUNS)],
)
async def transitions(
    run: RunId,
    log: LogOf,
    principal: PrincipalOf,
    after: Annotated[int, Query(ge=0, description="only those with a greater number")] = 0,
    before: Annotated[int | None, Query(ge=1, description="only those with a smaller number")] = None,
    limit: Annotated[int | None, Query(ge=1, le=_PAGE, description="maximum number; default: all")] = None,
    newest_first: Annotated[bool, Query(description="the latest ones first")] = False,
    wait: Wait = None,
    timeout_s: Seconds = _WAIT_S,
) -> JsonAnswer:
    """What happened in a run, in order, or the latest first. `next` is the number to go on with: `after` it, or
    `before` it with the latest first."""
    history = await _history(log, principal, run, wait, timeout_s)
    found = [one for one in history if one.seq > after and (before is None or one.seq < before)]
    if newest_first:
        found.reverse()
    page = found[:limit]
    rows = [{"type": one.type} | msgspec.to_builtins(one) for one in page]
    return JsonAnswer({"rows": rows, "next": page[-1].seq if len(page) < len(found) else None})


@router.post(
    "/{run}/restart",
    status_code=201,
    responses={200: {"description": "It was started again before"}, **declared(*_RESTART)},
    dependencies=[needs(Right.OPERATE_RUNS)],
)
async def restart(run: RunId, asking: AskingOf, body: Restart, log: LogOf, response: Response) -> dict[str, Any]:
    """Starts a run instead of this one, with the same key and data, by the version that starts use or another one.
    This one ends first if it is open, with what it has to undo. 200: that was asked for before; it is that run."""
    await asking.account(run, "restart", body.model_dump(exclude_none=True))
    done = await log.restart(run, why=body.reason, version=body.version)
    response.status_code = 200 if done.already else 201
    return {"run": done.run, "version": done.version, "already": done.already, "restart_of": run}


@router.post("/{run}/cancel", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def cancel(run: RunId, asking: AskingOf, body: Reason | None = None) -> Asked:
    """Asks for the end of an open run; what is to be undone is undone first."""
    return await asking.ask(run, CancelRun(new_id(), run, body.reason if body else ""))


@router.post("/{run}/retry", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def retry(run: RunId, asking: AskingOf, body: StepOf) -> Asked:
    """Asks to try a parked step again."""
    return await asking.ask(run, RetryStep(new_id(), run, body.step))


@router.post("/{run}/skip", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def skip(run: RunId, asking: AskingOf, body: StepOf) -> Asked:
    """Asks to treat a parked step as skipped."""
    return await asking.ask(run, SkipStep(new_id(), run, body.step))


@router.post("/{run}/fail", status_code=202, responses=declared(*_OPERATE), dependencies=[needs(Right.OPERATE_RUNS)])
async def fail(run: RunId, asking: AskingOf, body: Reason | None = None) -> Asked:
    """Asks for the end of a parked run as failed."""
    return await asking.ask(run, FailRun(new_id(), run, body.reason if body else ""))


async def _history(log: Log, principal: Principal, run: str, wait: str | None, timeout_s: float) -> list[Transition]:
    """The history of `run`, once the command `wait` is in it. Raises Rejected with what the command was refused with,
    `run_unknown`, or OperationError `unanswered`."""
    expected = await log.expect(wait) if wait is not None else None
    found = await log.history(run)
    if found:  # before the command is heard of: what it was refused with is for those who may read the run
        require_run(principal, Right.READ_RUNS, run, found)
    if expected is not None and not any(one.cause == wait for one in found):
        if await heard_of_run(log, run, expected, timeout_s) is None:
            raise OperationError("unanswered", UNANSWERED, command=wait)
        found = await log.history(run)
    return require_run(principal, Right.READ_RUNS, run, found)
