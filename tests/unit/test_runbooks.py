"""The runbooks, against the source: a partition that stops says why by a code, and its runbook has each."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from streamflow.runtime import engine

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/runbooks/partition-stopped.md"
OF_THE_PROCESS = {"faust_crashed"}  # ends the worker


def faults() -> Iterator[str]:
    """Codes of EngineFault of what runs in a worker."""
    for folder in ("core", "runtime"):
        for file in (ROOT / "streamflow" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "EngineFault":
                    assert isinstance(node.args[0], ast.Constant), file
                    yield str(node.args[0].value)


def final() -> set[str]:
    """Codes of OperationError that opening again cannot help."""
    return set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', inspect.getsource(engine._is_final)))


def test_the_runbook_has_each_reason_for_which_a_partition_stops() -> None:
    codes = set(faults()) - OF_THE_PROCESS | final()
    assert {"commands_recreated", "changelog_recreated", "changelog_truncated", "input_gap"} <= codes
    rows = {code for line in RUNBOOK.read_text().splitlines() for code in re.findall(r"`(\w+)`", first_cell(line))}
    assert rows == codes


def first_cell(line: str) -> str:
    """Of a row of a table."""
    return line.split("|")[1] if line.startswith("|") else ""
