"""Regular expressions, by the engine that also checks the `pattern` of a JSON Schema: its time is linear in the text,
whatever the pattern, and its memory is bounded.

Linear is not yet short: a text may be matched at as many steps a character as the pattern has states. So a match costs
the length of the text times the size of the compiled pattern (measured: at worst 0.15 ns for each byte of each).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs

from streamflow.definition.evaluator.budget import Closure, Frame, spend
from streamflow.definition.evaluator.values import no_overload
from streamflow.definition.plan import ExpressionError

PATTERN = 1000  # characters
_SIZES = tuple(1 << bits for bits in range(10, 20))  # bytes of a compiled pattern
_STATES = 1_000_000  # bytes of states that a pattern keeps while it is matched
_MATCH = 8192  # bytes of pattern times characters in one step
_CALL_STEPS, _COMPILE_STEPS, _COMPILE = 5, 1000, 32  # of a match; of compiling, and bytes compiled in one step more
_ESCAPE = re.compile(r"\\(.)|(\[:)", re.S)


class Pattern(NamedTuple):
    """A compiled pattern. `validator` takes the texts in which it is found, None when it cannot be used; `size` is that
    of what it compiles to, in bytes, at most."""

    validator: Any
    size: int

    def found(self, frame: Frame, text: Any) -> bool:
        """Whether it is found anywhere in `text`. Raises ExpressionError."""
        if text.__class__ is not str:
            raise no_overload()
        if self.validator is None:
            raise ExpressionError("invalid_value")
        spend(frame, _CALL_STEPS + len(text) * self.size // _MATCH)
        return bool(self.validator.is_valid(text))


def matches(frame: Frame, text: Any, pattern: Any) -> bool:
    """`text.matches(pattern)`, with a pattern that is only known now."""
    if text.__class__ is not str or pattern.__class__ is not str:
        raise no_overload()
    found = compiled(pattern)
    spend(frame, _COMPILE_STEPS + found.size // _COMPILE)
    return found.found(frame, text)


def matching(text: Closure, pattern: str) -> Closure:
    """`text.matches(pattern)`, with a pattern that is written out."""
    found = compiled(pattern)
    return lambda f: found.found(f, text(f))


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Pattern:
    """`pattern`, compiled. A class such as [:alpha:] means other things to other engines, so it cannot be used."""
    if len(pattern) > PATTERN or any(match[2] for match in _ESCAPE.finditer(pattern)):
        return Pattern(None, 0)
    for size in _SIZES:
        options = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=_STATES)
        try:
            return Pattern(jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options), size)
        except (jsonschema_rs.ValidationError, ValueError):
            continue
    return Pattern(None, _SIZES[-1])
