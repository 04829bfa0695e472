"""The layers hold (import-linter), the pure core is pure, and no module outgrows one subject."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = sorted(path for folder in ("definition", "engine") for path in (ROOT / "streamflow" / folder).rglob("*.py"))
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


@pytest.mark.parametrize("path", PURE, ids=label)
def test_definition_and_engine_know_no_clock_no_chance_and_no_outside(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert {name for name in imports(tree) if name.split(".")[0] in IMPURE and name not in HARMLESS} == set()
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in CLOCKS] == []
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
