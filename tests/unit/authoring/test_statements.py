"""What was understood is said in English, step by step, and tied to the places that it is about."""

from __future__ import annotations

from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.statements import Statement, facts, statements
from streamflow.authoring.wording import limit_words
from tests.unit.authoring.examples import CATALOG, DRAFT, draft_of, plain


def about(address: str, draft: Draft = DRAFT, **options: Any) -> list[tuple[str, str]]:
    return [(one.origin, one.text) for one in statements(draft, CATALOG, **options) if one.addresses[0] == address]


def test_they_are_numbered_in_the_order_of_a_run() -> None:
    found = statements(DRAFT, CATALOG)

    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert [one.addresses[0] for one in found if one.origin == "said"] == [
        "/on/placed",
        "/steps/paid",
        "/steps/charge",
        "/steps/release",
        "/steps/note",
    ]


def test_a_step_is_said_with_when_what_and_where_to() -> None:
    assert about("/steps/paid")[0] == (
        "said",
        "At the beginning, `paid` (Wait for the payment): wait at most 24h for captured: Payment captured "
        "(payment.captured), `captured` only if `event.amount >= trigger.amount`. Next: `charge` (timeout), `release` "
        "(captured).",
    )
    assert about("/steps/release") == [
        (
            "said",
            "After `paid` ended with `captured` or after `charge`, `release`: emit order.released, with `id` = "
            "`trigger.id`.",
        )
    ]


def test_what_holds_because_nothing_is_said_is_assumed() -> None:
    assert about("/on/placed/key") == [
        ("assumed", "As the catalog has it, the field `id` of the event says whose run it is.")
    ]
    assert about("/steps/charge/call") == [
        ("assumed", "As the catalog has it, `charge` is attempted up to 5 times and has 1 minute for each attempt.")
    ]


def test_what_is_missing_is_said_last_unless_it_is_settled() -> None:
    missing = [one for one in statements(DRAFT, CATALOG) if one.origin == "missing"]
    settled = statements(DRAFT, CATALOG, settled=["duplicate:/runs", "no_time_limit:/steps/charge"])

    assert {one.addresses[0] for one in missing} == {"/runs", "/steps/charge", "/steps/paid"}
    assert [one.addresses[0] for one in settled if one.origin == "missing"] == ["/steps/paid"]


def test_what_somebody_filled_in_for_the_person_is_assumed() -> None:
    assert about("/steps/note", origins={"/steps/note": "assumed"})[0][0] == "assumed"
    assert about("/steps/paid/wait", origins={"/steps/paid/wait": "said"})[0][0] == "assumed"


def test_every_step_of_every_kind_is_said() -> None:
    draft = draft_of(
        {
            "id": "list",
            "each": {"items": "trigger.lines"},
            "call": {"operation": "card.charge"},
            "undo": {"operation": "card.refund"},
        },
        plain("sometimes", "list", **{"if": "trigger.amount > 1"}),
        {"id": "end", "needs": ["list.failure"], "fail": {"reason": "'no'"}},
    )
    said: list[Statement] = list(statements(draft, CATALOG))
    texts = "\n".join(one.text for one in said)

    assert "for each of `trigger.lines`, 10 at once: call Charge a card (card.charge), up to 5 times" in texts
    assert "It is undone by: call card.refund" in texts
    assert "After `list`, if `trigger.amount > 1` holds, `sometimes`: print 'x'." in texts
    assert facts(tuple(said))[0]["origin"] == "said"


def test_lengths_of_time_have_words() -> None:
    assert [limit_words(text) for text in ("30s", "1h30m", "1d")] == ["30 seconds", "1 hour 30 minutes", "1 day"]
