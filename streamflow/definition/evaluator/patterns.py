"""Regular expressions, by the engine that also checks the `pattern` of a JSON Schema: its time is linear in the text,
whatever the pattern, and its memory is bounded."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import jsonschema_rs

from streamflow.definition.evaluator.budget import Frame, spend
from streamflow.definition.evaluator.values import no_overload
from streamflow.definition.plan import ExpressionError

PATTERN = 1000  # characters
_OPTIONS = jsonschema_rs.RegexOptions(size_limit=50_000, dfa_size_limit=1_000_000)
_COMPILE_STEPS = 1000
_SCAN = 8  # characters that are matched in one step
_ESCAPE = re.compile(r"\\(.)|(\[:)", re.S)


def matches(frame: Frame, text: Any, pattern: Any) -> bool:
    """`text.matches(pattern)`: whether the pattern is found anywhere in the text."""
    if text.__class__ is not str or pattern.__class__ is not str:
        raise no_overload()
    spend(frame, _COMPILE_STEPS + len(text) // _SCAN)
    return bool(compiled(pattern).is_valid(text))


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The validator of texts in which `pattern` is found. Raises ExpressionError `invalid_value` for what is no pattern
    or is too large."""
    if len(pattern) > PATTERN or any(match[2] for match in _ESCAPE.finditer(pattern)):
        raise ExpressionError("invalid_value")  # a class such as [:alpha:] means other things to other engines
    try:
        return jsonschema_rs.Draft7Validator({"pattern": pattern}, pattern_options=_OPTIONS)
    except (jsonschema_rs.ValidationError, ValueError):
        raise ExpressionError("invalid_value") from None
