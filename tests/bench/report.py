"""What the benchmark prints: one row for each figure, beside what it is to be compared with, and the facts of the
machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from streamflow.kafka.embedded.jars import KAFKA_VERSION

_BUSY = 1.0  # load average above which figures mean little


@dataclass(frozen=True)
class Row:
    """One figure. `beside` is the comparison, in the same unit; `aim` is what it should be, at least or at most."""

    part: str
    what: str
    value: float
    unit: str
    beside: float | None = None
    aim: float | None = None
    better: Literal["more", "less"] = "more"

    @property
    def ratio(self) -> float | None:
        """The value as a part of `beside`."""
        return self.value / self.beside if self.beside else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.better == "more" else self.value <= self.aim

    def facts(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


@dataclass(frozen=True)
class Machine:
    """Where and when it ran."""

    cores: int
    processor: str
    python: str
    kafka: str
    load: float

    @property
    def busy(self) -> bool:
        return self.load > _BUSY


def machine() -> Machine:
    """This machine, with its load average as it is now: call it before anything is started."""
    return Machine(
        len(os.sched_getaffinity(0)), _processor(), platform.python_version(), KAFKA_VERSION, os.getloadavg()[0]
    )


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:  # noqa: PTH123 - a file of the kernel
        return next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
        )


def show(rows: Sequence[Row], at: Machine, console: Console) -> None:
    """Prints the table."""
    table = Table("what", "value", "unit", "beside", "ratio", "aim", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    part = ""
    for row in rows:
        if row.part != part:
            part = row.part
            table.add_section()
            table.add_row(f"[bold]{part}[/]")
        table.add_row(f"  {row.what}", number(row.value), row.unit, number(row.beside), number(row.ratio), _aim(row))
    console.print(table)
    console.print(
        f"{at.cores} cores ({at.processor}), Python {at.python}, Kafka {at.kafka}, load average {at.load:.2f} at the "
        "start",
        highlight=False,
    )
    if at.busy:
        console.print(
            f"[yellow]The load average was above {_BUSY:.0f} before anything began: ratios hold, absolute figures do "
            "not.[/]",
            highlight=False,
        )


def _aim(row: Row) -> str:
    if row.aim is None:
        return ""
    sign = "≥" if row.better == "more" else "≤"
    return f"[{'green' if row.met else 'red'}]{sign} {number(row.aim)}[/]"


def number(value: float | None) -> str:
    """Three significant digits, and all digits before the point."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
