"""Parts of a checked expression as text, much as an author writes them."""

from __future__ import annotations

import json
from typing import Any

from streamflow.definition.expression_tree import children, node_kind

SIGNS = {
    "_&&_": "&&",
    "_||_": "||",
    "!_": "!",
    "-_": "-",
    "_?_:_": "? :",
    "_[_]": "[...]",
    "@in": "in",
    "_?._": ".?",
    "_[?_]": "[?...]",
}
"""Operators by the names that the tree has for them, where these are not the sign between underscores."""

_NAMES = {"math.@max": "math.greatest", "math.@min": "math.least", "@sortByAssociatedKeys": "sortBy"}
_LOOPS = {"_&&_": "all", "_||_": "exists"}
_DEPTH = 12  # of what is written out; deeper parts are `...`


def sign(function: str) -> str:
    """The operator `function` as authors write it."""
    return SIGNS.get(function, function.strip("_"))


def is_operator(function: str) -> bool:
    """Whether authors write `function` as a sign."""
    return function in SIGNS or (function.startswith("_") and function.endswith("_"))


def function_name(function: str) -> str:
    """The function or operator `function` as authors write it."""
    return sign(function) if is_operator(function) else f"{_NAMES.get(function, function)}(...)"


def written(node: Any, most_chars: int) -> str:
    """`node` as text of at most `most_chars` characters; what is longer ends with `...`."""
    text = _written(node, _DEPTH)
    return text if len(text) <= most_chars else text[: most_chars - 3] + "..."


def _written(node: Any, depth: int) -> str:
    if not depth:
        return "..."
    kind = node_kind(node)
    if kind == "const_expr":
        return _literal(node.const_expr)
    if kind == "ident_expr":
        return str(node.ident_expr.name)
    parts = [] if kind == "comprehension_expr" else [_written(child, depth - 1) for child in children(node)]
    if kind == "select_expr":
        text = f"{parts[0]}.{node.select_expr.field}"
        return f"has({text})" if node.select_expr.test_only else text
    if kind == "call_expr":
        return _call(node.call_expr, parts)
    if kind == "list_expr":
        return f"[{', '.join(parts)}]"
    if kind == "struct_expr":
        return "{...}"
    return _loop(node.comprehension_expr, depth)


def _literal(constant: Any) -> str:
    which = constant.WhichOneof("kind")
    if which is None or which == "null_value":
        return "null"
    value = getattr(constant, which)
    return "b'...'" if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)


def _call(call: Any, parts: list[str]) -> str:
    name = call.function
    if name in ("_[_]", "_[?_]"):
        return f"{parts[0]}[{'?' if '?' in name else ''}{parts[1]}]"
    if name == "_?._":
        return f"{parts[0]}.?{parts[1].strip(chr(34))}"
    if name == "_?_:_":
        return f"{parts[0]} ? {parts[1]} : {parts[2]}"
    if is_operator(name):
        operands = [
            f"({text})" if node_kind(argument) == "call_expr" and _is_binary(argument.call_expr) else text
            for argument, text in zip(call.args, parts, strict=True)
        ]
        return f"{sign(name)}{operands[0]}" if len(operands) == 1 else f" {sign(name)} ".join(operands)
    name = _NAMES.get(name, name)
    return f"{parts[0]}.{name}({', '.join(parts[1:])})" if call.HasField("target") else f"{name}({', '.join(parts)})"


def _is_binary(call: Any) -> bool:
    return is_operator(call.function) and len(call.args) > 1 and call.function not in ("_[_]", "_[?_]", "_?._")


def _loop(part: Any, depth: int) -> str:
    if node_kind(part.iter_range) == "list_expr" and not part.iter_range.list_expr.elements:
        return "cel.bind(...)"
    start = node_kind(part.accu_init)
    name = {"list_expr": "map", "struct_expr": "transformMap"}.get(start) or _LOOPS.get(
        part.loop_step.call_expr.function, "exists_one"
    )
    return f"{_written(part.iter_range, depth - 1)}.{name}(...)"
