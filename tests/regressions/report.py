"""The table at the end, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from tests.regressions.case import Exclusion
from tests.regressions.play import Row

_WIDTH = 120


def table(rows: Sequence[Row], exclusions: Sequence[Exclusion]) -> str:
    """One line for each case, its evidence on both sides below, and what has no case."""
    head = ("finding", "case", "base", "now", "ok")
    lines = [head] + [
        (row.case.finding, row.case.name, row.base.state.value, row.now.state.value, "yes" if row.ok else "NO")
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    shown += ["", "Evidence"]
    for row in rows:
        shown.append(f"{row.case.name}: {row.case.says}")
        for label, verdict in (("base", row.base), ("now", row.now)):
            shown += _indented(f"{label}, {verdict.seconds:.0f} s, {verdict.state}: {verdict.evidence}")
    if exclusions:
        shown += ["", "Without a case"]
        for each in exclusions:
            shown += _indented(f"{each.finding}: {each.part}. {each.reason}", first="")
    wrong = [f"{row.case.name} {row.complaint}" for row in rows if not row.ok]
    shown += ["", *(wrong or [f"All {len(rows)} cases are broken on the earlier revision or left out, and hold now."])]
    return "\n".join(shown)


def exit_code(rows: Sequence[Row]) -> int:
    """0 when every case is ok."""
    return 0 if all(row.ok for row in rows) else 1


def facts(rows: Sequence[Row], exclusions: Sequence[Exclusion]) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "ok": all(row.ok for row in rows),
        "cases": [
            {
                "finding": row.case.finding,
                "case": row.case.name,
                "says": row.case.says,
                "ok": row.ok,
                "complaint": row.complaint,
                **{
                    label: {"state": verdict.state, "seconds": round(verdict.seconds, 1), "evidence": verdict.evidence}
                    for label, verdict in (("base", row.base), ("now", row.now))
                },
            }
            for row in rows
        ],
        "without_case": [{"finding": each.finding, "part": each.part, "reason": each.reason} for each in exclusions],
    }


def _indented(text: str, first: str = "  ") -> list[str]:
    flat = " ".join(text.split())
    return textwrap.wrap(flat, _WIDTH, initial_indent=first, subsequent_indent="    ") or [""]
