"""Addresses: places in a definition by ids, which stay when items before them come or go: `/steps/paid/wait/within` for
the JSON pointer `/steps/3/wait/within`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.authoring.rewriting import name_of


def address_of(content: Mapping[str, Any], pointer: str) -> str:
    """The address of the place that the JSON pointer leads to in `content`."""
    parts: list[str] = []
    value: Any = content
    for part in pointer.split("/")[1:]:
        name = part
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
            name = name_of(value) or part
        elif isinstance(value, Mapping):
            value = value.get(part.replace("~1", "/").replace("~0", "~"))
        else:
            value = None
        parts.append(name)
    return "".join(f"/{part}" for part in parts)


def step_address(id_: str) -> str:
    """The address of the step."""
    return f"/steps/{id_}"


def step_at(address: str) -> str | None:
    """The id of the step that the address is in; None for other places."""
    parts = address.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "steps" else None
