"""Which part of an expression failed, in words for the person who looks at the run: the part as it is written, and the
kinds of the values that it was given, never the values.

It is found after the failure, by evaluating the parts of the tree again, so that an evaluation that succeeds pays
nothing. The text depends on the tree and the variables alone (law identical-replay).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from streamflow.definition.evaluator.budget import BYTES, FIRST_LOCAL, Closure, Exhausted, Frame, spend
from streamflow.definition.evaluator.closures import Builder
from streamflow.definition.evaluator.macros import Pending, loop_body
from streamflow.definition.evaluator.shape import cost
from streamflow.definition.evaluator.values import TYPE_NAMES, OptionalValue, keys, sorted_items
from streamflow.definition.expression_faults import KINDS
from streamflow.definition.expression_text import function_name, written
from streamflow.definition.expression_tree import children, node_kind
from streamflow.definition.plan import ExpressionError

DIAGNOSIS_CHARS = 400
STEPS = 50_000  # of one diagnosis, among them the parts of all closures that are built; about 0.1 s

_PART_CHARS = 80  # of a part of the expression, which may be of any length
_MOST_OPERANDS = 3

Scope = Mapping[str, int]
Part = tuple[Any, Scope]  # a node of the tree, and the names that macros bind there


def kind_of(value: Any) -> str:
    """The kind of `value` in words, such as *a text*; of a list also how many items it has."""
    if value.__class__ is list:
        return f"a list of {len(value)} item{'' if len(value) == 1 else 's'}"
    return KINDS.get(TYPE_NAMES.get(value.__class__, ""), "of an unknown kind")


def diagnosis(
    tree: Any, whole: AbstractSet[int], variables: Mapping[str, Any], error: ExpressionError, source: str
) -> str:
    """Why the expression `source` with the root `tree` failed with `error`: a sentence of at most `DIAGNOSIS_CHARS`
    characters without a full stop. Empty when it used up its budget: no part of it is to blame. `whole` is as for
    `Builder`."""
    if isinstance(error, Exhausted):
        return ""
    search = _Search(whole, variables, error.code)
    try:
        text = search.words(tree, source)
    except ExpressionError:  # its budget is used up, or a part failed whose failure is absorbed: as far as it came
        text = f"{_quoted(search.found)} failed"
    return text[:DIAGNOSIS_CHARS]


class _Search:
    """Looks for the innermost part that fails with `code` although all that it is made of can be evaluated."""

    def __init__(self, whole: AbstractSet[int], variables: Mapping[str, Any], code: str) -> None:
        self.found: Any = None
        self._builder = Builder(whole)
        self._code = code
        self._frame: Frame = [variables, STEPS, BYTES]
        self._places: list[str] = []

    def words(self, root: Any, source: str) -> str:
        """What is wrong in `root`. Raises Exhausted."""
        self.found = root
        inner: Part | None = (root, {})
        if not self._fails(root, {}):
            text = source if len(source) <= _PART_CHARS else source[: _PART_CHARS - 3] + "..."
            return f"`{text}` gives {self._kind(root, {})}"
        scope: Scope = {}
        while inner is not None:
            self.found, scope = inner
            inner = self._inner(self.found, scope)
        return "".join([self._fault(self.found, scope), *reversed(self._places)])

    def _closure(self, node: Any, scope: Scope) -> Closure:
        spend(self._frame, cost(node))
        closure = self._builder.build(node, scope)
        self._make_room()
        return closure

    def _make_room(self) -> None:
        self._frame += [None] * (FIRST_LOCAL + self._builder.locals - len(self._frame))

    def _value(self, node: Any, scope: Scope) -> Any:
        return self._closure(node, scope)(self._frame)

    def _fails(self, node: Any, scope: Scope) -> bool:
        return self._does_fail(self._closure(node, scope))

    def _does_fail(self, closure: Closure) -> bool:
        try:
            closure(self._frame)
        except Exhausted:
            raise
        except ExpressionError as error:
            return error.code == self._code
        return False

    def _inner(self, node: Any, scope: Scope) -> Part | None:
        """The first part directly below `node` that fails."""
        if node_kind(node) == "comprehension_expr":
            return self._in_macro(node.comprehension_expr, scope)
        parts = children(node)
        if node_kind(node) == "call_expr" and node.call_expr.function == "_?_:_" and not self._fails(parts[0], scope):
            parts = [parts[1] if self._value(parts[0], scope) is True else parts[2]]
        return next(((part, scope) for part in parts if self._fails(part, scope)), None)

    def _in_macro(self, macro: Any, scope: Scope) -> Part | None:
        if node_kind(macro.iter_range) == "list_expr" and not macro.iter_range.list_expr.elements:  # binds a name
            if self._fails(macro.accu_init, scope):
                return macro.accu_init, scope
            inside, (place,) = self._bind(scope, macro.accu_var)
            self._frame[place] = Pending(self._closure(macro.accu_init, scope))
            return (macro.result, inside) if self._fails(macro.result, inside) else None
        if self._fails(macro.iter_range, scope):
            return macro.iter_range, scope
        over = self._value(macro.iter_range, scope)
        if over.__class__ not in (list, dict):
            return None
        inside, places = self._bind(scope, *filter(None, (macro.iter_var, macro.iter_var2)))
        condition, values = loop_body(macro)
        test = self._closure(condition, inside) if condition is not None else None
        closures = [(value, self._closure(value, inside)) for value in values]
        where = _quoted(macro.iter_range)
        if where.startswith("`@"):  # a name that a macro made
            where = "the list"
        for position, bound in enumerate(_bound(over, len(places))):
            spend(self._frame, cost(macro.loop_step))
            for place, value in zip(places, bound, strict=True):
                self._frame[place] = value
            at = f", at position {position} of {where}" if over.__class__ is list else f", in {where}"
            if test is not None and self._does_fail(test):
                self._places.append(at)
                return condition, inside
            if test is not None and test(self._frame) is not True:
                continue
            for part, closure in closures:
                if self._does_fail(closure):
                    self._places.append(at)
                    return part, inside
        return None

    def _bind(self, scope: Scope, *names: str) -> tuple[dict[str, int], list[int]]:
        bound = self._builder.bind(scope, *names)
        self._make_room()
        return bound

    def _kind(self, node: Any, scope: Scope) -> str:
        """The kind of what `node` gives; empty if it fails."""
        try:
            return kind_of(self._value(node, scope))
        except Exhausted:
            raise
        except ExpressionError:
            return ""

    def _fault(self, node: Any, scope: Scope) -> str:
        """What is wrong with `node`, whose parts are well."""
        kind = node_kind(node)
        if kind == "select_expr":
            return self._field_fault(node.select_expr, scope)
        if kind == "call_expr":
            return self._call_fault(node.call_expr, scope)
        if kind == "comprehension_expr":
            over = node.comprehension_expr.iter_range
            return f"{_quoted(node)} goes through {_quoted(over)}, {self._kind(over, scope)}"
        return f"{_quoted(node)} has no value here"

    def _field_fault(self, select: Any, scope: Scope) -> str:
        start, name = select.operand, select.field
        if node_kind(start) == "ident_expr" and start.ident_expr.name in ("steps", "errors") and name not in scope:
            what = "output" if start.ident_expr.name == "steps" else "error"
            return f"step `{name[:_PART_CHARS]}` has no {what} here"
        value = self._value(start, scope)
        if value.__class__ is OptionalValue:
            value = value.value
        field = f"no field `{name[:_PART_CHARS]}`"
        return (
            f"{_quoted(start)} has {field}" if value.__class__ is dict else f"{self._typed(start, scope)} has {field}"
        )

    def _call_fault(self, call: Any, scope: Scope) -> str:
        operands = ([call.target] if call.HasField("target") else []) + list(call.args)
        if call.function == "_[_]" and self._code == "missing_field":
            what = "item" if self._value(operands[0], scope).__class__ is list else "field"
            return f"{self._typed(operands[0], scope)} has no {what} {self._typed(operands[1], scope)}"
        if call.function == "value" and self._code == "missing_field":
            return f"{_quoted(operands[0])} is absent"
        shown = [self._typed(operand, scope) for operand in operands[:_MOST_OPERANDS]]
        if len(operands) > _MOST_OPERANDS:
            shown.append("...")
        given = " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
        return f"`{function_name(call.function)}` was given {given}"

    def _typed(self, node: Any, scope: Scope) -> str:
        """`node` and the kind of what it gives."""
        if node_kind(node) == "const_expr":
            return _quoted(node)
        kind = self._kind(node, scope)
        return f"{_quoted(node)} ({kind})" if kind else _quoted(node)


def _quoted(node: Any) -> str:
    return f"`{written(node, _PART_CHARS)}`"


def _bound(over: Any, names: int) -> Iterator[tuple[Any, ...]]:
    """What a loop over `over` binds to its one or two names, for each item."""
    if names == 2:
        yield from enumerate(over) if over.__class__ is list else sorted_items(over)
    else:
        yield from ((item,) for item in (over if over.__class__ is list else keys(over)))
