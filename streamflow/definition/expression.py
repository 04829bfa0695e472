"""CEL expressions: checked by the library, compiled once to closures, evaluated to plain JSON data, the same in every
process (law identical-replay).

What an evaluation gives depends on `streamflow.definition.evaluator` alone, not on the library that checks, not on the
order of maps, and not on the time-zone database of the machine. Step ids that are only known while running are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from streamflow.definition.evaluator.budget import BYTES, STEPS
from streamflow.definition.evaluator.closures import Builder
from streamflow.definition.evaluator.patterns import compiled as compile_pattern
from streamflow.definition.evaluator.plain import plain
from streamflow.definition.evaluator.shape import Unsupported
from streamflow.definition.evaluator.times import ZONED, parse_timestamp
from streamflow.definition.evaluator.values import Timestamp
from streamflow.definition.expression_diagnosis import diagnosis
from streamflow.definition.expression_environment import untyped
from streamflow.definition.expression_faults import VARIABLES, syntax_problems
from streamflow.definition.expression_schemas import NodeSchemas
from streamflow.definition.expression_tree import Tree, builds_list, constant_text
from streamflow.definition.json_schema import Schema
from streamflow.definition.plan import ERRORS as ERRORS
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError, Problem

# younger than published definitions that call a macro's variable so; `check` looks at new ones
_MAY_HIDE = frozenset({"errors", "item", "index", "cloudevent"})
_FIXED_ZONE = re.compile(r"UTC|[+-]?[0-9]{2}:[0-9]{2}")
_MILLISECOND = 1_000_000  # nanoseconds
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_SCHEMAS: Mapping[str, Schema] = {}


class Expression:
    """A compiled expression (`plan.Compiled`). Safe to keep as long as the process lives; equal to none but itself.

    `failing`: of the steps that it reads, those whose errors it reads. `schema`: the JSON Schema of what it gives, and
    the one that its references point into, where the schemas of what it reads say so."""

    __slots__ = ("_locals", "_run", "_tree", "_whole", "failing", "names", "schema", "source", "steps")

    def __init__(self, source: str, tree: Tree, schemas: Mapping[str, Schema]) -> None:
        """Raises DefinitionError with every problem of `tree`, the checked `source`."""
        problems = order_problems(tree)
        self.source = source
        self.names, self.steps, self.failing = _reads(tree, problems)
        _refuse_named_zones(tree, problems)
        _refuse_patterns(tree, problems)
        found = NodeSchemas(tree.expr, schemas)
        self.schema = found.result
        self._tree, self._whole = tree.expr, found.integers()
        builder = Builder(self._whole)
        try:
            self._run = builder.build(tree.expr, {})
        except Unsupported as error:
            problems.append(
                Problem(
                    "SF277", "", f"expressions cannot contain {error}.", "See docs/expressions.md for what they have."
                )
            )
        if problems:
            raise DefinitionError(problems)
        self._locals = (None,) * builder.locals

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value as plain JSON data: timestamps as RFC 3339 text in UTC, durations as text of seconds, bytes as
        base64 text, decimals as text with all their digits.

        Raises ExpressionError with one of the codes of `ERRORS`."""
        return plain(self._run([variables, STEPS, BYTES, *self._locals]))

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """The value of a condition. Raises ExpressionError, with `not_boolean` when the value is neither true nor
        false."""
        value = self._run([variables, STEPS, BYTES, *self._locals])
        if value is True or value is False:
            return bool(value)
        raise ExpressionError("not_boolean")

    def instant_ms(self, variables: Mapping[str, Any]) -> int:
        """The value as a point in time in epoch milliseconds, rounded up, so that what waits for it is never early.

        Raises ExpressionError: `not_a_time` for what is neither a timestamp nor RFC 3339 text with an offset."""
        value = self.value(variables)
        if value.__class__ is str:
            value = parse_timestamp(value)
        if not isinstance(value, Timestamp):
            raise ExpressionError("not_a_time")
        return -(-value.ns // _MILLISECOND)

    def value(self, variables: Mapping[str, Any]) -> Any:
        """The value as `evaluator.values` has it. Raises ExpressionError."""
        return self._run([variables, STEPS, BYTES, *self._locals])

    def diagnosis(self, variables: Mapping[str, Any], error: ExpressionError) -> str:
        """Which part of it failed with `error` for these variables, and the kinds of values that this part was given:
        a sentence without a full stop, never a value of the data. Empty where no single part is to blame."""
        return diagnosis(self._tree, self._whole, variables, error, self.source)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def compile_expression(source: str, schemas: Mapping[str, Schema] = _NO_SCHEMAS) -> Expression:
    """`source` compiled for the run-time environment, where all variables but `now` are maps of anything. `schemas` are
    the JSON Schemas of variables: what they call an integer is read as one, also where it comes as 10.0.

    Raises DefinitionError with every problem found; pointers in it are empty."""
    if _SURROGATE.search(source):
        raise DefinitionError(
            [Problem("SF260", "", "the expression has half of a surrogate pair.", "Write the letter.")]
        )
    try:
        serialized = untyped().compile(source).serialize()
    except (RuntimeError, ValueError) as error:
        raise DefinitionError(syntax_problems(str(error), source)) from None
    return Expression(source, Tree(serialized), schemas)


def order_problems(tree: Tree) -> list[Problem]:
    """The lists that would be made in the order of a map, which differs between processes."""
    return [
        Problem(
            "SF263",
            "",
            "map and filter go through a list, but here they go through a map, whose order is not defined.",
            "Use all, exists or exists_one, or name the fields that you need.",
        )
        for node in tree.comprehensions()
        if builds_list(node) and tree.kind(node.comprehension_expr.iter_range) == "map"
    ]


def _reads(tree: Tree, problems: list[Problem]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The variables that the expression reads, the steps whose outputs or errors it reads, and those whose errors."""
    names: set[str] = set()
    read: dict[str, set[str]] = {"steps": set(), "errors": set()}
    named_by: set[int] = set()  # nodes `steps` and `errors` whose id is a literal
    for node, bound in tree.scoped_nodes():
        kind = node.WhichOneof("kind")
        if kind == "select_expr" and _is_by_step(node.select_expr.operand, bound):
            read[node.select_expr.operand.ident_expr.name].add(node.select_expr.field)
            named_by.add(node.select_expr.operand.id)
        elif (
            kind == "call_expr"
            and node.call_expr.function in ("_[_]", "_?._", "_[?_]")
            and _is_by_step(node.call_expr.args[0], bound)
        ):
            step = constant_text(node.call_expr.args[1])
            if step is not None:
                read[node.call_expr.args[0].ident_expr.name].add(step)
                named_by.add(node.call_expr.args[0].id)
        elif kind == "ident_expr" and node.ident_expr.name not in bound:
            names.add(node.ident_expr.name.removeprefix("."))
            if _is_by_step(node, bound) and node.id not in named_by:
                problems.append(
                    Problem(
                        "SF262",
                        "",
                        f"expected the id of a step after `{node.ident_expr.name}` but found something that is only "
                        "known while running.",
                        f"Write {node.ident_expr.name}.<id>.",
                    )
                )
    hidden = tree.bound()
    problems += hidden_problems(name for name in VARIABLES if name in hidden and name not in _MAY_HIDE)
    return frozenset(names & set(VARIABLES)), frozenset(read["steps"] | read["errors"]), frozenset(read["errors"])


def hidden_problems(names: Iterable[str]) -> list[Problem]:
    """Problems for the variables `names`, which a macro hides."""
    return [
        Problem(
            "SF264",
            "",
            f"`{name}` is a variable of every expression but is used here as the name in a macro.",
            "Choose another name.",
        )
        for name in names
    ]


def _is_by_step(node: Any, bound: frozenset[str]) -> bool:
    return bool(
        node.WhichOneof("kind") == "ident_expr"
        and node.ident_expr.name in ("steps", "errors")
        and node.ident_expr.name not in bound
    )


def _refuse_named_zones(tree: Tree, problems: list[Problem]) -> None:
    for node in tree.nodes():
        if node.WhichOneof("kind") != "call_expr" or node.call_expr.function not in ZONED or not node.call_expr.args:
            continue
        zone = constant_text(node.call_expr.args[0])
        if zone is None or not _FIXED_ZONE.fullmatch(zone):
            problems.append(
                Problem(
                    "SF265",
                    "",
                    "expected a fixed time zone but found one that depends on the rules installed on a machine.",
                    'Write "UTC" or an offset such as "+01:00".',
                )
            )


def _refuse_patterns(tree: Tree, problems: list[Problem]) -> None:
    """Patterns that are written out and cannot be used."""
    for node in tree.nodes():
        if node.WhichOneof("kind") != "call_expr" or node.call_expr.function != "matches":
            continue
        pattern = constant_text(node.call_expr.args[-1])
        if pattern is None:
            continue
        if compile_pattern(pattern).validator is None:
            problems.append(
                Problem(
                    "SF278",
                    "",
                    f"the pattern `{pattern[:100]}` cannot be used.",
                    "Write a regular expression without look-around, back references and classes such as [:alpha:], "
                    "of at most 1000 characters.",
                )
            )
