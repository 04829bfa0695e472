"""The reference of expressions is held to the code: every example is executed, every function has one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamflow.definition.evaluator.functions import FUNCTIONS
from streamflow.definition.expression import compile_expression
from streamflow.definition.expression_environment import untyped
from streamflow.definition.expression_tree import Tree
from streamflow.definition.plan import ExpressionError

TEXT = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")
EVENT: dict[str, Any] = json.loads(re.findall(r"^```json\n(.*?)^```", TEXT, re.S | re.M)[0])
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


def test_every_function_has_an_example() -> None:
    used = {
        node.call_expr.function
        for source, _ in LINES
        for node in Tree(untyped().compile(source).serialize()).nodes()
        if node.WhichOneof("kind") == "call_expr"
    }
    assert set(FUNCTIONS) - used == set()
