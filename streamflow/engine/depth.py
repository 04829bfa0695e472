"""How deep data may be. Expressions and encoders recurse: past some hundred levels the stack of the process would
decide, and not the data (law identical-replay)."""

from __future__ import annotations

from typing import Any

# arrays and objects within each other, of what a decision works with; ingress and task workers take less
VALUE_DEPTH = 100
COMMAND_DEPTH = 128  # of a whole command


def deeper(data: Any, levels: int) -> bool:
    """Whether `data` has more than `levels` arrays and objects within each other."""
    row = [data]
    for _ in range(levels):
        row = [
            item
            for part in row
            if isinstance(part, dict | list)
            for item in (part.values() if isinstance(part, dict) else part)
        ]
        if not row:
            return False
    return any(isinstance(part, dict | list) for part in row)


def may_be_deeper(encoded: bytes, levels: int) -> bool:
    """False when JSON cannot have more levels, which spares nearly every record the walk."""
    return encoded.count(b"[") + encoded.count(b"{") > levels
