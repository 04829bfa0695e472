"""What a finished run costs, as the page for operators says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.sizes import measure

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_for_operators_says_what_a_run_costs() -> None:
    told = dict(re.findall(r"^\| `(runs|commands|state)` \| ([0-9,]+) \|", PAGE.read_text(), re.MULTILINE))
    measured = measure(10)
    assert told.keys() == {"runs", "commands", "state"}
    for topic, size in told.items():
        assert int(size.replace(",", "")) == pytest.approx(measured[topic], rel=0.2), topic
