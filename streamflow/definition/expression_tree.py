"""A checked CEL expression as a tree: its nodes, and the types that the checker found.

The CEL library gives no tree, but its serialized form is the public protobuf message `cel.expr.CheckedExpr`; the parts
of that message which are used here are declared below. No copy of it is stored anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage

# message -> fields "name number type"; `*` marks a repeated field, an unknown type name is a message of this table
_LAYOUT = {
    "Constant": "null_value 1 int64, bool_value 2 bool, int64_value 3 int64, uint64_value 4 uint64, double_value 5 "
    "double, string_value 6 string, "
    "bytes_value 7 bytes",
    "Ident": "name 1 string",
    "Select": "operand 1 Expr, field 2 string, test_only 3 bool",
    "Call": "target 1 Expr, function 2 string, args 3 Expr*",
    "CreateList": "elements 1 Expr*, optional_indices 2 int32*",
    "Entry": "id 1 int64, field_key 2 string, map_key 3 Expr, value 4 Expr, optional_entry 5 bool",
    "CreateStruct": "message_name 1 string, entries 2 Entry*",
    "Comprehension": "iter_var 1 string, iter_range 2 Expr, accu_var 3 string, accu_init 4 Expr, loop_condition 5 "
    "Expr, loop_step 6 Expr, "
    "result 7 Expr, iter_var2 8 string",
    "Expr": "id 2 int64, const_expr 3 Constant, ident_expr 4 Ident, select_expr 5 Select, call_expr 6 Call, list_expr "
    "7 CreateList, "
    "struct_expr 8 CreateStruct, comprehension_expr 9 Comprehension",
    "ListType": "elem_type 1 Type",
    "MapType": "key_type 1 Type, value_type 2 Type",
    "AbstractType": "name 1 string, parameter_types 2 Type*",
    "Empty": "",
    "Type": "dyn 1 Empty, primitive 3 int32, wrapper 4 int32, well_known 5 int32, list_type 6 ListType, map_type 7 "
    "MapType, message_type 9 string, "
    "abstract_type 14 AbstractType",
    "Reference": "name 1 string, overload_id 3 string*",
    "NamedReference": "key 1 int64, value 2 Reference",
    "NamedType": "key 1 int64, value 2 Type",
    "CheckedExpr": "reference_map 2 NamedReference*, type_map 3 NamedType*, expr 4 Expr",
}
_STRING = 5  # cel.expr.Type.PrimitiveType.STRING
_ONE_OF = {"Constant", "Expr", "Type"}


def _declare() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "int64": field.TYPE_INT64,
        "uint64": field.TYPE_UINT64,
        "int32": field.TYPE_INT32,
        "bool": field.TYPE_BOOL,
    }
    scalars |= {"double": field.TYPE_DOUBLE, "string": field.TYPE_STRING, "bytes": field.TYPE_BYTES}
    file = descriptor_pb2.FileDescriptorProto(
        name="streamflow/expression_tree.proto", package="streamflow.tree", syntax="proto3"
    )
    for name, layout in _LAYOUT.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name="kind")
        for line in filter(None, layout.split(", ")):
            field_name, number, kind = line.split()
            many, kind = kind.endswith("*"), kind.removesuffix("*")
            declared = message.field.add(
                name=field_name, number=int(number), label=field.LABEL_REPEATED if many else field.LABEL_OPTIONAL
            )
            if kind in scalars:
                declared.type = scalars[kind]
            else:
                declared.type, declared.type_name = field.TYPE_MESSAGE, f".streamflow.tree.{kind}"
            if name in _ONE_OF and field_name != "id":
                declared.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("streamflow.tree.CheckedExpr"))


_CheckedExpr = _declare()


class Tree:
    """One checked expression. `expr` is its root, a `cel.expr.Expr` message."""

    def __init__(self, serialized: bytes) -> None:
        self._envelope = AnyMessage.FromString(serialized)
        self._checked = _CheckedExpr.FromString(self._envelope.value)
        self.expr: Any = self._checked.expr
        self._types = {item.key: item.value for item in self._checked.type_map}

    def nodes(self) -> Iterator[Any]:
        """Every node, parents first, as written."""
        return _nodes(self.expr)

    def scoped_nodes(self) -> Iterator[tuple[Any, frozenset[str]]]:
        """Every node, parents first, with the names that macros have bound where it stands."""
        pending: list[tuple[Any, frozenset[str]]] = [(self.expr, frozenset())]
        while pending:
            node, bound = pending.pop()
            yield node, bound
            if node.WhichOneof("kind") == "comprehension_expr":
                part = node.comprehension_expr
                result = bound | {part.accu_var}
                inside = result | {name for name in (part.iter_var, part.iter_var2) if name}
                pending += [
                    (part.result, result),
                    (part.loop_step, inside),
                    (part.loop_condition, inside),
                    (part.accu_init, bound),
                    (part.iter_range, bound),
                ]
            else:
                pending += [(child, bound) for child in reversed(children(node))]

    def bound(self) -> frozenset[str]:
        """The names that macros bind anywhere in the expression."""
        parts = [node.comprehension_expr for node in self.nodes() if node.WhichOneof("kind") == "comprehension_expr"]
        return frozenset(name for part in parts for name in (part.iter_var, part.iter_var2, part.accu_var) if name)

    def kind(self, node: Any) -> str:
        """The static type of `node`: text, list, map, optional or another word; `dyn` if it is known only in a run."""
        declared: Any = self._types.get(node.id)
        which = declared.WhichOneof("kind") if declared is not None else None
        if which == "primitive" and declared.primitive == _STRING:
            return "text"
        if which == "abstract_type":
            return "optional" if declared.abstract_type.name == "optional_type" else "other"
        return {"list_type": "list", "map_type": "map", None: "dyn", "dyn": "dyn"}.get(which, "other")

    def comprehensions(self) -> Iterator[Any]:
        """The macros that go through a range (`map`, `filter`, `all`, `exists`, `exists_one`), not those that only bind
        a name."""
        return (
            node for node in self.nodes() if node.WhichOneof("kind") == "comprehension_expr" and not _only_binds(node)
        )


def node_kind(node: Any) -> str:
    """Which part of an expression `node` is, such as `call_expr`; empty for none."""
    return node.WhichOneof("kind") or ""


def builds_list(node: Any) -> bool:
    """Whether a comprehension yields a list (`map`, `filter`): its result then has the order of its range."""
    return bool(node.comprehension_expr.accu_init.WhichOneof("kind") == "list_expr")


def constant_text(node: Any) -> str | None:
    """The text of a string literal, or None for any other node."""
    if node.WhichOneof("kind") == "const_expr" and node.const_expr.WhichOneof("kind") == "string_value":
        return str(node.const_expr.string_value)
    return None


def _only_binds(node: Any) -> bool:
    return (
        node.comprehension_expr.iter_range.WhichOneof("kind") == "list_expr"
        and not node.comprehension_expr.iter_range.list_expr.elements
    )


def children(node: Any) -> list[Any]:
    """The nodes directly below `node`."""
    kind = node.WhichOneof("kind")
    if kind == "select_expr":
        return [node.select_expr.operand]
    if kind == "call_expr":
        return ([node.call_expr.target] if node.call_expr.HasField("target") else []) + list(node.call_expr.args)
    if kind == "list_expr":
        return list(node.list_expr.elements)
    if kind == "struct_expr":
        return [
            child
            for entry in node.struct_expr.entries
            for child in ([entry.map_key] if entry.HasField("map_key") else []) + [entry.value]
        ]
    if kind == "comprehension_expr":
        part = node.comprehension_expr
        return [part.iter_range, part.accu_init, part.loop_condition, part.loop_step, part.result]
    return []


def _nodes(root: Any) -> Iterator[Any]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))
