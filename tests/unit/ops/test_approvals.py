"""Which approvals are open, and who may decide what."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.ops.approvals import Approvals, decide, open_approval

FORM = {"type": "object", "required": ["limit"], "properties": {"limit": {"type": "integer"}}}
ASKED = t.ApprovalRequested(text="More?", who=("alice", "managers"), form=FORM, due_ms=9000)


def fact(seq: int, data: Any, step: str | None = "ask", run: str = "00000001-a") -> Transition:
    return Transition(
        run=run, definition="order", version="1", key="A-1", seq=seq, at_ms=1000 + seq, cause="c", data=data, step=step
    )


def taken(*facts: Transition) -> list[tuple[str, str]]:
    approvals = Approvals()
    for one in facts:
        approvals.take(one)
    return [(one.run, one.step) for one in approvals.open()]


@pytest.mark.parametrize(
    ("end", "step"),
    [
        (t.ApprovalGiven("approved", "alice", None), "ask"),
        (t.ApprovalExpired(9000), "ask"),
        (t.StepsSkipped(("ask", "more")), None),
        (t.RunStopping("cancelled", "", ("charge",)), None),
        (t.RunCompleted(()), None),
        (t.RunFailed(""), None),
        (t.RunCancelled(""), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_approval_is_open_until_something_ends_it(end: Any, step: str | None) -> None:
    assert taken(fact(2, ASKED)) == [("00000001-a", "ask")]
    assert taken(fact(2, ASKED), fact(3, end, step)) == []
    assert taken(fact(2, ASKED), fact(3, end, step), fact(2, ASKED)) == [], "a copy opens nothing again"


def test_what_ends_another_step_or_run_ends_nothing_here() -> None:
    assert taken(
        fact(2, ASKED),
        fact(3, t.ApprovalGiven("approved", "a", None), "other"),
        fact(3, t.RunFailed(""), None, "00000001-b"),
    ) == [("00000001-a", "ask")]


def test_the_oldest_comes_first() -> None:
    opened = taken(fact(9, ASKED, run="00000001-b"), fact(2, ASKED), fact(5, ASKED, run="00000001-c"))

    assert [run for run, _ in opened] == ["00000001-a", "00000001-c", "00000001-b"]


def test_an_open_approval_is_found_and_one_that_is_over_says_so() -> None:
    asked = [fact(2, ASKED)]
    assert open_approval(asked, "00000001-a", "ask").who == ("alice", "managers")
    for history, step, code in (
        (asked, "other", "approval_unknown"),
        ([*asked, fact(3, t.ApprovalGiven("rejected", "bob", None))], "ask", "approval_closed"),
        ([*asked, fact(3, t.ApprovalExpired(9000))], "ask", "approval_closed"),
    ):
        with pytest.raises(Rejected) as caught:
            open_approval(history, "00000001-a", step)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"by": "bob"}, "not_allowed"),
        ({"by": "bob", "groups": ("clerks",)}, "not_allowed"),
        ({"by": ""}, "by_missing"),
        ({"decision": "maybe"}, "decision_unknown"),
        ({"data": None}, "schema_mismatch"),
        ({"data": {"limit": "5"}}, "schema_mismatch"),
        ({"decision": "rejected", "data": None}, "schema_mismatch"),
    ],
    ids=str,
)
def test_only_who_may_decides_and_only_with_what_the_form_asks_for(change: dict[str, Any], code: str) -> None:
    approval = open_approval([fact(2, ASKED)], "00000001-a", "ask")
    given: dict[str, Any] = {"decision": "approved", "by": "alice", "data": {"limit": 5}}
    for allowed in (given, given | {"by": "bob", "groups": ("managers",)}, given | {"decision": "rejected"}):
        assert decide(approval, **allowed).run == "00000001-a"
    with pytest.raises(Rejected) as caught:
        decide(approval, **(given | change))
    assert caught.value.code == code


NEAR = {
    "a part": "alic",
    "longer": "alices",
    "another case": "Alice",
    "a space before": " alice",
    "a space after": "alice ",
    "another with a comma": "alice,bob",
    "a letter that looks the same": "\u0430lice",  # Cyrillic a
    "full width": "\uff41lice",
    "an invisible letter": "ali\u200bce",
    "nothing": "\u200b",
}


@pytest.mark.parametrize("name", NEAR.values(), ids=list(NEAR))
def test_a_name_that_is_nearly_an_allowed_one_gives_no_right(name: str) -> None:
    approval = open_approval([fact(2, ASKED)], "00000001-a", "ask")
    for given in ({"by": name}, {"by": "bob", "groups": (name, name.replace("alice", "managers"))}):
        with pytest.raises(Rejected) as caught:
            decide(approval, "approved", data={"limit": 5}, **given)
        assert caught.value.code == "not_allowed"
    for group in ("manager", "managers2", "Managers", "managers ", "all managers"):
        with pytest.raises(Rejected):
            decide(approval, "approved", by="bob", groups=(group,), data={"limit": 5})


def test_a_name_in_another_unicode_form_is_another_name() -> None:
    asked = t.ApprovalRequested(text="May it go?", who=("jos\u00e9",), form=None, due_ms=None)
    approval = open_approval([fact(2, asked)], "00000001-a", "ask")
    assert decide(approval, "approved", by="jos\u00e9").by == "jos\u00e9"
    with pytest.raises(Rejected):
        decide(approval, "approved", by="jose\u0301")
