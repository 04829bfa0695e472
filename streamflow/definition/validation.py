"""Values against a JSON Schema while a run goes on: what a child run is given, and the data of an emitted event.

`check` finds what types alone can tell. What it cannot know (a value of unknown type, `enum`, `minimum`, a field that
is missing deep inside) is looked at here, by a validator that is compiled once for each plan. The answer depends on
schema and value alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import jsonschema_rs

_POINTER_CHARS = 200  # of a place in the data, which may have names of any length


def no_retrieval(uri: str) -> NoReturn:
    """The author of a schema must not make those who use it fetch things."""
    raise LookupError("schemas of other places are not fetched")


class Validator:
    """A JSON Schema, compiled."""

    __slots__ = ("_validator",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises ValueError if `schema` is no JSON Schema, which checked definitions never have."""
        self._validator = jsonschema_rs.validator_for(dict(schema), retriever=no_retrieval)

    def fault(self, value: Any) -> str | None:
        """The place at which `value` does not fit, as a JSON pointer (empty: the whole), or None when it fits. Of
        several places the first in the order of their texts, so that it does not depend on how the validator goes
        about it."""
        try:
            if self._validator.is_valid(value):
                return None
            places = (
                "".join(f"/{_escaped(part)}" for part in e.instance_path) for e in self._validator.iter_errors(value)
            )
            return min(places, default="")[:_POINTER_CHARS]
        except (ValueError, TypeError, RecursionError):  # a value that the validator's own types cannot hold
            return ""


def validator(schema: Mapping[str, Any]) -> Validator | None:
    """The validator of `schema`; None when it allows anything."""
    return Validator(schema) if schema else None


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
