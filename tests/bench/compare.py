"""`make compare`: the benchmark of an earlier revision and of this one, on the same machine, as ratios.

A shared machine runs at another speed from one minute to the next. So `micro`, which needs one core, is run in both
trees at the same time and on the same core; all other parts are run in turn, several times, and what is compared are
the medians. A figure is called slower or faster only when the ranges of both do not overlap.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import PARTS
from tests.bench.report import machine, number
from tests.regressions.tree import Tree, checkout, current

TOGETHER = frozenset({"micro"})  # CPU of one thread, so both trees can share a core
LEFT_OUT = frozenset({"million"})  # half an hour for each tree
TOLERANCE = 0.05  # differences below it are not called slower or faster


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of both trees."""

    part: str
    what: str
    unit: str
    better: str
    """`more` or `less`."""

    base: tuple[float, ...]
    """The figure in each round, of the earlier revision."""

    now: tuple[float, ...]
    """The same of this one."""

    @property
    def ratio(self) -> float | None:
        """Now as a part of base; None where base is nothing."""
        return median(self.now) / median(self.base) if median(self.base) else None

    @property
    def verdict(self) -> str:
        """`slower`, `faster`, or nothing when the ranges overlap or the difference is small."""
        if self.ratio is None or abs(self.ratio - 1) <= TOLERANCE:
            return ""
        if min(self.now) <= max(self.base) and min(self.base) <= max(self.now):
            return ""
        return "faster" if (self.ratio > 1) == (self.better == "more") else "slower"

    def facts(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "base": self.base,
            "now": self.now,
            "ratio": self.ratio,
            "verdict": self.verdict,
        }


def compare(base: Sequence[Sequence[Mapping[str, Any]]], now: Sequence[Sequence[Mapping[str, Any]]]) -> list[Compared]:
    """The figures that both have, from the rows of each round."""
    found = []
    for row in now[0]:
        key = row["part"], row["what"]
        both = [tuple(_values(rounds, key)) for rounds in (base, now)]
        if all(both):
            found.append(
                Compared(
                    part=row["part"],
                    what=row["what"],
                    unit=row["unit"],
                    better=row["better"],
                    base=both[0],
                    now=both[1],
                )
            )
    return found


def _values(rounds: Sequence[Sequence[Mapping[str, Any]]], key: tuple[str, str]) -> list[float]:
    return [row["value"] for rows in rounds for row in rows if (row["part"], row["what"]) == key]


def main() -> int:
    """0 when nothing is slower."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.compare", description=__doc__)
    options.add_argument("--base", default="39ee312", metavar="REV", help="the earlier revision (39ee312)")
    options.add_argument("--only", nargs="+", choices=sorted(PARTS), metavar="NAME", help="these parts")
    options.add_argument("--rounds", type=int, default=3, help="how often each part runs in each tree (3)")
    options.add_argument("--quick", action="store_true", help="a tenth of everything: whether it works, not how fast")
    options.add_argument("--checkout", type=Path, metavar="FOLDER", help="check out here and keep it")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    asked = options.parse_args()
    at, began = machine(), time.monotonic()
    found: list[Compared] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamflow-compare-")))
        where = asked.checkout or folder / "base"
        trees = (stack.enter_context(checkout(asked.base, where, keep=asked.checkout is not None)), current())
        for part in asked.only or [name for name in PARTS if name not in LEFT_OUT]:
            rounds: dict[str, list[list[dict[str, Any]]]] = {tree.label: [] for tree in trees}
            for number_ in range(asked.rounds):
                print(f"[{time.monotonic() - began:6.1f} s] {part}, round {number_ + 1}", file=sys.stderr, flush=True)
                for label, rows in _round(trees, part, folder, quick=asked.quick).items():
                    rounds[label].append(rows)
            found += compare(rounds["base"], rounds["now"])
    _show(found, asked.base, Console(width=None if sys.stdout.isatty() else 140))
    print(f"{at.cores} cores ({at.processor}), Python {at.python}, load average {at.load:.2f} at the start")
    if asked.json:
        asked.json.write_text(json.dumps([each.facts() for each in found], indent=2) + "\n")
    return 1 if any(each.verdict == "slower" for each in found) else 0


def _round(trees: Sequence[Tree], part: str, folder: Path, *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """The rows of one part in each tree."""
    files = {tree.label: folder / f"{tree.label}.json" for tree in trees}
    if part in TOGETHER:
        core = {min(os.sched_getaffinity(0))}
        running = [_start(tree, part, files[tree.label], quick=quick, core=core) for tree in trees]
        for process in running:
            _finish(process)
    else:
        for tree in trees:
            _finish(_start(tree, part, files[tree.label], quick=quick))
    return {label: json.loads(file.read_text())["rows"] for label, file in files.items()}


def _start(tree: Tree, part: str, file: Path, *, quick: bool, core: set[int] | None = None) -> subprocess.Popen[bytes]:
    command = [str(tree.root / ".venv/bin/python"), "-m", "tests.bench", "--only", part, "--json", str(file)]
    process = subprocess.Popen(
        command + ["--quick"] * quick, cwd=tree.root, env=tree.environment(), stdout=subprocess.DEVNULL
    )
    if core is not None:
        os.sched_setaffinity(process.pid, core)
    return process


def _finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise SystemExit(f"{process.args!r} ended with {process.returncode}.")


def _show(found: Sequence[Compared], base: str, console: Console) -> None:
    table = Table("what", base, "now", "unit", "ratio", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    part = ""
    for each in found:
        if each.part != part:
            part = each.part
            table.add_section()
            table.add_row(f"[bold]{part}[/]")
        colour = {"slower": "red", "faster": "green"}.get(each.verdict, "white")
        table.add_row(
            f"  {each.what}",
            number(median(each.base)),
            number(median(each.now)),
            each.unit,
            number(each.ratio),
            f"[{colour}]{each.verdict}[/]",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
