"""`python -m tests.guarantees FILE...`: writes what was tried, from files of results of `make faults OUT=FILE` or from
collected evidence, into docs/guarantees.md."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults import kinds
from tests.faults.nemesis import KINDS

__all__ = ["PAGE", "kinds", "rows", "written"]

PAGE = Path(__file__).parents[1] / "docs" / "guarantees.md"
MIXED = "mixed"
_BEGIN, _END = "<!-- tried: begin;", "<!-- tried: end -->"
_HEAD = (
    "fault",
    "what is done",
    "tried",
    "seeds",
    "kept",
    "duration s, median / longest",
    "standstill s, median / longest",
    "bound by",
)


def results(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The last result of each kind and seed; those that were no experiment (a broken bench) are left out."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for file in files:
        for line in file.read_text().splitlines():
            result = json.loads(line) if line.endswith("}") else {}
            if result.get("suite", "faults") == "faults" and result.get("verdict", "error") != "error":
                found[result["kind"], result["seed"]] = result
    return list(found.values())


def rows(tried: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table: a row a kind, mixed schedules last."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in tried:
        by_kind[result["kind"]].append(result)
    found: list[tuple[str, ...]] = []
    for name, some in sorted(by_kind.items(), key=lambda item: (item[0] == MIXED, item[0])):
        kept = [result for result in some if result["verdict"] == "kept"]
        bound = next((result["limits"] for result in some if result.get("limits")), "") if name != MIXED else ""
        found.append(
            (
                f"`{name}`",
                _what(name),
                str(len(some)),
                seeds([result["seed"] for result in some]),
                str(len(kept)),
                *(_median_and_longest(kept, what) for what in ("broken_s", "stall_s")),
                bound,
            )
        )
    return found


def _median_and_longest(some: Sequence[dict[str, Any]], what: str) -> str:
    values = sorted(result.get(what, 0.0) for result in some)
    return f"{values[len(values) // 2]:.1f} / {values[-1]:.1f}" if values else ""


def _what(name: str) -> str:
    if name == MIXED:
        return "three to six of them on one schedule"
    fault = KINDS[name]
    first, _, _ = " ".join((fault.__doc__ or fault.__mro__[1].__doc__ or "").split()).partition(". ")
    return first.rstrip(".").replace("|", "/")


def seeds(numbers: Sequence[int]) -> str:
    """Numbers as ranges: `1-20, 25`."""
    ordered = sorted(set(numbers))
    begins = [ordered[0], *(later for earlier, later in pairwise(ordered) if later != earlier + 1)]
    ends = [*(earlier for earlier, later in pairwise(ordered) if later != earlier + 1), ordered[-1]]
    return ", ".join(str(begin) if begin == end else f"{begin}-{end}" for begin, end in zip(begins, ends, strict=True))


def written(page: str, tried: Sequence[dict[str, Any]]) -> str:
    """The page with the table of these results in it."""
    lines = [f"| {' | '.join(row)} |" for row in (_HEAD, ("---",) * len(_HEAD), *rows(tried))]
    sums = [sum(result["facts"].get(name, 0) for result in tried) for name in ("inputs", "transitions", "copies")]
    total = "{:,} experiments: {:,} acknowledged inputs, {:,} transitions and {:,} copies of them were judged.".format(
        len(tried), *sums
    )
    before, rest = page.split(_BEGIN)
    mark, after = rest.split("-->\n", 1)
    return f"{before}{_BEGIN}{mark}-->\n" + "\n".join(lines) + f"\n\n{total}\n" + _END + after.split(_END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), results(map(Path, sys.argv[1:]))))
