"""Addresses of steps inside a run.

The address of a step is `<scope>.<step>`, where the scope names a group of steps and its iteration (`handling[2]`), or
several within each other (`handling[2].item[0]`). The scope of a run itself is empty; the address is then the step's id
alone. A step id may end in `.undo`: the step that undoes another.
"""

from __future__ import annotations


def address_of(scope: str, step: str) -> str:
    """The address of `step` in `scope`."""
    return f"{scope}.{step}" if scope else step


def split_address(address: str) -> tuple[str, str]:
    """The scope (empty: the run itself) and the id of a step."""
    if "]" not in address:
        return "", address
    scope, bracket, step = address.rpartition("].")
    return (scope + "]", step) if bracket else ("", address)
