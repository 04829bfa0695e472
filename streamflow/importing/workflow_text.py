"""The text of a `workflow.json`, read within limits."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from streamflow.errors import DefinitionError, Problem

_TEXT = 1_000_000  # characters
_STEPS = 1000
_LEVELS = 30  # CEL reads no deeper than 32 brackets


def read_workflow(text: str) -> dict[str, Any]:
    """The JSON object that `text` is, with a list of `steps` that is not empty. Raises DefinitionError: also when it is
    larger or nested more deeply than an import takes, or holds what a definition cannot."""
    if len(text) > _TEXT:
        _fail(
            "SF231",
            f"expected a text of at most {_TEXT} characters but found {len(text)}.",
            "Split the process in two.",
        )
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = (
            f"{error.msg} at line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else str(error)
        )
        _fail(
            "SF100", f"the text is not JSON: {reason}.", "Correct it there; comments and trailing commas are not JSON."
        )
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list) or not value["steps"]:
        _fail("SF102", "expected an object with `steps`, a list with at least one step.", "Give the file of a process.")
    if len(value["steps"]) > _STEPS:
        said = f"it has {len(value['steps'])} steps, and at most {_STEPS} are read."
        _fail("SF231", said, "Split the process in two.")
    _look_through(value, 0)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice!r} is written twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _look_through(value: Any, depth: int) -> None:
    if depth > _LEVELS:
        _fail("SF231", f"expected at most {_LEVELS} levels but found more.", "Write it flatter.")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        _fail("SF100", "the text holds half of a character (a lone surrogate).", "Write the character itself.")
    elif isinstance(value, float) and not math.isfinite(value):
        _fail("SF103", "a number is too large: a double holds up to 1.8e308.", "Write it as text.")
    elif isinstance(value, dict):
        for name, item in value.items():
            _look_through(name, depth)
            _look_through(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _look_through(item, depth + 1)


def _fail(code: str, message: str, fix: str) -> NoReturn:
    raise DefinitionError([Problem(code, "", message, fix)]) from None
