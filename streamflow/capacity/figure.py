"""One result of the formulas, with all that it was computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["", "1/s", "cores", "workers", "partitions", "runs", "bytes", "bytes/s", "s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result."""

    name: str
    group: str  # runs, engine, ingress, lanes, broker, disk
    value: float
    unit: Unit
    formula: str  # in words
    numbers: str  # the same with the numbers
    source: str  # of the numbers: counted, measured, settings, asked
