"""One attempt: whatever an operation does is an answer with a code of its own."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.engine.commands import MESSAGE_CHARS, CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.tasks import Task
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Health, Pending
from streamflow.runtime.task_executor import TaskExecutor
from streamflow.settings import Connection, Settings, Tasks
from streamflow.wire.codec import decode_command

SPEC = OperationSpec(
    name="pay",
    input={"type": "object", "properties": {"cents": {"type": "integer"}}},
    output={"type": "object", "properties": {"receipt": {"type": "string"}}, "required": ["receipt"]},
    errors=[DeclaredError(id="card_refused", retryable=False), DeclaredError(id="bank_away")],
)


class Pay:
    def __init__(self, does: Callable[[Any, Attempt], Any], spec: OperationSpec = SPEC) -> None:
        self.spec = spec
        self._does = does

    async def start(self) -> None: ...

    async def run(self, input: Any, attempt: Attempt) -> Any:
        output = self._does(input, attempt)
        return await output if inspect.isawaitable(output) else output

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None: ...


class Known:
    def __init__(self, *operations: Pay) -> None:
        self.operations = {operation.spec.name: operation for operation in operations}

    def find(self, name: str) -> Pay | None:
        return self.operations.get(name)


def a_task(input: Any = None, **changes: Any) -> Task:
    values: dict[str, Any] = {
        "operation": "pay",
        "input": {} if input is None else input,
        "timeout_ms": 2000,
        "queue_ms": 1,
    } | changes
    return Task(
        id="r/s/3",
        idempotency_key="r/s",
        run="r",
        definition="order",
        version="1",
        key="k",
        step="s",
        attempt=3,
        **values,
    )


def answer(
    does: Callable[[Any, Attempt], Any],
    task: Task | None = None,
    *,
    spec: OperationSpec = SPEC,
    settings: Settings | None = None,
) -> Any:
    executor = TaskExecutor(
        settings or Settings.model_construct(),
        Known(Pay(does, spec)),
        lambda task, for_s: f"https://x/{task.id}/{for_s}",
    )
    command, value = asyncio.run(executor.perform(task or a_task()))
    assert decode_command(value).id == command.id
    return decode_command(value)


def fails(error: BaseException) -> Callable[[Any, Attempt], Any]:
    def does(_input: Any, _attempt: Attempt) -> Any:
        raise error

    return does


async def _missing_secret(_input: Any, attempt: Attempt) -> Any:
    return {"receipt": await attempt.secret("env:NOT_SET_ANYWHERE")}


def test_a_secret_that_an_operation_asked_for_is_in_nothing_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER", "Basic " + base64.b64encode(b"shop:open-sesame").decode())
    echoes = (
        "{0}",
        "headers: Authorization={0}; Host=x",
        base64.b64encode(b"xshop:open-sesamey").decode(),
        "shop%3Aopen-sesame",
        "the password is open-sesame!",
    )

    for echo in echoes:
        text = echo.format("Basic " + base64.b64encode(b"shop:open-sesame").decode())

        async def gives(_input: Any, attempt: Attempt, text: str = text) -> Any:
            await attempt.secret("env:PARTNER")
            return {"receipt": text, "more": [{text: text}]}

        async def fails_with(_input: Any, attempt: Attempt, text: str = text) -> Any:
            await attempt.secret("env:PARTNER")
            raise OperationError("bank_away", f"The bank said {text}")

        async def breaks(_input: Any, attempt: Attempt, text: str = text) -> Any:
            await attempt.secret("env:PARTNER")
            raise RuntimeError(text)

        async def names(_input: Any, attempt: Attempt) -> Any:
            await attempt.secret("env:PARTNER")
            raise OperationError("open-sesame", "with the password as its code")

        for does in (gives, fails_with, breaks, names):
            kept = repr(answer(does))
            assert "[secret]" in kept, (does, echo)
            assert "sesame" not in kept, (does, echo)
            assert base64.b64encode(b"open-sesame").decode()[:8] not in kept
            assert base64.b64encode(b"shop:open-sesame").decode()[6:20] not in kept


def test_a_secret_of_another_attempt_is_not_replaced_so_nobody_can_guess_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER", "open-sesame")

    async def uses(_input: Any, attempt: Attempt) -> Any:
        return {"receipt": await attempt.secret("env:PARTNER")}

    assert answer(uses).output == {"receipt": "[secret]"}
    assert answer(lambda input, attempt: {"receipt": "open-sesame"}).output == {"receipt": "open-sesame"}


def test_an_output_without_a_secret_in_it_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER", "open-sesame")

    async def uses(_input: Any, attempt: Attempt) -> Any:
        await attempt.secret("env:PARTNER")
        return {"receipt": "r", "large": 2**63, "real": 0.1}

    assert answer(uses).output == {"receipt": "r", "large": 2**63, "real": 0.1}


def test_an_output_is_a_completed_attempt() -> None:
    assert answer(lambda input, attempt: {"receipt": f"r{input['cents']}"}, a_task({"cents": 7})) == CompleteAttempt(
        id="r/s/3/completed", run="r", address="s", attempt=3, output={"receipt": "r7"}
    )


def test_an_operation_that_exits_ends_its_attempt_and_not_the_worker() -> None:
    failed = answer(fails(SystemExit(3)))
    assert (failed.code, failed.retryable) == ("operation_failed", True)


def test_an_output_is_no_deeper_than_what_comes_after_can_follow() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    failed = answer(lambda input, attempt: {"receipt": "r", "more": deep})
    assert (failed.code, failed.retryable) == ("output_invalid", False)
    assert isinstance(answer(lambda input, attempt: {"receipt": "r", "more": deep[0]}), CompleteAttempt)


def test_an_operation_sees_its_attempt() -> None:
    seen: list[Attempt] = []

    def does(_input: Any, attempt: Attempt) -> Any:
        seen.append(attempt)
        return {"receipt": attempt.callback_url(60)}

    assert answer(does, a_task(item=4)).output == {"receipt": "https://x/r/s/3/60"}
    (attempt,) = seen
    assert (attempt.id, attempt.idempotency_key, attempt.item, attempt.timeout_s) == ("r/s/3", "r/s", 4, 2.0)


def test_somebody_who_calls_back_suspends_the_attempt() -> None:
    assert answer(lambda input, attempt: Pending(1.5)) == SuspendAttempt(
        id="r/s/3/suspended", run="r", address="s", attempt=3, for_ms=1500
    )


@pytest.mark.parametrize(
    ("does", "task", "code", "retryable"),
    [
        pytest.param(fails(OperationError("bank_away", "no answer")), a_task(), "bank_away", True, id="its own error"),
        pytest.param(
            fails(OperationError("card_refused", "no")),
            a_task(),
            "card_refused",
            False,
            id="one that it declares not to be retried",
        ),
        pytest.param(
            fails(OperationError("bank_away", "never", retryable=False)),
            a_task(),
            "bank_away",
            False,
            id="one that it knows not to be",
        ),
        pytest.param(fails(KeyError("x")), a_task(), "operation_failed", True, id="a bug"),
        pytest.param(
            fails(asyncio.CancelledError()),
            a_task(),
            "operation_failed",
            True,
            id="a cancellation that nobody asked for",
        ),
        pytest.param(
            fails(OperationError("No Code!", "x")), a_task(), "operation_failed", True, id="a code that is none"
        ),
        pytest.param(
            lambda input, attempt: {}, a_task({"cents": "7"}), "input_invalid", False, id="input that it does not take"
        ),
        pytest.param(
            lambda input, attempt: {"receipt": 7},
            a_task(),
            "output_invalid",
            False,
            id="output that it does not promise",
        ),
        pytest.param(
            lambda input, attempt: {"receipt": object()}, a_task(), "output_invalid", False, id="output that is no data"
        ),
        pytest.param(
            lambda input, attempt: {"receipt": 10**30},
            a_task(),
            "output_invalid",
            False,
            id="a number that is too large",
        ),
        pytest.param(
            lambda input, attempt: {"receipt": "x" * 300_000}, a_task(), "output_too_large", False, id="too much output"
        ),
        pytest.param(
            lambda input, attempt: {},
            a_task(operation="other"),
            "operation_unknown",
            True,
            id="an operation that is not here",
        ),
        pytest.param(
            _missing_secret,
            a_task(),
            "secret_missing",
            False,
            id="a secret that is not there",
        ),
        pytest.param(
            lambda input, attempt: attempt.connection("other"),
            a_task(),
            "connection_unknown",
            False,
            id="a connection that is not there",
        ),
    ],
)
def test_what_goes_wrong_has_a_code(
    does: Callable[[Any, Attempt], Any], task: Task, code: str, retryable: bool
) -> None:
    found = answer(does, task)
    assert isinstance(found, FailAttempt)
    assert (found.code, found.retryable, found.attempt) == (code, retryable, 3)


def test_what_the_other_side_asks_for_is_handed_on() -> None:
    found = answer(fails(OperationError("bank_away", "busy", retry_after_s=1.5)))
    assert (found.retry_after_ms, found.message) == (1500, "busy")


def test_messages_name_places_and_never_values() -> None:
    found = answer(lambda input, attempt: {"receipt": 4_711}, a_task())
    assert "/receipt" in found.message
    assert "4711" not in found.message


def test_a_long_message_is_cut() -> None:
    assert len(answer(fails(OperationError("bank_away", "x" * 5000))).message) == MESSAGE_CHARS


def test_what_is_checked_is_what_is_sent() -> None:
    """A number that is none becomes null in JSON, and that is not what the schema says."""
    spec = SPEC.model_copy(update={"output": {"type": "object", "properties": {"score": {"type": "number"}}}})
    assert answer(lambda input, attempt: {"score": float("nan")}, spec=spec).code == "output_invalid"


def _gives(output: Any, input: Any, attempt: Attempt) -> Any:
    return output


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_never_sent_as_null(number: float) -> None:
    outputs: list[Any] = [number, {"a": [1, {"b": number}]}, [(None, number)]]
    for output in outputs:
        failed = answer(partial(_gives, output), spec=OperationSpec(name="pay"))
        assert (failed.code, failed.retryable) == ("output_invalid", False)
    assert answer(lambda input, attempt: [None, 1.5], spec=OperationSpec(name="pay")).output == [None, 1.5]


def test_a_plugin_that_is_registered_anew_is_held_to_its_new_contract() -> None:
    known = Known(Pay(lambda input, attempt: {"receipt": 1}))
    executor = TaskExecutor(Settings.model_construct(), known, lambda task, for_s: "")
    assert asyncio.run(executor.perform(a_task()))[0].id.endswith("/failed")
    known.operations["pay"] = Pay(lambda input, attempt: {"receipt": 1}, SPEC.model_copy(update={"output": {}}))
    assert asyncio.run(executor.perform(a_task()))[0].id.endswith("/completed")


def test_a_connection_is_found_by_its_name() -> None:
    bank = Connection(kind="http", url="https://bank")
    settings = Settings(tasks=Tasks(connections={"bank": bank}))
    assert answer(lambda input, attempt: {"receipt": attempt.connection("bank").url}, settings=settings).output == {
        "receipt": "https://bank"
    }
