"""CEL expressions: compiled once, evaluated to plain JSON data, the same in every process (law identical-replay).

Kept out on purpose: texts of CEL errors (only the codes of `ERRORS` leave this module), the order of maps (see
`in_no_order`), the time-zone database of the machine, and step ids that are only known while running.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

from streamflow.definition.expression_faults import VARIABLES, syntax_problems
from streamflow.definition.expression_tree import Paths, Tree, builds_list, constant_text, paths_read
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError, Problem

ERRORS = {
    "missing_field": "a field, key or index that is read is not there; ask first with has(...) or use "
    ".?field.orValue(...)",
    "no_overload": "an operator or function does not take values of these types, such as text compared with a number",
    "division_by_zero": "a number is divided by zero",
    "out_of_range": "a number, a position or a time is too large or too small",
    "invalid_value": "a text cannot be read as what it is converted to, such as a timestamp",
    "not_a_time": "a point in time is needed, but the value is neither a timestamp nor RFC 3339 text with Z or an "
    "offset",
    "not_boolean": "a condition gives something else than true or false",
    "not_json": "the value has no place in JSON, such as infinity, a type or an optional without orValue",
    "too_costly": "the expression takes too many steps",
    "failed": "any other failure",
}

_CAUSES = (
    ("NOT_FOUND:", "missing_field"),
    ("UNKNOWN: Index error: index", "missing_field"),
    ("UNKNOWN: No value with name", "missing_field"),
    ("FAILED_PRECONDITION: optional.none()", "missing_field"),
    ("UNKNOWN: No matching overloads", "no_overload"),
    ("UNKNOWN: Index error: expected", "no_overload"),
    ("INVALID_ARGUMENT: Applying SELECT", "no_overload"),
    ("INVALID_ARGUMENT: Invalid container type", "no_overload"),
    ("INVALID_ARGUMENT: divide by zero", "division_by_zero"),
    ("INVALID_ARGUMENT: modulus by zero", "division_by_zero"),
    ("OUT_OF_RANGE:", "out_of_range"),
    ("INTERNAL: Iteration budget exceeded", "too_costly"),
)
_CAUSE_PARTS = (
    (" is greater than <string>.size()", "out_of_range"),
    ("cannot convert", "invalid_value"),
    ("conversion failed", "invalid_value"),
    ("invalid base64", "invalid_value"),
    ("malformed UTF-8", "invalid_value"),
    ("invalid regular expression", "invalid_value"),
    ("clause can only be used on", "no_overload"),
)
_OPTIONAL_CALLS = frozenset({"_?._", "_[?_]", "optional.of", "optional.none", "optional.ofNonZeroValue"})
_ZONED = frozenset(
    {
        f"get{part}"
        for part in (
            "FullYear",
            "Month",
            "DayOfYear",
            "DayOfMonth",
            "Date",
            "DayOfWeek",
            "Hours",
            "Minutes",
            "Seconds",
            "Milliseconds",
        )
    }
)
# younger than published definitions that call a macro's variable so; `check` looks at new ones
_MAY_HIDE = frozenset({"errors", "item", "index"})
_FIXED_ZONE = re.compile(r"UTC|[+-]?[0-9]{2}:[0-9]{2}")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


def extensions() -> list[Any]:
    """The extensions of CEL that expressions may use; all are deterministic."""
    return [
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_encoders.ExtEncoders(),
        ext_bindings.ExtBindings(),
    ]


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    variables = dict.fromkeys(VARIABLES, anything) | {
        "now": cel.Type.TIMESTAMP,
        "item": cel.Type.DYN,
        "index": cel.Type.INT,
    }
    return cel.NewEnv(variables=variables, extensions=extensions())


def code_of(text: str) -> str:
    """Our code for the text of a CEL error."""
    for start, code in _CAUSES:
        if text.startswith(start):
            return code
    return next((code for part, code in _CAUSE_PARTS if part in text), "failed")


class Expression:
    """A compiled expression (`plan.Compiled`). Safe to keep as long as the process lives; equal to none but itself."""

    __slots__ = ("_optionals", "_program", "_strict", "_wanted", "failing", "names", "source", "steps")

    def __init__(
        self,
        source: str,
        program: cel.Expression,
        strict: cel.Expression | None,
        names: frozenset[str],
        steps: frozenset[str],
        failing: frozenset[str],
        paths: Mapping[str, Paths],
        optionals: bool,
    ) -> None:
        self.source = source
        self.names = names
        self.steps = steps
        self.failing = failing  # of the steps, those whose errors it reads
        self._program = program
        self._strict = strict
        self._optionals = optionals
        self._wanted = tuple((name, paths.get(name, {})) for name in VARIABLES if name in names)

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value as plain JSON data: timestamps as RFC 3339 text in UTC, durations as text of seconds, bytes as
        base64 text.

        Raises ExpressionError with one of the codes of `ERRORS`."""
        return _plain(self._python(variables))

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """The value of a condition. Raises ExpressionError, with `not_boolean` when the value is neither true nor
        false."""
        value = self._value(variables)
        if value.type() != cel.Type.BOOL:
            raise ExpressionError("not_boolean")
        return bool(value.value())

    def instant_ms(self, variables: Mapping[str, Any]) -> int:
        """The value as a point in time in epoch milliseconds, rounded down. Raises ExpressionError: `not_a_time` for
        what is neither a timestamp nor RFC 3339 text with an offset."""
        value = self._python(variables)
        if isinstance(value, str) and _RFC3339.fullmatch(value):
            try:
                value = dt.datetime.fromisoformat(value.upper())
            except ValueError:
                raise ExpressionError("not_a_time") from None
        if not isinstance(value, dt.datetime):
            raise ExpressionError("not_a_time")
        return (value - _EPOCH) // _MILLISECOND

    def _python(self, variables: Mapping[str, Any]) -> Any:
        value = self._value(variables)
        return _unwrapped(value) if self._optionals else value.plain_value()

    def _value(self, variables: Mapping[str, Any]) -> Any:
        data = {name: _narrowed(variables[name], paths) for name, paths in self._wanted if name in variables}
        if "now" in data:
            data["now"] = _EPOCH + data["now"] * _MILLISECOND
        value, code = _run(self._program, data)
        if code and self._strict is not None:
            # Over a map, which of several errors comes first depends on the map's order; over lists only, it does not.
            code = _run(self._strict, data)[1] or code
        if code:
            raise ExpressionError(code)
        return value

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def _narrowed(value: Any, paths: Paths) -> Any:
    """`value` without the fields that are not read: converting a whole event of 1 KB costs 17 us, a field of it 3
    (measured)."""
    if not paths or type(value) is not dict:
        return value
    return {field: _narrowed(value[field], below) for field, below in paths.items() if field in value}


def _run(program: cel.Expression, data: dict[str, Any]) -> tuple[Any, str]:
    try:
        value = program.eval(data=data)
    except RuntimeError as error:  # what CEL raises instead of returning, such as a used-up budget
        return None, code_of(str(error))
    if value.type() == cel.Type.ERROR:
        try:
            return None, code_of(str(value.value()))
        except TypeError:  # an optional says that it is an error, and then cannot be shown
            return None, "not_json"
    return value, ""


def compile_expression(source: str) -> Expression:
    """`source` compiled for the run-time environment, where all variables but `now` are maps of anything.

    Raises DefinitionError with every problem found; pointers in it are empty."""
    try:
        program = _environment().compile(source)
    except (RuntimeError, ValueError) as error:
        raise DefinitionError(syntax_problems(str(error))) from None
    tree = Tree(program.serialize())
    problems = order_problems(tree)
    names, steps, failing = _reads(tree, problems)
    _refuse_named_zones(tree, problems)
    if problems:
        raise DefinitionError(problems)
    open_ranges = [node for node in tree.comprehensions() if tree.kind(node.comprehension_expr.iter_range) != "list"]
    builders = [node for node in open_ranges if builds_list(node)]
    main = _environment().deserialize(tree.in_no_order(open_ranges, builders)) if open_ranges else program
    strict = (
        _environment().deserialize(tree.in_no_order(open_ranges, open_ranges))
        if len(builders) < len(open_ranges)
        else None
    )
    optionals = any(
        node.WhichOneof("kind") == "call_expr" and node.call_expr.function in _OPTIONAL_CALLS for node in tree.nodes()
    )
    return Expression(source, main, strict, names, steps, failing, paths_read(tree), optionals)


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
            names.add(node.ident_expr.name)
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
        if node.WhichOneof("kind") != "call_expr" or node.call_expr.function not in _ZONED or not node.call_expr.args:
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


def _unwrapped(value: Any) -> Any:
    """`value` as Python data. Part by part, because the library's own conversion crashes the process on an optional
    inside a list or map."""
    name = value.type().name()
    if name.startswith("LIST"):
        return [_unwrapped(item) for item in value.value()]
    if name.startswith("MAP"):
        return {key: _unwrapped(item) for key, item in value.value().items()}
    try:
        return value.plain_value()
    except TypeError:
        raise ExpressionError("not_json") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ExpressionError("not_json")
        return value
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        if any(type(key) is not str for key in value):
            raise ExpressionError("not_json")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, dt.datetime):
        return _timestamp(value)
    if isinstance(value, dt.timedelta):
        return _seconds(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise ExpressionError("not_json")


def _timestamp(value: dt.datetime) -> str:
    utc = value.astimezone(dt.UTC)
    return (
        utc.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        + (f".{utc.microsecond // 1000:03}" if utc.microsecond // 1000 else "")
        + "Z"
    )


def _seconds(value: dt.timedelta) -> str:
    micros = value // dt.timedelta(microseconds=1)
    whole, part = divmod(abs(micros), 1_000_000)
    return ("-" if micros < 0 else "") + str(whole) + (f".{part:06}".rstrip("0") if part else "") + "s"
