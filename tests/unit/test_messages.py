"""Messages say what to do in a sentence of its own (`errors.with_remedy`), not behind a semicolon."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_REMEDY = re.compile(
    r"; (add|ask|cancel|check|choose|correct|delete|give|install|keep|look|make|name|open|provide|publish|put|read|"
    r"remove|replace|report|restore|retry|run|see|send|set|shorten|skip|start|stop|try|use|wait|write)\b(?!-)"
)
_PERHAPS = re.compile(_REMEDY.pattern.replace("; ", r";[\s\"'f]*", 1))  # as it may stand in a file, in several literals


def remedies(source: str) -> Iterator[str]:
    """The texts in `source` that name a remedy behind a semicolon; docstrings are none."""
    if not _PERHAPS.search(source):
        return  # most files: parsing them takes long
    tree = ast.parse(source)
    passed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            passed |= {part.value for part in node.body if isinstance(part, ast.Expr)}
        elif isinstance(node, ast.JoinedStr):
            passed |= set(node.values)
    for node in ast.walk(tree):
        if node in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if _REMEDY.search(text):
            yield text


@pytest.mark.parametrize("package", ["agents", "streamflow", "streamflow_check"])
def test_no_message_names_its_remedy_behind_a_semicolon(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in (ROOT / package).rglob("*.py")
        for text in remedies(path.read_text())
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        'raise Rejected("c", "it ends at 7; restore the topic")',
        'raise Rejected("c", f"it ends at {end}; restore the topic")',
        'raise Rejected("c", "the store may be all that is left; " "restore the topic")',
        'def f():\n    """Text; see there."""\n    return f"{a} is missing; give it"',
    ],
)
def test_one_that_does_is_found(source: str) -> None:
    assert len(list(remedies(source))) == 1
