"""What an expression may read where it stands: variables and their types, and which steps have certainly left what is
read of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.definition.expression_faults import KINDS, property_name
from streamflow.definition.expression_guards import NOTHING_ASKED, Asked
from streamflow.definition.expression_text import sign as written_sign
from streamflow.definition.expression_tree import Tree
from streamflow.definition.graph import Graph, kind_of
from streamflow.definition.plan import NO_OUTCOME
from streamflow.definition.schema_shape import Shape, shape_of
from streamflow.definition.schema_types import Kind, Schema, json_types
from streamflow.definition.steps.registry import OUTSIDE
from streamflow.errors import Problem

_COMPARING = frozenset({"@in", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_LOGICAL = frozenset({"_&&_", "_||_", "!_"})
_ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may read: variables with their types, and, where they are known, the JSON Schemas behind
    them."""

    kinds: Mapping[str, Kind]
    schemas: Mapping[str, Schema]
    before: frozenset[str] = frozenset()  # steps that come before
    certain: frozenset[str] = frozenset()  # of those, the ones that certainly have an output
    failed: frozenset[str] = frozenset()  # and those that certainly have an error
    undone: str = ""  # the step that is being undone
    asked: Asked = NOTHING_ASKED  # what the `if` of the step and the `where` of every trigger ask for


def certain_steps(graph: Graph) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """For each step, the steps before it that certainly ended with an output when it begins, and those that certainly
    ended with an error."""
    certain: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for id_ in graph.order:
        step = graph.steps[id_]
        done, failed = [], []
        for need in step.needs:
            before, _, outcome = need.partition(".")
            known = certain.get(before, (frozenset[str](), frozenset[str]()))
            lost = outcome in NO_OUTCOME
            erring = lost and before in graph.steps and kind_of(graph.steps[before]) in OUTSIDE
            done.append(known[0] if lost else known[0] | {before})
            failed.append(known[1] | {before} if erring else known[1])
        certain[id_] = (_joined(done, step.join), _joined(failed, step.join))
    return certain


def _joined(ways: list[frozenset[str]], join: str) -> frozenset[str]:
    if join == "all":
        return frozenset[str]().union(*ways)
    return ways[0].intersection(*ways[1:]) if ways else frozenset()


def asked(tree: Tree, variable: str) -> frozenset[str]:
    """The steps that the expression asks for with `has(steps.<id>)`, or of another `variable`."""
    return frozenset(
        node.select_expr.field for node in tree.nodes() if _reads_step(node, variable) and node.select_expr.test_only
    )


def _reads_step(node: Any, variable: str) -> bool:
    return bool(node.WhichOneof("kind") == "select_expr" and node.select_expr.operand.ident_expr.name == variable)


def _unasked(tree: Tree, variable: str) -> frozenset[str]:
    read = frozenset(
        node.select_expr.field
        for node in tree.nodes()
        if _reads_step(node, variable) and not node.select_expr.test_only
    )
    return read - asked(tree, variable)


def uncertain(tree: Tree, scope: Scope) -> Iterator[Problem]:
    """Outputs and errors that the expression reads and that may not be there."""
    for id_ in sorted((_unasked(tree, "steps") & scope.before) - scope.certain):
        how = (
            "may not have ended when it is undone"
            if id_ == scope.undone
            else "may have been skipped, have failed or have timed out"
        )
        yield Problem(
            "SF269",
            "",
            f"the step `{id_}` {how}, and then has no output.",
            f"Ask first: has(steps.{id_}) ? ... : ...",
            "warning",
        )
    for id_ in sorted((_unasked(tree, "errors") & scope.before) - scope.failed):
        yield Problem(
            "SF275",
            "",
            f"the step `{id_}` may not have failed, and then has no error.",
            f"Ask first: has(errors.{id_}) ? ... : ...",
            "warning",
        )


def read_schema(node: Any, scope: Scope) -> Shape | None:
    """The shape of what `node` reads by fields and indexes; None if not known."""
    kind = node.WhichOneof("kind")
    if kind == "ident_expr":
        schema = scope.schemas.get(node.ident_expr.name)
        return shape_of(schema) if schema is not None else None
    if kind == "select_expr":
        found = read_schema(node.select_expr.operand, scope)
        return found.get("properties", {}).get(property_name(node.select_expr.field)) if found is not None else None
    if kind == "call_expr" and node.call_expr.function == "_[_]":
        found = read_schema(node.call_expr.args[0], scope)
        return found.get("items") if found is not None else None
    return None


def only_types(node: Any, scope: Scope) -> frozenset[str]:
    """The JSON types beside null that the schema of what `node` reads allows; empty if it allows any, or is not
    known."""
    asks = node.WhichOneof("kind") == "select_expr" and node.select_expr.test_only
    found = read_schema(node, scope) if not asks else None
    return (json_types(found) if found is not None else frozenset[str]()) - {"null"}


def type_read(node: Any, scope: Scope) -> str:
    """The one JSON type that the schema of what `node` reads allows, or empty."""
    found = read_schema(node, scope)
    types = json_types(found) if found is not None else frozenset[str]()
    return next(iter(types)) if len(types) == 1 else ""


def mixed(tree: Tree, scope: Scope) -> Iterator[Problem]:
    """What goes wrong with a number that may be whole or not, which has no type of its own: arithmetic, a text beside
    it, and its use as a condition."""
    for node in tree.nodes():
        if node.WhichOneof("kind") != "call_expr":
            continue
        function, operands = node.call_expr.function, node.call_expr.args
        if function in _COMPARING:
            yield from _unlike(function, operands, tree, scope)
        yield from _no_conditions(function, operands, scope)
        if function not in _ARITHMETIC:
            continue
        beside_text = any(tree.kind(operand) == "text" for operand in operands)
        for operand in operands:
            if type_read(operand, scope) == "number":
                yield _number_and_text(operand) if beside_text else _number_of_either_kind(operand)


def _unlike(function: str, operands: Any, tree: Tree, scope: Scope) -> Iterator[Problem]:
    """A number that is compared with a text, with true or false, or with a list of texts."""
    pairs = [(operands[0], operands[1]), (operands[1], operands[0])][: 1 if function == "@in" else 2]
    for operand, other in pairs:
        types = only_types(operand, scope)
        kind = _kind_in_words(function, other, tree)
        if kind and types and types <= {"number", "integer"}:
            name = _name_read(operand)
            yield Problem(
                "SF271",
                "",
                f"`{written_sign(function)}` does not take `{name}`, which is a number, and {kind}.",
                "Compare it with a number, which is written without quotes.",
            )


def _kind_in_words(function: str, node: Any, tree: Tree) -> str:
    """What `node` is in words, if no number is that; empty for anything else."""
    if function == "@in":
        texts = node.WhichOneof("kind") == "list_expr" and node.list_expr.elements
        return "a list of texts" if texts and all(tree.kind(one) == "text" for one in texts) else ""
    if node.WhichOneof("kind") == "const_expr" and node.const_expr.WhichOneof("kind") == "bool_value":
        return KINDS["bool"]
    return KINDS["string"] if tree.kind(node) == "text" else ""


def _no_conditions(function: str, operands: Any, scope: Scope) -> Iterator[Problem]:
    """What is no condition where one is wanted within an expression."""
    for operand in operands if function in _LOGICAL else operands[:1] if function == "_?_:_" else ():
        types = only_types(operand, scope)
        if "boolean" not in types and types:
            yield Problem(
                "SF271",
                "",
                f"`{written_sign(function)}` does not take `{_name_read(operand)}`, which is of type "
                f"{' or '.join(sorted(types))}.",
                "Write a comparison, which is true or false.",
            )


def _name_read(operand: Any) -> str:
    return property_name(operand.select_expr.field) or "it"


def _number_and_text(operand: Any) -> Problem:
    name = _name_read(operand)
    return Problem(
        "SF271",
        "",
        f"`+` does not take a text and `{name}`, which is a number.",
        f"Write string({name}) in its place, with its whole path, or '%.2f'.format([{name}]) for two decimals.",
    )


def _number_of_either_kind(operand: Any) -> Problem:
    return Problem(
        "SF274",
        "",
        f"`{_name_read(operand)}` may come as 10 or as 10.5, and arithmetic does not mix whole numbers with others.",
        "Write double(...) around it, and 1.0 instead of 1; for money, decimal(...) around both sides.",
        "warning",
    )
