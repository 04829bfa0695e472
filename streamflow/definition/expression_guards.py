"""What an expression reads although it may be missing or null: a property that its object need not have, an operand
that may be null.

An object whose schema has no `required` says nothing about what may be missing, so nothing is said about it. What the
expression itself asks for anywhere, or the `if` of its step, counts as asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.definition.expression_schemas import NodeSchemas
from streamflow.definition.expression_tree import Tree, constant_text, node_kind
from streamflow.definition.json_schema import Schema, may_be_null
from streamflow.errors import Problem

_TAKES_NULL = frozenset(  # beside fields and indexes, which are reads themselves
    {"_==_", "_!=_", "@in", "dyn", "type", "orValue", "or", "optional.of", "optional.ofNonZeroValue", "format"}
)
_BRANCHES = "_?_:_"


@dataclass(frozen=True, slots=True)
class Asked:
    """Paths, such as `trigger.note`, that are asked for: whether they are there, and whether they are null."""

    present: frozenset[str] = frozenset()
    null: frozenset[str] = frozenset()

    def __or__(self, other: Asked) -> Asked:
        return Asked(self.present | other.present, self.null | other.null)

    def renamed(self, old: str, new: str) -> Asked:
        """What is asked for of the variable `old`, as asked for of `new`."""
        return Asked(_renamed(self.present, old, new), _renamed(self.null, old, new))

    def __and__(self, other: Asked) -> Asked:
        return Asked(self.present & other.present, self.null & other.null)


NOTHING_ASKED = Asked()


def _renamed(paths: frozenset[str], old: str, new: str) -> frozenset[str]:
    return frozenset(new + path.removeprefix(old) for path in paths if path.startswith(old + "."))


def asked_for(tree: Tree) -> Asked:
    """What the expression asks for."""
    present, null = set(), set()
    for node in tree.nodes():
        if node_kind(node) == "select_expr" and node.select_expr.test_only:
            present.add(_path(node))
        elif node_kind(node) == "call_expr" and node.call_expr.function in ("_==_", "_!=_"):
            sides = list(node.call_expr.args)
            null |= {_path(one) for one, other in (sides, sides[::-1]) if _is_null(other)}
    return Asked(frozenset(present - {""}), frozenset(null - {""}))


def guard_problems(tree: Tree, schemas: Mapping[str, Schema], asked: Asked, result: str) -> Iterator[Problem]:
    """Warnings about what `tree` reads without asking for it. `result`: what the whole expression has to be, in words;
    empty when it may be null."""
    found = NodeSchemas(tree.expr, schemas)
    asked = asked | asked_for(tree)
    for path in dict.fromkeys(_missing(tree, found)):
        if path not in asked.present:
            yield Problem(
                "SF279",
                "",
                f"`{path}` need not be there by its schema, and reading it then fails.",
                f"Write {_optional_form(path)}.orValue(...), or ask with has(...); or name it in `required`.",
                "warning",
            )
    for path in dict.fromkeys(_null(tree, found, result)):
        if path not in asked.null:
            yield Problem(
                "SF280",
                "",
                f"`{path}` may be null by its schema, and this fails with null.",
                f"Ask first: {path} != null ? ... : ...",
                "warning",
            )


def _missing(tree: Tree, found: NodeSchemas) -> Iterator[str]:
    """Paths of properties that are read, whose objects need not have them."""
    for node in tree.nodes():
        kind, field = node_kind(node), None
        if kind == "select_expr" and not node.select_expr.test_only:
            of, field = node.select_expr.operand, node.select_expr.field
        elif kind == "call_expr" and node.call_expr.function == "_[_]":
            of, field = node.call_expr.args[0], constant_text(node.call_expr.args[1])
        shape = found.known.get(of.id) if field is not None else None
        if shape is None or "required" not in shape or _is_optional(of):
            continue
        if field in shape.get("properties", ()) and field not in shape["required"]:
            yield _path(node) or str(field)


def _null(tree: Tree, found: NodeSchemas, result: str) -> Iterator[str]:
    """Paths of what may be null where null is not taken."""
    operands = [tree.expr] if result else []
    for node in tree.nodes():
        kind = node_kind(node)
        if kind == "select_expr":
            operands.append(node.select_expr.operand)
        elif kind == "call_expr" and node.call_expr.function == _BRANCHES:
            operands.append(node.call_expr.args[0])
        elif kind == "call_expr" and node.call_expr.function not in _TAKES_NULL:
            operands += [node.call_expr.target] if node.call_expr.HasField("target") else []
            operands += node.call_expr.args
        elif kind == "comprehension_expr":
            operands.append(node.comprehension_expr.iter_range)
    for operand in operands:
        shape = found.known.get(operand.id)
        path = _path(operand)
        if path and shape is not None and may_be_null(shape) and not _is_optional(operand):
            yield path


def _is_optional(node: Any) -> bool:
    """Whether `node` gives an optional: somewhere on its way a field is read by `.?` or `[?...]`."""
    while True:
        kind = node_kind(node)
        if kind == "select_expr":
            node = node.select_expr.operand
        elif kind == "call_expr" and node.call_expr.function in ("_?._", "_[?_]"):
            return True
        elif kind == "call_expr" and node.call_expr.function == "_[_]":
            node = node.call_expr.args[0]
        else:
            return False


def _is_null(node: Any) -> bool:
    return node_kind(node) == "const_expr" and node.const_expr.WhichOneof("kind") in ("null_value", None)


def _path(node: Any) -> str:
    """What is read, as it is written: names and fields; empty for anything else."""
    kind = node_kind(node)
    if kind == "ident_expr":
        return str(node.ident_expr.name)
    if kind == "select_expr":
        return _field_path(_path(node.select_expr.operand), node.select_expr.field)
    if kind == "call_expr" and node.call_expr.function == "_[_]":
        field = constant_text(node.call_expr.args[1])
        return _field_path(_path(node.call_expr.args[0]), field) if field is not None else ""
    return ""


def _field_path(of: str, field: str) -> str:
    if not of:
        return ""
    return f"{of}.{field}" if field.isidentifier() else f'{of}["{field}"]'


def _optional_form(path: str) -> str:
    """How the last field of `path` is read where it may be missing."""
    if path.endswith('"]'):
        of, _, field = path.rpartition("[")
        return f"{of}[?{field}"
    of, _, field = path.rpartition(".")
    return f"{of}.?{field}"
