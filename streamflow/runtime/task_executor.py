"""Executes one attempt of a task and builds its result command. Input and output are checked against the operation's
contract."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
from structlog.contextvars import bound_contextvars

from streamflow.core.tracing import Tracer, effect_span
from streamflow.definition.catalog import OperationSpec
from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import SchemaFault, compiled
from streamflow.engine.commands import MESSAGE_CHARS, CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.depth import deeper, may_be_deeper
from streamflow.engine.tasks import Task
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Operation, Pending
from streamflow.secrets import Redactor, read_secret
from streamflow.settings import Connection, Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.json_text import MAX_DEPTH, has_non_finite
from streamflow.wire.tasks import NamedAttempt

Answer = CompleteAttempt | FailAttempt | SuspendAttempt

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


class Operations(Protocol):
    """Where operations are found."""

    def find(self, name: str) -> Operation | None:
        """The operation called `name`, or None."""


Callback = Callable[[Task, float], str]  # the address at which this task may be answered for so many seconds


class _Contract(NamedTuple):
    """An operation's schemas, compiled; None where anything goes."""

    operation: Operation
    input: Any
    output: Any


class TaskExecutor:
    """Makes attempts. One for all lanes of a worker."""

    def __init__(
        self, settings: Settings, operations: Operations, callback: Callback, tracer: Tracer | None = None
    ) -> None:
        self._tracer = tracer
        self._operations = operations
        self._callback = callback
        self._connections = settings.tasks.connections
        self._output_bytes = settings.tasks.output_bytes
        self._record_bytes = settings.limits.record_bytes
        self._contracts: dict[str, _Contract] = {}

    async def perform(self, task: Task) -> tuple[Answer, bytes]:
        """One attempt: the answer, and its bytes. Whatever the operation does becomes an answer; only cancelling ends
        this without one."""
        redactor = Redactor()  # of this attempt only: one for all secrets would confirm a guess of another's
        try:
            answer = await self._attempt(task, redactor)
            return answer, encode_command(answer)
        except OperationError as error:
            answer = failure(
                task,
                redactor.text(error.code),
                redactor.message(error.message),
                retryable=error.retryable,
                retry_after_s=error.retry_after_s,
            )
            return answer, encode_command(answer)

    async def _attempt(self, task: Task, redactor: Redactor) -> Answer:
        operation = self._operations.find(task.operation)
        if operation is None:
            raise OperationError(
                "operation_unknown",
                f"This worker does not have {task.operation}. Install or register it.",
            )
        contract = self._contract(task.operation, operation)
        _check(contract.input, task.input, "input_invalid", f"The input of {task.operation}")
        failed, began_ns = "cancelled", time.time_ns()
        try:
            # whatever the operation logs says which attempt it is about
            with bound_contextvars(run=task.run, scope=task.scope, step=task.step, attempt=task.attempt):
                output = await operation.run(task.input, self._as_attempt(task, redactor))
            failed = ""
        except OperationError as error:
            failed = error.code
            raise _as_declared(error, operation.spec) from error
        except asyncio.CancelledError as error:
            asked = asyncio.current_task()
            if asked is None or asked.cancelling():
                raise
            raise OperationError(
                "operation_failed", f"{task.operation} cancelled itself. See the worker's log."
            ) from error
        # whatever another party's code does is an answer; its exit would end worker after worker
        except (Exception, SystemExit) as error:
            failed = "operation_failed"
            text = f"{task.operation} raised {type(error).__name__}, which is not one of its declared errors: {error}"
            raise OperationError("operation_failed", text) from error
        finally:
            if self._tracer is not None and task.trace is not None and task.trace.recorded:
                self._tracer.take((effect_span(task, redactor.text(failed), began_ns, time.time_ns()),))
        if isinstance(output, Pending):
            return SuspendAttempt(
                id=f"{task.id}/suspended",
                run=task.run,
                address=task.address,
                attempt=task.attempt,
                for_ms=max(1, int(output.for_s * 1000)),
                item=task.item,
                trace=task.attempt_trace,
            )
        return CompleteAttempt(
            id=f"{task.id}/completed",
            run=task.run,
            address=task.address,
            attempt=task.attempt,
            output=self._encoded(task, contract, output, redactor),
            item=task.item,
            trace=task.attempt_trace,
        )

    def _encoded(self, task: Task, contract: _Contract, output: Any, redactor: Redactor) -> msgspec.Raw:
        """The output as it is sent, which is what is checked."""
        try:
            encoded = _encoder.encode(output)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            text = (
                f"The output of {task.operation} cannot be written as JSON ({type(error).__name__}). Correct the "
                "operation."
            )
            raise OperationError("output_invalid", text, retryable=False) from error
        if b"null" in encoded and has_non_finite(output):
            text = f"The output of {task.operation} has NaN or an infinity, which are not JSON. Return null or text."
            raise OperationError("output_invalid", text, retryable=False)
        if (size := len(encoded)) > (most := min(self._output_bytes, self._record_bytes - 10_000)):
            text = (
                f"The output of {task.operation} has {size} bytes and the limit is {most}. Return a reference to large "
                "data."
            )
            raise OperationError("output_too_large", text, retryable=False)
        if may_be_deeper(encoded, MAX_DEPTH) and deeper(_decoder.decode(encoded), MAX_DEPTH):
            text = (
                f"The output of {task.operation} has arrays and objects more than {MAX_DEPTH} deep. Return flatter "
                "data."
            )
            raise OperationError("output_invalid", text, retryable=False)
        if redactor and redactor.is_in(encoded.decode()):
            encoded = _encoder.encode(redactor.value(_decoder.decode(encoded)))
        if contract.output is not None:
            _check(
                contract.output,
                _decoder.decode(encoded),
                "output_invalid",
                f"The output of {task.operation}",
            )
        return msgspec.Raw(encoded)

    def _as_attempt(self, task: Task, redactor: Redactor) -> Attempt:
        async def secret(reference: str) -> str:
            found = await read_secret(reference)
            redactor.add(found)
            return found

        effect = task.effect_trace
        return Attempt(
            task.id,
            task.idempotency_key,
            task.run,
            task.definition,
            task.version,
            task.key,
            task.step,
            task.attempt,
            task.item,
            task.timeout_ms / 1000,
            effect.parent if effect is not None else None,
            partial(self._callback, task),
            secret,
            self._connection,
            effect.state if effect is not None else "",
            task.correlation_id,
        )

    def _connection(self, name: str) -> Connection:
        found = self._connections.get(name)
        if found is None:
            known = ", ".join(sorted(self._connections)) or "none"
            text = f"The settings have no connection {name}, only {known}. Add it under tasks.connections."
            raise OperationError("connection_unknown", text, retryable=False)
        return found

    def _contract(self, name: str, operation: Operation) -> _Contract:
        known = self._contracts.get(name)
        if known is None or known.operation is not operation:  # a plugin that was registered again
            known = self._contracts[name] = _Contract(
                operation, _compiled(name, operation.spec.input), _compiled(name, operation.spec.output)
            )
        return known


def failure(
    task: Task | NamedAttempt, code: str, message: str, *, retryable: bool = True, retry_after_s: float | None = None
) -> FailAttempt:
    """The answer of an attempt that failed."""
    known = code if _CODE.fullmatch(code) else "operation_failed"
    text = message if known == code else f"{code}: {message}"
    after_ms = None if retry_after_s is None else max(0, int(retry_after_s * 1000))
    return FailAttempt(
        id=f"{task.id}/failed",
        run=task.run,
        address=task.address,
        attempt=task.attempt,
        code=known,
        message=text[:MESSAGE_CHARS],
        retryable=retryable,
        retry_after_ms=after_ms,
        item=task.item,
        trace=task.attempt_trace,
    )


def _compiled(name: str, schema: Any) -> Any:
    if not schema:
        return None
    try:
        return compiled(schema, masked=True)
    except SchemaFault as error:
        text = f"A schema of {name} cannot be used: {error}. Correct the operation."
        raise OperationError("operation_failed", text) from error


def _check(validator: Any, value: Any, code: str, what: str) -> None:
    if validator is None or validator.is_valid(value):
        return
    wrong = schema_faults(validator, value)
    text = f"{what} does not satisfy its schema: {wrong}. Correct the definition or the operation."
    raise OperationError(code, text, retryable=False)


def _as_declared(error: OperationError, spec: OperationSpec) -> OperationError:
    """An error whose code is declared as not worth a second try is none, whatever was raised."""
    if error.retryable and any(declared.id == error.code and not declared.retryable for declared in spec.errors):
        return OperationError(error.code, error.message, retryable=False, retry_after_s=error.retry_after_s)
    return error
