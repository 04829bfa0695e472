"""Attacks on the product: each is done again, and must be refused, bounded and told.

A module of this package with a tuple `ATTACKS` adds its attacks. They are made on decoys in temporary folders, on
loopback only. `python -m tests.attack` makes them, and reports what was seen and the memory of the attacked process.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Seen:
    """What an attack saw. It holds when `wrong` is empty."""

    figures: dict[str, str] = field(default_factory=dict)
    """What was measured, by what it is."""

    wrong: list[str] = field(default_factory=list)
    """What must not have been seen."""

    peak_bytes: int | None = None
    """The largest memory (VmHWM) of the attacked process."""

    def require(self, holds: bool, otherwise: str) -> None:
        """Notes `otherwise` unless it `holds`."""
        if not holds:
            self.wrong.append(otherwise)

    def count(self, what: str, counts: Mapping[Any, int]) -> None:
        """Notes how often each of `counts` was seen."""
        self.figures[what] = ", ".join(f"{count} x {one}" for one, count in sorted(counts.items())) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack."""

    name: str
    """For the command line: small letters and -."""

    done: str
    """What is done."""

    expected: str
    """What must be seen."""

    make: Callable[[int], Seen]
    """Makes it; the argument is the seed of what is drawn at random."""


def attacks() -> list[Attack]:
    """All attacks, in the order of their modules' names."""
    found: list[Attack] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "ATTACKS", ())
    return found
