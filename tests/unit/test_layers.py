"""The layers hold (import-linter), the pure core is pure, and no module outgrows one subject."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = sorted(
    path
    for folder in ("definition", "engine", "core", "authoring")
    for path in (ROOT / "streamflow" / folder).rglob("*.py")
)
# Told the time by a record or by their caller.
TIMELESS = PURE + sorted(
    path for folder in ("wire", "simulation", "importing") for path in (ROOT / "streamflow" / folder).rglob("*.py")
)
ALL = sorted(
    path for folder in ("streamflow", "streamflow_check", "agents", "tests") for path in (ROOT / folder).rglob("*.py")
)

# What would make a decision depend on more than (state, command, plan): law input-is-commands and law identical-replay.
IMPURE = {
    "asyncio",
    "locale",
    "logging",
    "multiprocessing",
    "os",
    "platform",
    "random",
    "secrets",
    "socket",
    "structlog",
    "subprocess",
}
IMPURE |= {"sys", "tempfile", "threading", "time", "urllib", "uuid"}
HARMLESS = {"urllib.parse"}  # splits and joins texts
CLOCKS = {"now", "utcnow", "today"}
LONGEST = 500


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def clocks(tree: ast.AST) -> list[str]:
    """Where a clock is read: what is imported from `time`, and the methods of `datetime` and `date` that ask one."""
    read = [name for name in imports(tree) if name.split(".")[0] == "time"]
    return read + [
        f"line {node.lineno}: {node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS
    ]


@pytest.mark.parametrize("path", TIMELESS, ids=label)
def test_what_decides_and_what_encodes_reads_no_clock(path: Path) -> None:
    assert clocks(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "import time as t",
        "from time import monotonic",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\nread = datetime.utcnow",
        "from datetime import date\ndate.today()",
    ],
)
def test_a_clock_that_is_read_is_found(text: str) -> None:
    assert clocks(ast.parse(text))


def test_a_time_that_is_given_is_no_clock() -> None:
    given = (
        "import datetime as dt\ndt.datetime(1970, 1, 1)\ndt.datetime.fromisoformat(text)\ndt.datetime.fromtimestamp(s)"
    )
    assert clocks(ast.parse(given)) == []


@pytest.mark.parametrize("path", PURE, ids=label)
def test_definition_engine_and_core_know_no_chance_and_no_outside(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert {name for name in imports(tree) if name.split(".")[0] in IMPURE and name not in HARMLESS} == set()
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)] == []


def test_there_is_a_pure_core_to_look_at() -> None:
    assert len(PURE) > 10


def test_no_module_outgrows_one_subject() -> None:
    assert {label(path): lines for path in ALL if (lines := len(path.read_text().splitlines())) > LONGEST} == {}


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_agents_is_ours() -> None:
    import agents

    assert Path(agents.__file__ or "").is_relative_to(ROOT)
