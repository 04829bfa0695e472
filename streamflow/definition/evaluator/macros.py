"""Loops and bindings: what the macros of CEL become.

The library writes every macro as one general fold. The shapes that its macros have are known here, and each has a loop
of its own: `map` and `filter` append to one list, so that they cost their length, and `all` and `exists` stop at the
item that decides. Over a map the loops go in the order of its keys (`values.keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streamflow.definition.evaluator.budget import FAILURE_STEPS, ITEM_BYTES, Closure, Exhausted, Frame, claim, spend
from streamflow.definition.evaluator.lists import insert
from streamflow.definition.evaluator.shape import Unsupported, cost
from streamflow.definition.evaluator.values import keys, no_overload, sorted_items
from streamflow.definition.expression_tree import node_kind
from streamflow.definition.plan import ExpressionError

if TYPE_CHECKING:
    from streamflow.definition.evaluator.closures import Builder

Scope = Mapping[str, int]
Each = Callable[[Frame], Iterable[Any]]  # moves the variables of a loop on, once for each item


class Pending:
    """The value of a bound name, computed when it is first read and kept, also when it fails."""

    __slots__ = ("_compute", "_failed")

    def __init__(self, compute: Closure) -> None:
        self._compute = compute
        self._failed = ""

    def resolve(self, frame: Frame, place: int) -> Any:
        """The value, which takes the place of this in the frame. Raises ExpressionError."""
        if self._failed:
            raise ExpressionError(self._failed)
        try:
            value = self._compute(frame)
        except Exhausted:
            raise
        except ExpressionError as error:
            self._failed = error.code
            raise
        frame[place] = value
        return value


def fold(builder: Builder, part: Any, scope: Scope) -> Closure:
    """The closure of the fold `part`. Raises Unsupported for one that no macro makes."""
    if _is_empty_list(part.iter_range):
        return _binding(builder, part, scope)
    if node_kind(part.accu_init) == "list_expr":
        return _collecting(builder, part, scope)
    if node_kind(part.accu_init) == "struct_expr":
        return _mapping(builder, part, scope)
    step, start = part.loop_step.call_expr, part.accu_init.const_expr
    if step.function in ("_&&_", "_||_") and start.WhichOneof("kind") == "bool_value":
        return _deciding(builder, part, scope, decisive=step.function == "_||_")
    if step.function == "_?_:_" and start.WhichOneof("kind") == "int64_value":
        return _exactly_one(builder, part, scope)
    raise Unsupported("a loop of an unknown kind")


def _is_empty_list(node: Any) -> bool:
    return node_kind(node) == "list_expr" and not node.list_expr.elements


def _binding(builder: Builder, part: Any, scope: Scope) -> Closure:
    compute = builder.build(part.accu_init, scope)
    inside, (place,) = builder.bind(scope, part.accu_var)
    result = builder.build(part.result, inside)

    def bound(f: Frame) -> Any:
        f[place] = Pending(compute)
        return result(f)

    return bound


def _loop(builder: Builder, part: Any, scope: Scope, body: list[Any], lists_only: bool) -> tuple[dict[str, int], Each]:
    """The scope inside the loop, and the loop: a generator that sets the variables for each item."""
    over = builder.build(part.iter_range, scope)
    steps = sum(map(cost, body))
    if part.iter_var2:
        inside, (first, second) = builder.bind(scope, part.iter_var, part.iter_var2)

        def pairs(f: Frame) -> Iterable[None]:
            values = over(f)
            for pair in _pairs(f, values, lists_only):
                f[first], f[second] = pair
                f[1] -= steps
                if f[1] < 0:
                    raise Exhausted
                yield None

        return inside, pairs
    inside, (place,) = builder.bind(scope, part.iter_var)

    def items(f: Frame) -> Iterable[None]:
        values = over(f)
        if values.__class__ is not list:
            values = _keys(f, values, lists_only)
        for item in values:
            f[place] = item
            f[1] -= steps
            if f[1] < 0:
                raise Exhausted
            yield None

    return inside, items


def _keys(f: Frame, values: Any, lists_only: bool) -> list[Any]:
    if values.__class__ is not dict or lists_only:
        raise no_overload()
    spend(f, len(values))
    claim(f, ITEM_BYTES * len(values))
    return keys(values)


def _pairs(f: Frame, values: Any, lists_only: bool) -> Iterable[tuple[Any, Any]]:
    if values.__class__ is list:
        return enumerate(values)
    if values.__class__ is not dict or lists_only:
        raise no_overload()
    spend(f, len(values))
    claim(f, 3 * ITEM_BYTES * len(values))
    return sorted_items(values)


def _parts(step: Any) -> tuple[Any, Any]:
    """The condition (None without one) of a loop's step, and what the step does where it holds."""
    if step.call_expr.function == "_?_:_":
        return step.call_expr.args[0], step.call_expr.args[1]
    return None, step


def loop_body(part: Any) -> tuple[Any, list[Any]]:
    """What the loop `part` evaluates for each item: its condition (None without one), and what only where that
    holds."""
    start = node_kind(part.accu_init)
    if start == "list_expr":
        condition, adding = _parts(part.loop_step)
        return condition, list(adding.call_expr.args[1].list_expr.elements)
    if start == "struct_expr":
        condition, adding = _parts(part.loop_step)
        return condition, list(adding.call_expr.args)[1:]
    step = part.loop_step.call_expr
    return None, [step.args[1] if step.function in ("_&&_", "_||_") else step.args[0]]


def _collecting(builder: Builder, part: Any, scope: Scope) -> Closure:
    """`map`, `filter`, `transformList`."""
    condition, elements = loop_body(part)
    inside, each = _loop(builder, part, scope, [*filter(None, [condition]), *elements], lists_only=True)
    test = builder.build(condition, inside) if condition is not None else None
    (value,) = (builder.build(element, inside) for element in elements)

    def collect(f: Frame) -> list[Any]:
        found: list[Any] = []
        for _ in each(f):
            if test is not None:
                holds = test(f)
                if holds is False:
                    continue
                if holds is not True:
                    raise no_overload()
            f[2] -= ITEM_BYTES
            if f[2] < 0:
                raise Exhausted
            found.append(value(f))
        return found

    return collect


def _mapping(builder: Builder, part: Any, scope: Scope) -> Closure:
    """`transformMap`, `transformMapEntry`."""
    condition, given = loop_body(part)
    inside, each = _loop(builder, part, scope, [*filter(None, [condition]), *given], lists_only=False)
    test = builder.build(condition, inside) if condition is not None else None
    values = [builder.build(value, inside) for value in given]

    def collect(f: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in each(f):
            if test is not None:
                holds = test(f)
                if holds is False:
                    continue
                if holds is not True:
                    raise no_overload()
            if len(values) == 2:
                insert(f, found, values[0](f), values[1](f))
                continue
            entries = values[0](f)
            if entries.__class__ is not dict:
                raise no_overload()
            for key, value in sorted_items(entries):
                insert(f, found, key, value)
        return found

    return collect


def _deciding(builder: Builder, part: Any, scope: Scope, decisive: bool) -> Closure:
    """`all` and `exists`: a failure counts only when no item decides."""
    _, (predicate,) = loop_body(part)
    inside, each = _loop(builder, part, scope, [predicate], lists_only=False)
    test = builder.build(predicate, inside)
    neutral = not decisive

    def decide(f: Frame) -> Any:
        failed = ""
        for _ in each(f):
            try:
                value = test(f)
            except Exhausted:
                raise
            except ExpressionError as error:
                failed = failed or error.code
                f[1] -= FAILURE_STEPS
                continue
            if value is decisive:
                return decisive
            if value is not neutral:
                failed = failed or "no_overload"
        if failed:
            raise ExpressionError(failed)
        return neutral

    return decide


def _exactly_one(builder: Builder, part: Any, scope: Scope) -> Closure:
    """`exists_one`."""
    _, (predicate,) = loop_body(part)
    inside, each = _loop(builder, part, scope, [predicate], lists_only=False)
    test = builder.build(predicate, inside)

    def count(f: Frame) -> bool:
        found = 0
        for _ in each(f):
            value = test(f)
            if value is True:
                found += 1
            elif value is not False:
                raise no_overload()
        return found == 1

    return count
