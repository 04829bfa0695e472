"""The functions and operators of expressions by name, but those that have closures
(`operators`, `patterns`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator import (
    decimals,
    lists,
    mathematics,
    numbers,
    optionals,
    patterns,
    text,
    text_format,
    times,
)
from streamflow.definition.evaluator.values import type_of

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **numbers.FUNCTIONS,
    **mathematics.FUNCTIONS,
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
