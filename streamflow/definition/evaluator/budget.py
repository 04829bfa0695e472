"""What one evaluation may cost. A frame is the state of one evaluation: a list whose first places are fixed (below)
and whose others are the variables of macros.

Steps stand for time: one for each part of an expression that a loop evaluates, and one for each item, or for some
bytes of text, that a function goes through. Bytes stand for memory: what an evaluation builds, and nothing is given
back. Both are counted by rules of this package, never by the size of the interpreter's objects, so that two workers
refuse the same evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.plan import ExpressionError

Frame = list[Any]
Closure = Callable[[Frame], Any]

FIRST_LOCAL = 3  # before it: the variables by name, the steps that are left, the bytes that are left

STEPS = 500_000  # of one evaluation; about 0.1 s
BYTES = 16 << 20  # of one evaluation

ITEM_BYTES = 8  # of a place in a list
ENTRY_BYTES = 100  # of a field in a map
FAILURE_STEPS = 10  # of a failure that is absorbed
_SCAN = 64  # bytes of text that a function reads in one step
SHORT = 1024  # characters that are read without a separate step


class Exhausted(ExpressionError):
    """The budget is used up. No `&&` or `||` absorbs it."""

    def __init__(self) -> None:
        super().__init__("too_costly")


def spend(frame: Frame, steps: int) -> None:
    """Takes `steps` from the budget. Raises Exhausted."""
    frame[1] -= steps
    if frame[1] < 0:
        raise Exhausted


def claim(frame: Frame, size: int) -> None:
    """Takes `size` bytes from the budget. Raises Exhausted."""
    frame[2] -= size
    if frame[2] < 0:
        raise Exhausted


def text_size(text: str) -> int:
    """The bytes that `text` counts for."""
    return len(text) if text.isascii() else 4 * len(text)


def scan(frame: Frame, text: str | bytes) -> None:
    """Takes the steps for reading `text` once. Raises Exhausted."""
    if len(text) > SHORT:
        spend(frame, len(text) // _SCAN)
