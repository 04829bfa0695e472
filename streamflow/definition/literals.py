"""Texts and lengths that are taken as they are, and texts in their place that look like expressions."""

from __future__ import annotations

import re

_EXPRESSION = re.compile(
    r"\b(trigger|steps|event|errors|run|item)\s*[.\[]"  # a variable of expressions and a field of it
    r"|\$\{|\{\{"  # templates of other languages
    r"|^\s*(['\"]).*\2\s*$"  # a text as expressions write it
    r"|^\s*(string|int|double|size|has|timestamp|duration)\s*\("
)

FIX = "Expressions are not evaluated here. Write the value itself."


def looks_like_expression(text: str) -> bool:
    """Whether the author of `text` may have meant an expression."""
    return len(text) <= 1000 and _EXPRESSION.search(text) is not None
