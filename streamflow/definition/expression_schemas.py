"""The JSON Schemas of what the parts of an expression give, where the schemas of what it reads say so.

From them follows where whole numbers are read: JSON writes 10 also as 10.0 or 1e1, a schema that says integer takes all
of them, and so do expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.expression_tree import constant_text, node_kind
from streamflow.definition.json_schema import Schema, json_types
from streamflow.definition.schema_shape import Shape, shape_of

_SAME_ITEMS = frozenset({"sort", "reverse", "slice", "distinct", "@sortByAssociatedKeys"})
_OF_TARGET = frozenset({"orValue", "or", "value"})


class NodeSchemas:
    """The shapes by the id of a node, in `known`. `result`: that of what the whole expression gives; None when it is
    not known."""

    def __init__(self, root: Any, schemas: Mapping[str, Schema]) -> None:
        self.known: dict[int, Shape] = {}
        self.result = self._walk(root, {name: shape_of(schema) for name, schema in schemas.items()})

    def integers(self) -> frozenset[int]:
        """The ids of the nodes that read whole numbers, or lists of them."""
        return frozenset(id_ for id_, shape in self.known.items() if _is_whole(shape))

    def _walk(self, node: Any, known: Mapping[str, Shape]) -> Shape | None:
        found = self._read(node, known)
        if found is not None:
            self.known[node.id] = found
        return found

    def _read(self, node: Any, known: Mapping[str, Shape]) -> Shape | None:
        kind = node_kind(node)
        if kind == "ident_expr":
            return known.get(node.ident_expr.name)
        if kind == "select_expr":
            of = self._walk(node.select_expr.operand, known)
            return None if node.select_expr.test_only else _field(of, node.select_expr.field)
        if kind == "call_expr":
            return self._call(node.call_expr, known)
        if kind == "comprehension_expr":
            return self._fold(node.comprehension_expr, known)
        if kind == "list_expr":
            for element in node.list_expr.elements:
                self._walk(element, known)
        if kind == "struct_expr":
            for entry in node.struct_expr.entries:
                self._walk(entry.map_key, known)
                self._walk(entry.value, known)
        return None

    def _call(self, part: Any, known: Mapping[str, Shape]) -> Shape | None:
        target = self._walk(part.target, known) if part.HasField("target") else None
        arguments = [self._walk(argument, known) for argument in part.args]
        if part.function in _SAME_ITEMS or part.function in _OF_TARGET:
            return target
        if part.function in ("_[_]", "_?._", "_[?_]"):
            field = constant_text(part.args[1])
            return _field(arguments[0], field) if field is not None else _item(arguments[0])
        return None

    def _fold(self, part: Any, known: Mapping[str, Shape]) -> Shape | None:
        over = self._walk(part.iter_range, known)
        start = self._walk(part.accu_init, known)
        inside = {name: shape for name, shape in known.items() if name not in (part.iter_var, part.iter_var2)}
        inside.pop(part.accu_var, None)
        if node_kind(part.iter_range) == "list_expr" and not part.iter_range.list_expr.elements:
            if start is not None:
                inside[part.accu_var] = start
            return self._walk(part.result, inside)
        item = _item(over)
        if item is not None:
            inside[part.iter_var2 or part.iter_var] = item
        self._walk(part.loop_step, inside)
        element = _element(part)
        if element is None:
            return None
        if node_kind(element) == "ident_expr" and element.ident_expr.name == (part.iter_var2 or part.iter_var):
            return over
        shape = self._read(element, inside)
        return Shape(type=["array"], items=shape) if shape is not None else None


def _element(part: Any) -> Any:
    """What `map` or `filter` adds for an item; None for other loops."""
    step = part.loop_step
    if node_kind(part.accu_init) != "list_expr":
        return None
    if step.call_expr.function == "_?_:_":
        step = step.call_expr.args[1]
    return step.call_expr.args[1].list_expr.elements[0]


def _field(of: Shape | None, field: str) -> Shape | None:
    return of.get("properties", {}).get(field) if of is not None else None


def _item(of: Shape | None) -> Shape | None:
    return of.get("items") if of is not None and "array" in json_types(of) else None


def _is_whole(shape: Shape) -> bool:
    types = json_types(shape) - {"null"}
    return (
        json_types(shape["items"]) == {"integer"} if types == {"array"} and "items" in shape else types == {"integer"}
    )
