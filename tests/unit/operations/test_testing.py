"""The contract test for authors finds what is against the contract, and says what to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Health, Pending
from streamflow.operations.echo import Echo
from streamflow.operations.print import PrintLine
from streamflow.operations.testing import Report, Sample, check_operation

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
DECLARED = [DeclaredError(id="odd_number", retryable=False), DeclaredError(id="busy")]


class Halve:
    """A good operation; the ones below are it with one fault each."""

    spec = OperationSpec(name="own.halve", input=OBJECT, output=OBJECT, errors=DECLARED, timeout="2s")

    async def start(self) -> None: ...

    async def run(self, input: Any, attempt: Attempt) -> Any:
        await asyncio.sleep(0)
        if input["n"] % 2:
            raise OperationError("odd_number", "expected an even number but it is odd. Add one.", retryable=False)
        return {"n": input["n"] // 2}

    async def health(self) -> Health:
        return Health(ok=True)

    async def close(self) -> None: ...


GOOD = [Sample({"n": 4}, output={"n": 2}), Sample({"n": 3}, error="odd_number", name="an odd number")]


def report(operation: Any, samples: Sequence[Any] = GOOD) -> Report:
    return asyncio.run(check_operation(operation, samples))


def failed(operation: Any, samples: Sequence[Any] = GOOD) -> str:
    """The one check that fails, as text."""
    checked = report(operation, samples)
    assert not checked.ok
    wrong = [check for check in checked.checks if not check.ok]
    assert len(wrong) == 1, str(checked)
    return str(wrong[0])


def test_a_good_operation_passes_and_the_report_reads_well() -> None:
    checked = report(Halve())

    assert checked.ok, checked
    lines = str(checked).splitlines()
    assert lines[0] == f"own.halve: {len(lines) - 1} of {len(lines) - 1} checks hold"
    assert all(line.startswith("  ok    ") for line in lines[1:])
    assert "sample an odd number fails with odd_number" in str(checked)


@pytest.mark.parametrize(
    ("operation", "samples"),
    [
        (Echo(), [{"value": 1}, {}, Sample({"fail": "echo_refused"}, error="echo_refused")]),
        (PrintLine(), [{"text": "a"}]),
    ],
)
def test_what_is_built_in_passes(operation: Any, samples: Sequence[Any]) -> None:
    checked = report(operation, samples)

    assert checked.ok, checked


def test_another_output_under_the_same_key_is_found() -> None:
    class Counting(Halve):
        count = 0

        async def run(self, input: Any, attempt: Attempt) -> Any:
            self.count += 1
            return {"n": self.count}

    assert "the same key gives the same again: expected" in failed(Counting(), [{"n": 4}])


def test_a_second_attempt_that_is_refused_is_found() -> None:
    class Once(Halve):
        def __init__(self) -> None:
            self.seen: set[str] = set()

        async def run(self, input: Any, attempt: Attempt) -> Any:
            if attempt.idempotency_key in self.seen:
                raise OperationError("busy", "expected a new key but it was used")
            done = await super().run(input, attempt)
            self.seen.add(attempt.idempotency_key)
            return done

    checked = report(Once(), [{"n": 4}])
    assert "Treat an effect that already exists as success" in str(checked)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"n": "two"}, "fit the schema"),
        (None, "fit the schema"),
        ({"n": object()}, "written as JSON"),
        ({"n": 1, "more": "x" * 300_000}, "at most 256000 bytes"),
        (Pending(0), "more than 0 s"),
    ],
)
def test_an_output_that_a_worker_would_refuse_is_found(output: Any, said: str) -> None:
    class Wrong(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            return output

    assert said in str(report(Wrong(), [{"n": 4}]))
    assert not report(Wrong(), [{"n": 4}]).ok


def test_another_output_than_the_samples_is_found() -> None:
    assert "expected the output" in str(report(Halve(), [Sample({"n": 4}, output={"n": 3})]))


def test_an_undeclared_error_is_found() -> None:
    class Undeclared(Halve):
        spec = Halve.spec.model_copy(update={"errors": []})

    assert "only declared errors are raised" in failed(Undeclared())


def test_an_error_that_is_declared_otherwise_is_found() -> None:
    class Retrying(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            if input["n"] % 2:
                raise OperationError("odd_number", "odd")
            return {"n": input["n"] // 2}

    assert "raised as retryable" in failed(Retrying())


def test_an_error_that_does_not_come_is_found() -> None:
    assert "expected odd_number but it gave" in str(report(Halve(), [{"n": 4}, Sample({"n": 2}, error="odd_number")]))


def test_another_exception_is_found() -> None:
    class Careless(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            return {"n": input["m"]}

    assert "KeyError" in str(report(Careless()))


def test_a_schema_that_takes_anything_is_found() -> None:
    class Anything(Halve):
        spec = Halve.spec.model_copy(update={"input": {}})

    assert "Declare what the operation needs" in failed(Anything())


def test_a_schema_that_is_none_is_found_and_nothing_is_done() -> None:
    class Broken(Halve):
        spec = Halve.spec.model_copy(update={"output": {"type": "nonsense"}})

        async def run(self, input: Any, attempt: Attempt) -> Any:
            raise AssertionError

    assert "expected the output to be JSON Schema" in failed(Broken())


def test_a_schema_is_not_fetched_from_elsewhere() -> None:
    class Elsewhere(Halve):
        spec = Halve.spec.model_copy(update={"input": {"$ref": "http://127.0.0.1:9/schema.json"}})

    assert "expected the input to be JSON Schema" in failed(Elsewhere())


def test_too_slow_is_found() -> None:
    class Slow(Halve):
        spec = Halve.spec.model_copy(update={"timeout": "20ms"})

        async def run(self, input: Any, attempt: Attempt) -> Any:
            await asyncio.sleep(3600)

    assert "expected it to end within 20ms" in str(report(Slow(), [{"n": 4}]))


def test_a_cancellation_that_is_turned_into_an_error_is_found() -> None:
    class Stubborn(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                raise OperationError("busy", "not now") from None
            return {"n": 1}

    assert "expected CancelledError to be raised" in failed(Stubborn(), [{"n": 4}])


def test_a_cancellation_that_is_ignored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operations.examiner._CANCEL_S", 0.05)

    class Deaf(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            if attempt.attempt == 1:
                for _ in range(20):
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.02)
            return {"n": 1}

    assert "but it continues" in failed(Deaf(), [{"n": 4}])


def test_a_cancelled_attempt_that_stands_in_the_way_is_found() -> None:
    class Locked(Halve):
        def __init__(self) -> None:
            self.locks: set[str] = set()

        async def run(self, input: Any, attempt: Attempt) -> Any:
            key = attempt.idempotency_key
            if key in self.locks:
                raise OperationError("busy", "somebody works at that")
            self.locks.add(key)
            await asyncio.sleep(0.05)
            self.locks.discard(key)
            return {"n": 1}

    assert "a cancelled attempt ends, and one under its key succeeds" in failed(Locked(), [{"n": 4}])


def test_attempts_that_disturb_each_other_are_found() -> None:
    class Alone(Halve):
        busy = False

        async def run(self, input: Any, attempt: Attempt) -> Any:
            if self.busy:
                raise OperationError("busy", "one at a time")
            self.busy = True
            try:
                await asyncio.sleep(0.001)
                return {"n": 1}
            finally:
                self.busy = False

    assert "do not disturb each other: sample" in failed(Alone(), [{"n": 4}])


@pytest.mark.parametrize("part", ["start", "close", "health"])
def test_a_life_that_fails_is_found(part: str) -> None:
    async def fail(self: Any) -> None:
        raise RuntimeError("no")

    broken = type("Broken", (Halve,), {part: fail})

    assert "RuntimeError: no" in failed(broken())


def test_an_operation_that_is_not_well_is_found() -> None:
    class Unwell(Halve):
        async def health(self) -> Health:
            return Health(ok=False, detail="no database")

    assert "no database" in failed(Unwell())


@pytest.mark.parametrize("samples", [[], [Sample({"n": 3}, error="odd_number")]])
def test_a_sample_that_succeeds_is_asked_for(samples: list[Sample]) -> None:
    assert "there is a sample that succeeds" in failed(Halve(), samples)


def test_a_sample_that_does_not_fit_the_schema_is_found() -> None:
    assert "expected its input to fit the schema" in str(report(Halve(), [{"m": 1}]))


def test_pending_is_an_answer() -> None:
    class Later(Halve):
        async def run(self, input: Any, attempt: Attempt) -> Any:
            assert attempt.callback_url(60).startswith("http")
            return Pending(60)

    checked = report(Later(), [{"n": 4}])
    assert checked.ok, checked
    assert "pending" in str(checked)
