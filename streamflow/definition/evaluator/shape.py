"""What the closures and the loops ask of a node."""

from __future__ import annotations

from typing import Any

from streamflow.definition.evaluator.values import Uint
from streamflow.definition.expression_tree import children, node_kind


class Unsupported(Exception):
    """The tree has a part that no closure is known for; its words say which."""


def cost(node: Any) -> int:
    """How many parts one evaluation of `node` has, without what its loops go through again."""
    part = node.comprehension_expr
    below = (
        [part.iter_range, part.accu_init, part.result] if node_kind(node) == "comprehension_expr" else children(node)
    )
    return 1 + sum(map(cost, below))


def literal(node: Any) -> Any:
    """The value of a literal."""
    part = node.const_expr
    which = part.WhichOneof("kind")
    if which is None or which == "null_value":
        return None
    value = getattr(part, which)
    return Uint(value) if which == "uint64_value" else value
