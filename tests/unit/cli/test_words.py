"""Every transition has words, tables stand in columns, lengths of time read well, and outlines show every way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamflow.cli import definition_files, output
from streamflow.cli.runs import timeline
from streamflow.cli.timeline import told
from streamflow.definition.outline import outline
from streamflow.definition.plan import ERRORS
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    AttemptSuspended,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
)
from streamflow.engine.commands import Event
from streamflow.engine.evolve import FACT_RULES
from streamflow.engine.transitions import FACTS, Transition

EXAMPLES = Path(__file__).parents[3] / "definitions"
EVENT = Event(name="payment.received", id="e", time_ms=0, data={"amount": 5})
FACT: dict[type, Any] = {
    t.RunStarted: t.RunStarted(trigger="placed", event=EVENT, sha="sha", revision="1"),
    t.WaitStarted: t.WaitStarted(("payment.received",), None),
    t.WaitSatisfied: t.WaitSatisfied(outcome="paid", event=EVENT),
    t.WaitTimedOut: t.WaitTimedOut(0),
    t.BranchChosen: t.BranchChosen("large"),
    t.ValuesSet: t.ValuesSet({"total": 5}),
    t.EventEmitted: t.EventEmitted(event="order.shipped", id="r/1", key="A-1", data={"order": "A-1"}),
    t.DelayStarted: t.DelayStarted(0),
    t.DelayElapsed: t.DelayElapsed(0),
    t.LinePrinted: t.LinePrinted("hello\nworld"),
    t.RequirementMet: t.RequirementMet(),
    ItemsListed: ItemsListed((1, 2), 5),
    CallRequested: CallRequested(
        operation="http.request", lane="default", input={"url": "https://example.org"}, due_ms=5
    ),
    ChildRequested: ChildRequested(child="00000002-b", definition="parcel", version="1", key="P-1", input={}, item=3),
    AttemptSuspended: AttemptSuspended(due_ms=5),
    AttemptSucceeded: AttemptSucceeded({"status": 200}, item=0),
    AttemptFailed: AttemptFailed(code="http_unreachable", message="expected an answer\nbut none came", retry_ms=5),
    ItemsEnded: ItemsEnded(3, 1, "failure"),
    t.ApprovalRequested: t.ApprovalRequested(text="Pay\nit back?", who=("alice", "managers"), form=None, due_ms=None),
    t.ApprovalGiven: t.ApprovalGiven("approved", "alice", {"limit": 5}),
    t.ApprovalExpired: t.ApprovalExpired(0),
    t.RunStopping: t.RunStopping("cancelled", "asked for", ("charge", "reserve")),
    t.StepsSkipped: t.StepsSkipped(("a", "b")),
    t.StepParked: t.StepParked("division_by_zero", "set/each"),
    t.StepRetried: t.StepRetried(),
    t.RunCompleted: t.RunCompleted(("ship", "payment.paid")),
    t.RunFailed: t.RunFailed("no stock"),
    t.RunCancelled: t.RunCancelled(""),
}


def fact(data: Any, seq: int = 1, step: str | None = None, at_ms: int = 0) -> Transition:
    return Transition(
        run="00000001-a",
        definition="order",
        version="1",
        key="A-1",
        seq=seq,
        at_ms=at_ms,
        cause="c",
        data=data,
        step=step,
    )


def test_every_kind_of_transition_has_words() -> None:
    assert set(FACT_RULES) == set(FACTS.values()) == set(FACT)


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_a_parked_step_says_what_its_code_means(code: str) -> None:
    said = told(fact(t.StepParked(code, "set/at")))
    assert said.startswith(f"PARKED at set/at: {code} ({ERRORS[code]}). Retry, ")


def test_a_parked_step_with_a_code_of_its_operation_says_the_code() -> None:
    assert told(fact(t.StepParked("http_rejected", "call"))).startswith("PARKED at call: http_rejected. Retry, ")


def test_a_parked_step_says_which_operand_it_was() -> None:
    said = told(fact(t.StepParked("no_overload", "set/at", "`+` was given `trigger.n` (a text) and `1`")))
    assert ": `+` was given `trigger.n` (a text) and `1`. Retry, skip, " in said


@pytest.mark.parametrize("data", FACT.values(), ids=lambda data: type(data).__name__)
def test_words_are_one_line(data: Any) -> None:
    assert told(fact(data))
    assert "\n" not in told(fact(data))


def test_an_attempt_after_the_first_says_which_it_is() -> None:
    again = Transition(
        run="00000001-a",
        definition="order",
        version="1",
        key="A-1",
        seq=4,
        at_ms=0,
        cause="c",
        data=FACT[CallRequested],
        step="charge",
        attempt=2,
    )

    assert told(again).startswith("attempt 2: calls http.request")


def test_a_run_with_calls_says_first_how_far_each_of_them_is() -> None:
    history = [
        fact(FACT[t.RunStarted]),
        Transition(
            run="00000001-a",
            definition="order",
            version="1",
            key="A-1",
            seq=2,
            at_ms=0,
            cause="c",
            data=FACT[CallRequested],
            step="charge",
            attempt=1,
        ),
        Transition(
            run="00000001-a",
            definition="order",
            version="1",
            key="A-1",
            seq=3,
            at_ms=0,
            cause="c",
            data=AttemptFailed(code="card_declined", message="no money", retry_ms=None, outcome="failure"),
            step="charge",
            attempt=1,
        ),
        fact(FACT[t.ApprovalRequested], 4, "review"),
    ]

    lines = timeline(history).splitlines()

    assert "charge  done, failure             1  http.request; last error card_declined: no money" in lines
    (review,) = [line for line in lines if line.startswith("review  awaiting approval")]
    assert "alice or managers may decide" in review


def test_long_data_is_cut() -> None:
    assert len(told(fact(t.ValuesSet({"text": "x" * 1000})))) < 200


def test_a_timeline_counts_time_from_the_start() -> None:
    lines = timeline(
        [
            fact(FACT[t.RunStarted]),
            fact(t.ValuesSet({}), 2, "totals", 1500),
            fact(t.RunCompleted(("totals",)), 3, None, 61_000),
        ]
    ).splitlines()

    assert lines[3] == "status      completed: totals"
    assert "took        1 min 1 s" in lines[4]
    assert lines[-3].startswith("   1  +0.00 s")
    assert lines[-2].split() == ["2", "+1.50", "s", "totals", "set", "{}"]


def test_a_timeline_says_that_its_beginning_is_gone() -> None:
    assert "(the first 4 transitions are no longer kept)" in timeline([fact(t.ValuesSet({}), 5, "totals")])


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0.00 s"),
        (9_994, "9.99 s"),
        (12_000, "12 s"),
        (200_000, "3 min 20 s"),
        (7_260_000, "2 h 1 min"),
        (180_000_000, "2 d 2 h"),
    ],
)
def test_lengths_of_time(ms: int, text: str) -> None:
    assert output.length(ms) == text


def test_a_table_stands_in_columns() -> None:
    assert (
        output.table(("name", "count>"), [("a", "1"), ("bcd", "200")], "nothing")
        == "NAME  COUNT\na         1\nbcd     200"
    )
    assert output.table(("name",), [], "nothing") == "nothing"


def test_an_outline_shows_every_step_and_every_way() -> None:
    definition, catalog = (
        definition_files.read_definition(EXAMPLES / "order-fulfilment"),
        definition_files.read_catalog(EXAMPLES / "order-fulfilment"),
    )

    text = outline(definition, catalog)

    assert all(f"  {step.id}: {step.title}" in text for step in definition.steps)
    assert "├─ timeout ─► remind" in text
    assert "└─ paid ─► size (whichever comes first)" in text


def test_an_outline_of_a_run_marks_its_steps() -> None:
    definition, catalog = (
        definition_files.read_definition(EXAMPLES / "loan-application"),
        definition_files.read_catalog(EXAMPLES / "loan-application"),
    )

    text = outline(definition, catalog, {"preaccepted": "done", "accepted": "waiting"})

    assert "✓ preaccepted" in text
    assert "… accepted" in text
    assert "    approved" in text
