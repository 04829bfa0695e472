"""The reference of expressions is held to the code: every example is executed, every function has one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.definitions_functions import markdown
from streamflow.definition.evaluator.functions import FUNCTIONS
from streamflow.definition.expression import compile_expression
from streamflow.definition.expression_environment import untyped
from streamflow.definition.expression_tree import Tree
from streamflow.definition.functions import BY_NAME
from streamflow.definition.plan import ExpressionError

PAGE = Path(__file__).parents[3] / "docs" / "functions.md"
TEXT = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")
EVENT: dict[str, Any] = json.loads(re.findall(r"^```json\n(.*?)^```", TEXT, re.S | re.M)[0])
MACROS = {  # what the compiler replaces, so that the evaluator never sees it
    *("all", "cel.bind", "exists", "existsOne", "exists_one", "filter", "has", "map", "optFlatMap", "optMap", "or"),
    *("orValue", "transformList", "transformMap", "transformMapEntry"),
}
LINES = [
    tuple(line.split(" => "))
    for block in re.findall(r"^```cel\n(.*?)^```", TEXT, re.S | re.M)
    for line in block.splitlines()
]


@pytest.mark.parametrize(("source", "expected"), LINES)
def test_every_example_gives_what_the_page_says(source: str, expected: str) -> None:
    try:
        value = json.dumps(compile_expression(source).evaluate({"event": EVENT}))
    except ExpressionError as error:
        value = f"error: {error.code}"
    assert value == (expected if expected.startswith("error") else json.dumps(json.loads(expected)))


def test_the_page_of_functions_is_what_the_registry_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run: make docs"


def test_the_table_has_every_function_of_the_evaluator() -> None:
    written = {"math.@max": "math.greatest", "math.@min": "math.least", "@sortByAssociatedKeys": "sortBy"}
    signs = re.compile(r"@in|_.*|-_")
    callable_ = {written.get(name, name) for name in FUNCTIONS if not signs.fullmatch(name)}

    assert callable_ - BY_NAME.keys() == set()
    assert BY_NAME.keys() - callable_ == MACROS


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_function_of_the_table_is_used_by_an_example(name: str) -> None:
    assert any(re.search(rf"(^|[^\w]){re.escape(name)}\(", source) for source, _ in LINES)


def test_every_function_has_an_example() -> None:
    used = {
        node.call_expr.function
        for source, _ in LINES
        for node in Tree(untyped().compile(source).serialize()).nodes()
        if node.WhichOneof("kind") == "call_expr"
    }
    assert set(FUNCTIONS) - used == set()
