"""The kinds of JSON values in words."""

from __future__ import annotations

from typing import Any

_KINDS = {dict: "an object", list: "an array", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def json_kind(value: Any) -> str:
    """What `value` is in the words of JSON, such as "an array": for messages, which do not hold the value."""
    return "null" if value is None else _KINDS[type(value)]
