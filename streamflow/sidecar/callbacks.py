"""`POST /callbacks/{token}`: the receiver of the address answers its attempt, once.

The token is all that is asked for: it is signed, and names its attempt and when it ends. Nothing of the body is read
before it has been checked.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import OrderedDict
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from streamflow.definition.catalog import OperationSpec
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded
from streamflow.engine.commands import CompleteAttempt, FailAttempt
from streamflow.engine.depth import deeper, may_be_deeper
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.operations.callbacks import API_PATH, Callback, read_answer, read_token
from streamflow.operations.schema import misfit
from streamflow.sidecar.log import Log, heard_of_run
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import State, StateOf
from streamflow.wire.json_text import MAX_DEPTH

router = APIRouter(prefix=API_PATH, tags=["callbacks"])

_SOON_S = 0.5  # the engine's usual answer comes long before
_ANSWER_S = 5.0
_REMEMBERED = 10_000
_REFUSALS = (
    *BODY_FAULTS,
    "callbacks_off",
    "callback_forged",
    "callback_expired",
    "callback_answered",
    "answer_invalid",
    "output_invalid",
    "output_too_large",
    "late_result",
    "run_ended",
    "run_unknown",
)

_ERROR = {
    "type": "object",
    "required": ["code"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "message": {"type": "string", "maxLength": 2000},
        "retryable": {"type": "boolean", "default": True},
        "retry_after_s": {"type": "number", "minimum": 0},
    },
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["output"],
                        "additionalProperties": False,
                        "properties": {"output": {}},
                    },
                    {
                        "type": "object",
                        "required": ["error"],
                        "additionalProperties": False,
                        "properties": {"error": _ERROR},
                    },
                ]
            }
        }
    },
}


@router.post(
    "/callbacks/{token}",
    responses={202: {"description": "Accepted"}, **declared(*_REFUSALS, open_to_all=True)},
    openapi_extra={"requestBody": _BODY},
)
async def answer(token: str, request: Request, response: Response, state: StateOf) -> dict[str, Any]:
    """Answers an attempt with `{"output": ...}` or `{"error": {"code", "message", "retryable", "retry_after_s"}}`.

    200: it is taken; 202: the engine has not said so yet; 409: it was answered before, or nobody waits for it any
    more."""
    if state.callback_secret is None:
        raise Rejected(
            "callbacks_off",
            "expected no callback but received one. Set tasks.callback_secret, the same for workers and sidecars.",
        )
    callback = read_token(state.callback_secret, token, time.time_ns() // 1_000_000)
    answered: Answered = request.app.state.answered
    answered.require_new(token)
    command = await _command(state, request.app.state.contracts, callback, token, await request.body())
    pending = await state.log.ask(command, key=callback.key)
    applied = await heard_of_run(state.log, callback.run, pending, _SOON_S)
    if applied is None:
        # The engine passes over what comes a second time without a word; then the run says who came first.
        _require_open(await state.log.history(callback.run), callback, command.id)
        applied = await heard_of_run(state.log, callback.run, pending, _ANSWER_S - _SOON_S)
    if applied is not None:
        answered.add(token)
    response.status_code = 200 if applied is not None else 202
    return {"run": callback.run, "step": callback.step, "command": command.id, "applied": applied is not None}


class Answered:
    """Tokens that were answered here lately, so that a second answer is known at once. Not needed for correctness: the
    engine takes only one."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, None] = OrderedDict()

    def add(self, token: str) -> None:
        """Remembers that `token` was answered."""
        self._tokens[token] = None
        while len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)

    def require_new(self, token: str) -> None:
        """Raises Rejected (`callback_answered`) if `token` is remembered."""
        if token in self._tokens:
            raise _answered()


class Contracts:
    """The contracts of operations as definitions were published with them. A version never changes, so each is read
    once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, OperationSpec]] = {}

    async def find(self, log: Log, callback: Callback) -> OperationSpec | None:
        """The contract of the attempt's operation; None if its definition is no longer published."""
        version = callback.definition, callback.version
        if version not in self._known:
            published = await log.definitions()
            record = published.versions.get(version)
            if record is None or record.sha not in published.contents:
                return None
            self._known[version] = {spec.name: spec for spec in published.read_version(*version)[1].operations}
        return self._known[version].get(callback.operation)


def _answered() -> Rejected:
    return Rejected(
        "callback_answered",
        "expected the first answer of this attempt but it was answered before, or has ended. Nothing needs to be done.",
    )


async def _command(
    state: State, contracts: Contracts, callback: Callback, token: str, body: bytes
) -> CompleteAttempt | FailAttempt:
    """The command that the body asks for. Raises Rejected."""
    # Two answers are two commands, whatever they say: only so can the second one be answered as such.
    command_id = f"callback/{hashlib.sha256(token.encode()).hexdigest()[:16]}/{uuid.uuid4()}"
    try:
        output = read_answer(body)
    except OperationError as error:
        after_ms = None if error.retry_after_s is None else int(error.retry_after_s * 1000)
        return FailAttempt(
            id=command_id,
            run=callback.run,
            address=callback.step,
            attempt=callback.attempt,
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            retry_after_ms=after_ms,
            item=callback.item,
        )
    limit = state.settings.tasks.output_bytes
    encoded = msgspec.json.encode(output)
    if may_be_deeper(encoded, MAX_DEPTH) and deeper(output, MAX_DEPTH):
        raise Rejected(
            "output_invalid",
            f"expected arrays and objects at most {MAX_DEPTH} deep but the output has more. Send flatter data.",
        )
    if (size := len(encoded)) > limit:
        raise Rejected(
            "output_too_large",
            f"expected at most {limit} bytes of output but it has {size}. Store it and send a reference.",
        )
    spec = await contracts.find(state.log, callback)
    if spec is not None and spec.output:
        wrong = misfit(output, spec.output)
        if wrong is not None:
            place = wrong.partition(": ")[0] if wrong.startswith("/") else ""
            text = f"expected output as {callback.operation} promises but {wrong}. Correct it and answer again."
            raise Rejected("output_invalid", text, pointer=place)
    return CompleteAttempt(
        id=command_id,
        run=callback.run,
        address=callback.step,
        attempt=callback.attempt,
        output=output,
        item=callback.item,
    )


def _require_open(history: list[Transition], callback: Callback, command: str) -> None:
    """Raises Rejected if the attempt has ended by another command."""
    for one in history:
        ended = isinstance(one.data, AttemptSucceeded | AttemptFailed) and one.cause != command
        if ended and (one.address, one.attempt, one.data.item) == (callback.step, callback.attempt, callback.item):
            raise _answered()
    if history and history[-1].type in ("RunCompleted", "RunFailed", "RunCancelled") and history[-1].cause != command:
        raise Rejected(
            "run_ended",
            "expected a run that waits for this answer but it has ended. Nothing needs to be done.",
            run=callback.run,
        )
