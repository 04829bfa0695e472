"""How a value that is written wrong is written right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MAPPINGS = frozenset({"data", "with", "set"})  # fields that are lists of a name and an expression
_SHOWN = 60  # characters of an expression that a fix repeats


def as_list(field: str, value: Any) -> str:
    """A fix for what is given to `field`, which is a list; empty where it is not clear."""
    if isinstance(value, str) and re.fullmatch(r"[\w.@-]+", value):
        return f"Write a list: [{value}]."
    if not isinstance(value, Mapping) or not value:
        return ""
    name, expr = next(iter(value.items()))
    if field not in _MAPPINGS or "name" in value or not isinstance(expr, str) or len(f"{name}{expr}") > _SHOWN:
        return "Write a list, with - before each of its items."
    more = ", ..." if len(value) > 1 else ""
    return f"Write a list: [{{name: {name}, expr: {expr}}}{more}]."


def spelled(value: Any, pattern: str) -> str:
    """A fix for an id that is only spelled wrong, such as `Wait for payment`."""
    if not isinstance(value, str):
        return ""
    for joint in ("_", "-"):
        found = re.sub(r"[^a-z0-9]+", joint, value.lower()).strip("_-")
        if re.fullmatch(pattern, found):
            return f"For example `{found}`."
    return ""
