"""Workflows of Flow-Bench's form are expressed, checked and drawn; the table says so of each request."""

from __future__ import annotations

import pytest

from tests.flow_bench.table import FOLDER, TABLE, row, rows, text

KNOWN = frozenset({"A_Thing__1_0_0__create_Thing", "A_Thing__1_0_0__list_Thing"})
MAKE, LIST = "A_Thing__1_0_0__create_Thing()", "A_Thing__1_0_0__list_Thing()"


@pytest.mark.parametrize(
    ("source", "kinds", "definitions"),
    [
        (f"a = {MAKE}\nb = {MAKE}", ("call",), 1),
        (f"a = {MAKE}\nif a.name == None:\n  b = {MAKE}\nelif a.size > 3:\n  b = {LIST}", ("call", "choose"), 1),
        (f"a = {LIST}\nfor b in a:\n  c = {MAKE}", ("call", "each"), 1),
        (f"a = {LIST}\nfor b in a:\n  if b.x != 'y':\n    c = {MAKE}", ("call", "choose", "each", "run"), 2),
        (
            f"a = {LIST}\nfor b in a:\n  c = {LIST}\n  for d in c:\n    e = user_task('look')",
            ("approval", "call", "each", "run"),
            3,
        ),
        ("a = user_task('may it?')\nif a == None:\n  b = " + MAKE, ("approval", "call", "choose"), 1),
    ],
)
def test_a_workflow_is_expressed(source: str, kinds: tuple[str, ...], definitions: int) -> None:
    found = row(1, source, KNOWN, edit=False)

    assert (found.problem, found.kinds, found.definitions) == ("", kinds, definitions)


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        (f"while a.open:\n  b = {MAKE}", "while"),
        ("a = Unknown__1_0_0__do_it()", "Unknown__1_0_0__do_it"),
        (f"if nothing.x == 1:\n  a = {MAKE}", "nothing"),
        (f"a = {MAKE[:-1]}1)", "arguments"),
    ],
)
def test_what_the_language_lacks_is_named(source: str, lacking: str) -> None:
    assert lacking in row(1, source, KNOWN, edit=False).problem


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")
def test_the_table_is_as_the_requests_are() -> None:
    found = list(rows())

    assert TABLE.read_text() == text(found)
    assert len(found) == 51
