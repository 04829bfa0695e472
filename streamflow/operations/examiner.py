"""The examination behind the contract test of an operation: one look after the other, each written down."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamflow.definition import duration
from streamflow.errors import OperationError
from streamflow.operations.contract import Health, Operation, Pending
from streamflow.operations.samples import Check, Report, Sample, make_attempt
from streamflow.operations.schema import misfit, unusable
from streamflow.settings import Settings

_START_S = 30.0
_HEALTH_S = 10.0
_CANCEL_S = 2.0
_AT_ONCE = 5
# What hardly any operation takes; those that its schema takes all the same are not used.
WRONG_INPUTS: tuple[Any, ...] = (None, 42, "text", [], {}, {"no_such_field_of_this_operation": True})


@dataclass(slots=True)
class Examiner:
    """One examination: makes attempts and writes down what holds. `check_operation` does the whole of it."""

    operation: Operation
    settings: Settings | None = None
    others_codes: frozenset[str] = frozenset()  # errors that are not the operation's own to declare
    checks: list[Check] = field(default_factory=list)
    _keys: itertools.count[int] = field(default_factory=itertools.count)
    _codes: set[str] = field(default_factory=set)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def limit_s(self) -> float:
        """The limit of one attempt, by the contract."""
        return duration.parse_ms(self.operation.spec.timeout) / 1000

    def report(self) -> Report:
        """What was found so far."""
        return Report(self.operation.spec.name, tuple(self.checks))

    def note(self, what: str, problem: str | None = None, detail: str = "") -> bool:
        """Writes down that `what` holds, or what the problem is."""
        self.checks.append(Check(what, problem is None, problem or detail))
        return problem is None

    @asynccontextmanager
    async def started(self) -> AsyncIterator[bool]:
        """The operation, started and in the end closed; False when it could not be."""
        began = await self._within("start() returns", self.operation.start, _START_S)
        try:
            if began:
                await self._health()
            yield began
        finally:
            if began:
                await self._within("close() returns", self.operation.close, _START_S)

    def schemas(self) -> bool:
        """Whether the schemas can be used, and say something."""
        spec = self.operation.spec
        for name, schema in (("input", spec.input), ("output", spec.output)):
            if (why := unusable(schema)) is not None:
                return self.note(
                    "the schemas can be used", f"expected the {name} to be JSON Schema but {why}. Correct it."
                )
        self.note("the schemas can be used")
        refused = [wrong for wrong in WRONG_INPUTS if misfit(wrong, spec.input) is not None]
        problem = (
            None
            if refused
            else "expected it to refuse something but it accepts anything. Declare what the operation needs."
        )
        self.note("wrong input is refused by the schema", problem)
        return True

    async def samples(self, samples: Sequence[Sample]) -> None:
        """Everything that is looked at by doing samples."""
        good = [sample for sample in samples if sample.error is None]
        if not good:
            self.note("there is a sample that succeeds", "expected one but there is none. Give an input that succeeds.")
        for sample in good:
            await self._good(sample)
        for sample in samples:
            if sample.error is not None:
                await self._bad(sample, sample.error)
        if good:
            await self._together(good)
            await self._cancelled(good[0])
        declared = {error.id for error in self.operation.spec.errors}
        undeclared = sorted(self._codes - declared - self.others_codes)
        problem = (
            f"expected declared codes ({', '.join(sorted(declared)) or 'none'}) but found {', '.join(undeclared)}. "
            "Declare them."
            if undeclared
            else None
        )
        self.note("only declared errors are raised", problem)

    def new_key(self) -> str:
        """An idempotency key that was never used."""
        return f"test-{self._run}/{next(self._keys)}"

    async def attempt(self, input: Any, key: str, number: int = 1) -> Any:
        """One attempt within the limit. Raises OperationError, or `_Wrong` with what is against the contract."""
        given = make_attempt(
            self.operation.spec.name, key=key, number=number, timeout_s=self.limit_s, settings=self.settings
        )
        try:
            async with asyncio.timeout(self.limit_s):
                return await self.operation.run(input, given)
        except OperationError:
            raise
        except TimeoutError:
            raise _Wrong(
                f"expected it to end within {self.operation.spec.timeout} but it did not. Make it faster, or raise its "
                "timeout."
            ) from None
        except Exception as error:
            raise _Wrong(
                f"expected an OperationError or an output but {type(error).__name__}: {error}. Raise "
                "OperationError with a code."
            ) from error

    async def _health(self) -> None:
        async def ask() -> None:
            health = await self.operation.health()
            if not isinstance(health, Health):
                raise _Wrong(f"expected a Health but {type(health).__name__}. Return one.")
            if not health.ok:
                raise _Wrong(f"expected it to be well, to be examined, but it is not: {health.detail}")

        await self._within("health() says that it is well", ask, _HEALTH_S)

    async def _within(self, what: str, do: Callable[[], Awaitable[None]], limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await do()
        except _Wrong as wrong:
            return self.note(what, str(wrong))
        except TimeoutError:
            return self.note(
                what,
                f"expected that within {limit_s:g} s but it did not. Make connections when they are first needed.",
            )
        except Exception as error:  # noqa: BLE001 - finding out what an operation does is what this is for
            return self.note(what, f"expected nothing to be raised but {type(error).__name__}: {error}. Correct it.")
        return self.note(what)

    async def _good(self, sample: Sample) -> None:
        what = f"sample {sample} succeeds"
        spec = self.operation.spec
        if (wrong := misfit(sample.input, spec.input)) is not None:
            self.note(what, f"expected its input to fit the schema but {wrong}. Correct one of them.")
            return
        key, began = self.new_key(), time.monotonic()
        try:
            output = self._judged(await self.attempt(sample.input, key), sample)
            took_ms = (time.monotonic() - began) * 1000
        except (OperationError, _Wrong) as error:
            self._remember(error)
            self.note(
                what,
                str(error) if isinstance(error, _Wrong) else f"expected an output but {error.code}: {error.message}",
            )
            return
        self.note(what, detail=f"{'pending' if isinstance(output, Pending) else 'its output fits'} ({took_ms:.0f} ms)")
        what = f"sample {sample}: the same key gives the same again"
        try:
            again = self._judged(await self.attempt(sample.input, key, 2), sample)
        except (OperationError, _Wrong) as error:
            self._remember(error)
            self.note(
                what,
                f"expected a second attempt under one key to succeed but {error}. Treat an effect that already exists "
                "as success.",
            )
            return
        problem = (
            f"expected {_short(output)} again but {_short(again)}. Remember results by idempotency key."
            if again != output
            else None
        )
        self.note(what, problem)

    def _judged(self, output: Any, sample: Sample) -> Any:
        """The output as a worker would send it. Raises `_Wrong`."""
        if isinstance(output, Pending):
            if not output.for_s > 0:
                raise _Wrong(f"expected Pending for more than 0 s but {output.for_s}. Say how long an answer may take.")
            return output
        try:
            encoded = msgspec.json.encode(output, order="sorted")
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _Wrong(f"expected an output that can be written as JSON but {error}. Return plain data.") from error
        limit = (self.settings.tasks if self.settings is not None else Settings.model_construct().tasks).output_bytes
        if len(encoded) > limit:
            raise _Wrong(
                f"expected at most {limit} bytes of output but {len(encoded)}. Return a reference to large data."
            )
        value = msgspec.json.decode(encoded)
        if (wrong := misfit(value, self.operation.spec.output)) is not None:
            raise _Wrong(f"expected its output to fit the schema but {wrong}. Correct one of them.")
        if sample.output is not msgspec.UNSET and value != sample.output:
            raise _Wrong(f"expected the output {_short(sample.output)} but {_short(value)}")
        return value

    async def _bad(self, sample: Sample, code: str) -> None:
        what = f"sample {sample} fails with {code}"
        declared = next((error for error in self.operation.spec.errors if error.id == code), None)
        if misfit(sample.input, self.operation.spec.input) is not None:
            self.note(
                what,
                None
                if code == "input_invalid"
                else "expected its input to fit the schema but it does not. Correct one of them.",
            )
            return
        try:
            output = await self.attempt(sample.input, self.new_key())
        except _Wrong as wrong:
            self.note(what, str(wrong))
        except OperationError as error:
            self._remember(error)
            problem = None if error.code == code else f"expected {code} but {error.code}: {error.message}"
            if problem is None and declared is not None and not declared.retryable and error.retryable:
                problem = (
                    "expected retryable=False as its declaration says but it is raised as retryable. Correct one of "
                    "them."
                )
            self.note(what, problem)
        else:
            self.note(what, f"expected {code} but it gave {_short(output)}")

    async def _together(self, samples: Sequence[Sample]) -> None:
        what = f"{_AT_ONCE} attempts at a time do not disturb each other"
        chosen = list(itertools.islice(itertools.cycle(samples), _AT_ONCE))
        done = await asyncio.gather(
            *(self.attempt(sample.input, self.new_key()) for sample in chosen), return_exceptions=True
        )
        for output, sample in zip(done, chosen, strict=True):
            try:
                if isinstance(output, BaseException):
                    raise output
                self._judged(output, sample)
            except (OperationError, _Wrong) as error:
                self._remember(error)
                self.note(what, f"sample {sample}: {error}")
                return
        self.note(what)

    async def _cancelled(self, sample: Sample) -> None:
        what = "a cancelled attempt ends, and one under its key succeeds"
        key = self.new_key()
        for pause_s in (0.0, 0.02):
            task = asyncio.create_task(self.attempt(sample.input, key))
            await asyncio.sleep(pause_s)
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_S)
            if not task.done():
                self.note(
                    what,
                    f"expected it to end within {_CANCEL_S:g} s but it continues. Do not catch CancelledError, and "
                    "block in no loop.",
                )
                return
            if not task.cancelled() and isinstance(error := task.exception(), OperationError | _Wrong):
                self._remember(error)
                self.note(
                    what, f"expected CancelledError to be raised but {error}. Do not turn it into an error of your own."
                )
                return
        try:
            self._judged(await self.attempt(sample.input, key, 2), sample)
        except (OperationError, _Wrong) as error:
            self._remember(error)
            self.note(
                what,
                f"expected the next attempt to succeed but {error}. Leave no partial effect that prevents it.",
            )
            return
        self.note(what)

    def _remember(self, error: BaseException) -> None:
        if isinstance(error, OperationError):
            self._codes.add(error.code)


class _Wrong(Exception):
    """Something that is against the contract."""


def _short(value: Any) -> str:
    return json.dumps(value, default=str)[:200]
