"""The functions and operators of expressions by name, but those that decide what is evaluated (`closures`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator import decimals, lists, numbers, optionals, patterns, text, text_format, times
from streamflow.definition.evaluator.budget import Frame
from streamflow.definition.evaluator.values import type_of

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **numbers.FUNCTIONS,
    **text.FUNCTIONS,
    **times.FUNCTIONS,
    **lists.FUNCTIONS,
    **optionals.FUNCTIONS,
    **decimals.FUNCTIONS,
    "matches": patterns.matches,
    "format": text_format.format_text,
    "type": lambda frame, value: type_of(value),
    "dyn": lambda frame, value: value,
}

__all__ = ["FUNCTIONS", "Frame"]
