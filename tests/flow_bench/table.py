"""The table of Flow-Bench's requests: for each, how the workflow that was meant is expressed, or what is lacking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamflow.definition.check import check
from streamflow.definition.graph import kind_of
from streamflow.definition.mermaid import mermaid
from tests.flow_bench.translation import Lacking, express
from tests.shared_data import DATA

FOLDER = DATA / "flow-bench"
TABLE = Path(__file__).parent / "table.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one request."""

    uid: int
    edit: bool  # it changes a workflow that is there
    definitions: int  # the process, and the children that it starts
    steps: int
    kinds: tuple[str, ...]  # of steps, `each` among them
    problem: str  # the construct that is lacking, or an error of the check; empty when it is expressed


def cases() -> list[dict[str, Any]]:
    """The requests, in the order of their uids."""
    lines = (FOLDER / "cases.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda case: int(case["uid"]))


def rows() -> Iterator[Row]:
    """One row for each request: its workflow is expressed, checked and drawn."""
    known = frozenset(one["id"] for one in json.loads((FOLDER / "catalog.json").read_text()))
    for case in cases():
        yield row(int(case["uid"]), case["expected"][0], known, edit=bool(case["prior"]))


def row(uid: int, source: str, known: frozenset[str], *, edit: bool) -> Row:
    """The row of the workflow `source`."""
    kinds: set[str] = set()
    steps, problem, count = 0, "", 0
    try:
        found = express(f"flow-{uid}", source, known)
    except Lacking as lacking:
        return Row(uid=uid, edit=edit, definitions=0, steps=0, kinds=(), problem=str(lacking))
    for definition, catalog in found.definitions:
        count += 1
        steps += len(definition.steps)
        kinds |= {kind_of(step) for step in definition.steps}
        kinds |= {"each" for step in definition.steps if step.each is not None}
        errors = [str(one) for one in check(definition, catalog) if one.severity == "error"]
        problem = problem or "; ".join(errors[:1])
        drawn = mermaid(definition, catalog)
        problem = problem or ("" if all(f"step={step.id}\n" in drawn for step in definition.steps) else "not drawn")
    return Row(uid=uid, edit=edit, definitions=count, steps=steps, kinds=tuple(sorted(kinds)), problem=problem)


def text(found: list[Row]) -> str:
    """The table as Markdown."""
    expressed = sum(not one.problem for one in found)
    approximated = sum("approval" in one.kinds for one in found)
    lines = [
        "# Flow-Bench",
        "",
        "Written by `python -m tests.flow_bench`: the workflows that the requests of Flow-Bench mean, as definitions",
        f"that pass the check and are drawn. {expressed} of {len(found)} are expressed, {approximated} of them with an",
        "`approval` in the place of a user task: the language has no work of a person that only ends.",
        "",
        "| uid | request | definitions | steps | kinds of steps | lacking |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.uid} | {'edit' if one.edit else 'new'} | {one.definitions} | {one.steps} | {', '.join(one.kinds)} | "
        f"{one.problem} |"
        for one in found
    ]
    return "\n".join(lines) + "\n"
