"""Evaluating the expressions of a step: what fails parks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from streamflow.definition.expression_diagnosis import kind_of
from streamflow.definition.plan import Compiled, ExpressionError
from streamflow.definition.validation import Validator
from streamflow.engine.depth import VALUE_DEPTH, deeper, may_be_deeper
from streamflow.engine.transitions import StepParked

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder

TEXT_CHARS = 4000  # of what is shown to people

_encoder = msgspec.json.Encoder()


class ParkStep(Exception):
    """The step cannot continue: `code` says why, `at` which part of it, `detail` which operand, field or size (a
    sentence without a full stop, or empty)."""

    def __init__(self, code: str, at: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.at = at
        self.detail = detail

    @property
    def fact(self) -> StepParked:
        """What is recorded of it."""
        return StepParked(code=self.code, at=self.at, detail=self.detail)


class EvaluationContext:
    """Where the expressions of a step are evaluated: its run, the item of a list, the time that `now` is, and the steps
    that are not seen."""

    __slots__ = ("inputs_not_ready", "item", "now_ms", "run")

    def __init__(
        self,
        run: RunBuilder,
        item: tuple[int, Any] | None = None,
        now_ms: int | None = None,
        inputs_not_ready: tuple[str, ...] = (),
    ) -> None:
        self.run = run
        self.item = item
        self.now_ms = now_ms
        self.inputs_not_ready = inputs_not_ready

    def evaluate(self, call: Callable[..., Any], expression: Compiled, at: str) -> Any:
        """What `call` (a method of `expression`) gives. Raises ParkStep."""
        variables = self.run.variables(
            expression, item=self.item, now_ms=self.now_ms, inputs_not_ready=self.inputs_not_ready
        )
        try:
            return call(variables)
        except ExpressionError as error:
            raise ParkStep(error.code, at, expression.diagnosis(variables, error)) from None

    def text(self, expression: Compiled, at: str) -> str:
        """The value of `expression` as text: JSON with sorted keys unless it is text already. Raises ParkStep."""
        value = self.evaluate(expression.evaluate, expression, at)
        return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()

    def values(self, mappings: Iterable[tuple[str, Compiled]], at: str) -> dict[str, Any]:
        """The values of `mappings`, by name. Raises ParkStep, also when they are too large for a record."""
        values = {name: self.evaluate(expression.evaluate, expression, f"{at}/{name}") for name, expression in mappings}
        self.check_size(values, at)
        return values

    def check_size(self, value: Any, at: str) -> int:
        """The encoded bytes of `value`, which count as computed by this command. Raises ParkStep when it, which may be
        a command, is too large for a record: a larger command would be refused where it arrives; or too deep."""
        encoded = _encoder.encode(value)
        self.run.builder.bytes += len(encoded)
        limit = self.run.builder.limits.record_bytes
        if len(encoded) > limit:
            raise ParkStep("too_large", at, f"it has {len(encoded)} bytes, and a record takes {limit}")
        if may_be_deeper(encoded, VALUE_DEPTH) and deeper(value, VALUE_DEPTH):
            raise ParkStep("too_deep", at, f"it has more than {VALUE_DEPTH} values inside each other")
        return len(encoded)

    def valid(self, validator: Validator | None, value: Any, at: str) -> None:
        """Raises ParkStep (`schema_mismatch`) with the place in `value` that does not fit the declared schema."""
        fault = validator.fault(value) if validator is not None else None
        if validator is not None and fault is not None:
            raise ParkStep("schema_mismatch", at + fault, validator.faults(value))

    def key(self, expression: Compiled | None, at: str) -> str:
        """A business key: the run's own without an expression. Raises ParkStep."""
        if expression is None:
            return self.run.head.key
        key = self.evaluate(expression.evaluate, expression, at)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise ParkStep("not_a_key", at, f"it is {kind_of(key)}")
        size, limit = len(str(key).encode()), self.run.builder.limits.name_bytes
        if size > limit:
            raise ParkStep("too_large", at, f"the key has {size} bytes, and {limit} are allowed")
        return str(key)
