"""A definition as lines of text: what is done outside, and how it is undone."""

from __future__ import annotations

from streamflow.definition.outline import outline
from streamflow.definition.syntax import parse_definition
from tests.unit.definition.examples import CATALOG, OUTSIDE

DEFINITION = parse_definition(OUTSIDE)


def test_what_is_done_outside_is_told_with_its_attempts_and_limits() -> None:
    lines = outline(DEFINITION, CATALOG).splitlines()

    assert "  when it is asked for" in lines
    charge = lines.index("  charge: Take the money")
    assert lines[charge + 1 : charge + 6] == [
        "      call Charge a card (card.charge), up to 4 times, at most 1h",
        "      undone by call card.refund, up to 5 times",
        "      ├──► reserve",
        "      ├─ failure ─► unpaid",
        "      └─ timeout ─► late",
    ]
    assert "      for each of [{'sku': 'a', 'count': 1}], 3 at once: call stock.reserve, up to 5 times" in lines
    assert "      run parcel@1, at most 2d" in lines
    assert "      ask clerks, anna: 'well?', at most 2h" in lines
    assert any(line.startswith("      fail: has(errors.parcels)") for line in lines)


def test_the_undoing_of_a_run_is_marked() -> None:
    assert "      ! undone by call card.refund, up to 5 times" in outline(
        DEFINITION, CATALOG, {"charge": "done", "charge.undo": "parked"}
    )
