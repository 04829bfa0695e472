"""The page on bad input has every code that there is, and no other."""

from __future__ import annotations

from streamflow.definition.codes import CHECKED, SHAPE
from tests.codes.source import codes
from tests.codes.table import PAGE, Note, table, with_table, written


def test_the_page_has_every_code_and_no_other() -> None:
    on_page = written(PAGE.read_text(encoding="utf-8"))

    assert on_page == codes().keys() | SHAPE.keys() | CHECKED.keys(), "run: make codes"


def test_codes_are_found_where_they_are_raised() -> None:
    found = codes()

    assert "cli" in found["file_unreadable"]
    assert "wire" in found["not_json"]
    assert {"kafka", "ops"} <= found["broker_unreachable"]
    assert "operations" in found["url_refused"]
    assert len(found) > 150


def test_an_example_is_the_shortest_sentence_of_a_test() -> None:
    notes = [
        Note("not_json", "no", "tests/unit/a.py::one"),
        Note("not_json", "expected JSON in UTF-8 but found other bytes", "tests/integration/a.py::one"),
        Note(
            "not_json",
            "expected JSON in UTF-8 but found other bytes in /tmp/pytest-7/x/file.json",
            "tests/unit/a.py::one",
        ),
    ]
    page = with_table(
        "before\n<!-- codes: written by `make codes` -->\nold\n<!-- end of codes -->\nafter\n", table(notes)
    )

    assert "| `not_json` | expected JSON in UTF-8 but found other bytes in .../file.json |" in page
    assert "\nold\n" not in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert written(page) >= {"not_json", "SF100"}
