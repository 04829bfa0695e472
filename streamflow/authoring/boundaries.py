"""Values at which the conditions of a definition turn, read from its expressions."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from streamflow.definition.expression_environment import untyped
from streamflow.definition.expression_tree import Tree, node_kind
from streamflow.definition.model import Definition

Path = tuple[str, ...]  # of a field: `event` or `trigger` or `steps`, `<id>`, then names

_COMPARING = {"_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"}
_LOGICAL = {"_&&_", "_||_", "!_", "_?_:_"}
_CONVERTING = {"double", "int", "uint", "decimal", "string", "timestamp", "duration", "dyn"}
_FAR = (0, 1, 1_000_000)  # where a field is compared with something that is not written out


def boundaries(definition: Definition) -> dict[str, dict[Path, list[Any]]]:
    """By what an expression belongs to (`on/<id>`, `steps/<id>`), the fields that it compares, each with values on both
    sides: below, at and above a number, a text and another one, true and false."""
    found: dict[str, dict[Path, list[Any]]] = {}
    for place, source in _expressions(definition):
        try:
            tree = Tree(untyped().compile(source).serialize())
        except (RuntimeError, ValueError):
            continue  # the check reports it
        for path, values in _compared(tree):
            known = found.setdefault(place, {}).setdefault(path, [])
            known += [value for value in values if value not in known or isinstance(value, bool)]
    return found


def _expressions(definition: Definition) -> Iterator[tuple[str, str]]:
    for trigger in definition.on:
        if trigger.where:
            yield f"on/{trigger.id}", trigger.where
    for step in definition.steps:
        sources = [step.if_, *(branch.if_ for branch in step.choose or ())]
        sources += [clause.where for clause in step.wait.events] if step.wait is not None else []
        sources += [mapping.expr for mapping in step.set or ()]
        sources += [step.require.that] if step.require is not None else []
        sources += [step.each.items] if step.each is not None else []
        for source in sources:
            if source:
                yield f"steps/{step.id}", source


def _compared(tree: Tree) -> Iterator[tuple[Path, list[Any]]]:
    if (path := _path(tree.expr)) is not None:
        yield path, [True, False]
    for node in tree.nodes():
        if node_kind(node) == "call_expr":
            yield from _of_call(node.call_expr)


def _of_call(call: Any) -> Iterator[tuple[Path, list[Any]]]:
    if call.function in _LOGICAL:
        for node in call.args[:1] if call.function == "_?_:_" else call.args:
            if (path := _path(node)) is not None:
                yield path, [True, False]
    elif call.function in _COMPARING and len(call.args) == 2:
        sides = [(_path(node), _constant(node)) for node in call.args]
        for (compared, _), (_, other) in (sides, sides[::-1]):
            if compared is not None:
                yield compared, _around(other) if other is not None else list(_FAR)
    elif call.function == "@in" and len(call.args) == 2:
        member = _path(call.args[0])
        if member is not None and node_kind(call.args[1]) == "list_expr":
            values = [_constant(item) for item in call.args[1].list_expr.elements]
            yield member, [value for value in values if value is not None]


def _around(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [value, not value]
    if isinstance(value, int):
        return [value, value + 1, value - 1]
    if isinstance(value, float):
        whole = int(value) if value.is_integer() else None
        return [whole, whole + 1, whole - 1] if whole is not None else [value, value + 0.01, value - 0.01]
    return [value, f"{value}-other"] if isinstance(value, str) else []


def _path(node: Any) -> Path | None:
    """The field that a node reads, if it is one of an event or output."""
    kind = node_kind(node)
    if kind == "call_expr":
        if node.call_expr.function in _CONVERTING and len(node.call_expr.args) == 1:
            return _path(node.call_expr.args[0])
        if node.call_expr.function == "_[_]" and isinstance(name := _constant(node.call_expr.args[1]), str):
            before = _path(node.call_expr.args[0])
            return (*before, name) if before is not None else None
        return None
    if kind == "ident_expr":
        return (node.ident_expr.name,) if node.ident_expr.name in ("event", "trigger", "steps") else None
    if kind == "select_expr" and not node.select_expr.test_only:
        before = _path(node.select_expr.operand)
        return (*before, node.select_expr.field) if before is not None else None
    return None


def _constant(node: Any) -> Any:
    """The value of a literal, also within a conversion; None for anything else."""
    kind = node_kind(node)
    if kind == "call_expr" and len(node.call_expr.args) == 1:
        inside = _constant(node.call_expr.args[0])
        if node.call_expr.function == "-_" and isinstance(inside, int | float):
            return -inside
        if node.call_expr.function == "decimal" and isinstance(inside, str):
            try:
                return float(Decimal(inside))
            except InvalidOperation:
                return None
        return inside if node.call_expr.function in _CONVERTING else None
    if kind != "const_expr":
        return None
    which = node.const_expr.WhichOneof("kind")
    if which in ("bool_value", "int64_value", "uint64_value", "double_value", "string_value"):
        return getattr(node.const_expr, which)
    return None
