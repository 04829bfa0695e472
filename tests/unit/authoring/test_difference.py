"""What changed between two drafts is told as it was meant: a rename is no removal, a new way is a move."""

from __future__ import annotations

import merman
import pytest

from streamflow.authoring.difference import diagrams, difference
from streamflow.authoring.draft import Draft
from tests.unit.authoring.examples import ASK, CATALOG, DRAFT, TEXT, revised

ENGINE = merman.Merman()


def told(text: str) -> list[tuple[str, str, str]]:
    """The changes from the shared draft to `text`: kind, address, sentence."""
    found = difference(DRAFT, Draft.parse(text), CATALOG)
    return [(change.kind, change.address, change.sentence) for change in found.changes]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("# both ways lead here", "# elsewhere", []),
        (
            "within: 24h",
            "within: 2d",
            [("limit_changed", "/steps/paid/wait/within", "`within` of `wait` of step `paid` changed from `24h`")],
        ),
        (
            "{operation: card.charge}",
            "{operation: card.charge, retry: {attempts: 2}}",
            [("limit_changed", "/steps/charge/call/retry", "`retry` of `call` of step `charge` was set to")],
        ),
        (
            "{operation: card.charge}",
            "{operation: card.refund}",
            [("step_changed", "/steps/charge/call/operation", "`operation` of `call` of step `charge` changed from")],
        ),
        (
            "{id: placed, event: order.placed}",
            "{id: placed, event: order.placed, where: event.amount > 5}",
            [("trigger_changed", "/on/placed/where", "`where` of trigger `placed` was set to `event.amount > 5`.")],
        ),
        (
            "  - {id: placed, event: order.placed}",
            "  - {id: placed, event: order.placed}\n  - {id: also, event: payment.captured}",
            [("trigger_added", "/on/also", "The trigger `also` was added.")],
        ),
        (
            "needs: [charge.failure]",
            "needs: [paid.timeout]",
            [
                (
                    "step_moved",
                    "/steps/note/needs",
                    "The step `note` now comes after `paid` ran out of time (it came after `charge` failed).",
                )
            ],
        ),
        (
            "where: event.amount >= trigger.amount}",
            "where: event.amount >= trigger.amount}\n        - {id: refused, event: order.released}",
            [("branch_added", "/steps/paid/wait/events/refused", "The event `refused` was added to `wait` of")],
        ),
        ('version: "1"', 'version: "2"', [("definition_changed", "/version", "`version` changed from `1` to `2`.")]),
        ('version: "1"', 'version: "1"\nwindow: 3d', [("limit_changed", "/window", "`window` was set to `3d`.")]),
    ],
)
def test_each_kind_of_change_is_told(old: str, new: str, expected: list[tuple[str, str, str]]) -> None:
    found = told(TEXT.replace(old, new, 1))

    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert all(one[2].startswith(other[2].rstrip(".")) for one, other in zip(found, expected, strict=True)), found


def test_a_step_that_only_has_another_name_was_renamed() -> None:
    found = told(
        TEXT.replace("charge]", "collect]").replace("id: charge", "id: collect").replace("charge.", "collect.")
    )

    assert [one[2] for one in found if one[0] != "step_changed"] == ["The step `charge` is now called `collect`."]


def test_a_branch_that_only_has_another_name_was_renamed() -> None:
    found = told(TEXT.replace("id: captured", "id: came").replace("paid.captured", "paid.came"))

    assert found == [
        ("branch_renamed", "/steps/paid/came", "The outcome `captured` of the step `paid` is now called `came`.")
    ]


def test_a_step_that_does_something_else_was_not_renamed() -> None:
    kinds = [one[0] for one in told(TEXT.replace("id: note", "id: other").replace("not paid", "unpaid"))]

    assert kinds == ["step_removed", "step_added"]


def test_steps_have_the_colour_of_what_happened_to_them() -> None:
    revision = revised(
        {"op": "insert_between", "step": ASK, "after": "paid.captured", "before": "release", "outcome": "approved"},
        {"op": "set_field", "step": "charge", "field": "call.within", "value": "1h"},
        {"op": "remove_step", "step": "note"},
    )
    before, after = diagrams(DRAFT, revision.draft, CATALOG, revision.difference)

    assert revision.difference.colours == {
        "ask": "added",
        "release": "moved",
        "charge": "changed",
        "note": "removed",
    }
    assert "classDef removed" in before
    assert all(f"classDef {colour}" in after for colour in ("added", "moved", "changed"))
    assert all(ENGINE.validate(drawn, None) for drawn in (before, after))


def test_an_added_step_is_told_with_what_it_does() -> None:
    after = revised({"op": "insert_between", "step": ASK, "after": "paid.captured", "before": "release"})

    assert after.difference.sentences[0] == (
        "The step `ask` was added, after `paid` ended with `captured`: ask sales: 'May it go?', at most 2d."
    )
    assert after.difference.facts()[0]["kind"] == "step_added"
