"""Values at the places in a record that the catalog names: headers, paths into the payload, the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.catalog import Location
from streamflow.definition.plan import whole_number
from streamflow.wire.decoding import Decoded

Get = Callable[[Decoded], Any]  # None: not there


def located(location: Location) -> Get:
    """The value at a header or a path."""
    if location.header is not None:
        return at_header(location.header)
    assert location.path is not None
    return at_path(location.path)


def at_header(name: str) -> Get:
    """A header's text; None also when it is not UTF-8."""

    def get(decoded: Decoded) -> Any:
        value = decoded.headers.get(name)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:  # other bytes must not become the same id or key
            return None

    return get


def at_path(path: str) -> Get:
    """The value at a path of field names, joined by dots, in the payload."""
    first, *rest = path.split(".")

    def shallow(decoded: Decoded) -> Any:
        data = decoded.data
        return data.get(first) if data.__class__ is dict else None

    def deep(decoded: Decoded) -> Any:
        value = shallow(decoded)
        for part in rest:
            value = value.get(part) if value.__class__ is dict else None
        return value

    return deep if rest else shallow


def record_key(decoded: Decoded) -> Any:
    """The record's key; None also when it is neither text nor framed."""
    return decoded.key


def constant_text(value: str | int | bool) -> str:
    """A constant of the catalog as a header holds it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def as_whole(value: Any) -> Any:
    """A double that is a whole number, as the whole number; everything else as it is."""
    return whole_number(value) if value.__class__ is float else value


def scalar_text(value: Any) -> str:
    """Text and whole numbers as text; empty for everything else."""
    value = as_whole(value)
    if value.__class__ is str:
        return str(value)
    return str(value) if value.__class__ is int else ""
