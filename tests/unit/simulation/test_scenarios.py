"""A scenario tells every difference between what is expected and what came, and never passes for the wrong reason."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.errors import DefinitionError
from streamflow.simulation.scenarios import Scenario, parse_scenarios
from streamflow.simulation.stage import Played, play, untaken
from tests.builders import a_definition

CATALOG = Catalog.model_validate(
    {
        "events": [
            {"name": "placed", "topics": ["orders"], "key": {"path": "id"}},
            {"name": "told", "topics": ["told"]},
        ],
        "operations": [
            {
                "name": "rate",
                "input": {"type": "object", "properties": {"amount": {"type": "integer"}}},
                "output": {"type": "object", "required": ["risk"], "properties": {"risk": {"type": "integer"}}},
                "errors": [{"id": "down"}, {"id": "refused", "retryable": False}],
                "retry": {"attempts": 3, "backoff": "1s"},
            }
        ],
    }
)
ORDER = a_definition(
    {"id": "rate", "call": {"operation": "rate", "with": [{"name": "amount", "expr": "trigger.amount"}]}},
    {"id": "look", "needs": ["rate"], "choose": [{"id": "high", "if": "steps.rate.risk > 5"}, {"id": "low"}]},
    {
        "id": "ask",
        "needs": ["look.high"],
        "approval": {"text": "'ok?'", "who": ["anna"], "within": "1h", "form": {"type": "object"}},
    },
    {"id": "late", "needs": ["ask.timeout"], "print": {"text": "'late'"}},
    {
        "id": "tell",
        "needs": ["look.low", "ask.approved"],
        "join": "any",
        "emit": {"event": "told", "data": [{"name": "risk", "expr": "steps.rate.risk"}]},
    },
    output="rate",
)
SEND = {"send": {"event": "placed", "data": {"id": "o1", "amount": 5}}}
LOW = {"rate": [{"output": {"risk": 1}}]}
HIGH = {"rate": [{"output": {"risk": 9}}]}


def played(
    do: list[dict[str, Any]], expect: Any, operations: dict[str, Any] | None = None, definition: Definition = ORDER
) -> Played:
    scenario = Scenario.model_validate(
        {"name": "s", "do": do, "expect": expect, "operations": LOW if operations is None else operations}
    )
    return play(scenario, definition, CATALOG)


def test_what_goes_as_expected_has_no_difference() -> None:
    found = played(
        [SEND],
        {
            "path": ["rate", "look.low", "tell"],
            "output": {"risk": 1},
            "events": [{"event": "told", "key": "o1", "data": {"risk": 1}}],
            "calls": [{"step": "rate", "operation": "rate", "input": {"amount": 5}}],
        },
    )
    assert found.differences == ()
    assert found.paths == (("rate", "look.low", "tell"),)


def test_the_content_of_a_published_version_is_played_without_its_topics() -> None:
    scenario = Scenario.model_validate({"name": "s", "do": [SEND], "expect": {}, "operations": LOW})
    content = CATALOG.bound({})
    assert not any(spec.topics for spec in content.events)
    assert play(scenario, ORDER, content).paths == play(scenario, ORDER, CATALOG).paths
    other = a_definition({"id": "noted", "set": [{"name": "at", "expr": "1"}]}, name="other")
    assert play(scenario, other, CATALOG, children=[(ORDER, content)]).histories


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"status": "failed"}, "status"),
        ({"path": ["rate", "look.high", "tell"]}, "path"),
        ({"path": ["rate", "look.low"]}, "path"),
        ({"output": {"topic": "other"}}, "output"),
        ({"output": None}, "output"),
        ({"events": []}, "events"),
        ({"events": [{"event": "told", "data": {"risk": 2}}]}, "events"),
        ({"events": [{"event": "told", "key": "o2"}]}, "events"),
        ({"events": [{"event": "told", "data": {"risk": True}}]}, "events"),
        ({"calls": []}, "calls"),
        ({"calls": [{"step": "rate", "input": {"amount": 6}}]}, "calls"),
        ({"calls": [{"step": "rate", "input": {"other": None}}]}, "calls"),
        ({"calls": [{"step": "rate"}, {"step": "rate"}]}, "calls"),
        ({"parked": {"rate": "down"}}, "parked"),
    ],
)
def test_one_difference_is_told_by_what_it_is_about(expect: dict[str, Any], what: str) -> None:
    (only,) = played([SEND], expect).differences
    assert only.startswith(f"{what}: expected ")


def test_attempts_take_one_answer_after_the_other_and_the_last_for_all_that_follow() -> None:
    answers = {
        "rate": [{"error": {"code": "down"}}, {"error": {"code": "down", "after": "1m"}}, {"output": {"risk": 1}}]
    }
    calls = [{"step": "rate"}] * 3
    assert played([SEND, {"wait": "59s"}], {"status": "open", "calls": calls[:2]}, answers).ok
    assert played([SEND, {"wait": "70s"}], {"path": ["rate", "look.low", "tell"], "calls": calls}, answers).ok
    assert played(
        [SEND, {"wait": "1d"}],
        {"status": "parked", "parked": {"rate": "down"}, "calls": calls},
        {"rate": [{"error": {"code": "down"}}]},
    ).ok


def test_an_error_is_retryable_as_its_operation_declares_it_unless_the_answer_says_so() -> None:
    assert played(
        [SEND, {"wait": "1d"}],
        {"status": "parked", "calls": [{"step": "rate"}]},
        {"rate": [{"error": {"code": "refused"}}]},
    ).ok
    assert played(
        [SEND, {"wait": "1d"}],
        {"status": "parked", "calls": [{"step": "rate"}]},
        {"rate": [{"error": {"code": "down", "retryable": False}}]},
    ).ok


def test_answers_are_told_apart_by_their_input() -> None:
    answers = {"rate": [{"when": {"amount": 5}, "output": {"risk": 9}}, {"when": {"amount": 6}, "output": {"risk": 1}}]}
    send = {"send": {"event": "placed", "data": {"id": "o2", "amount": 6}}}
    expect = [
        {"key": "o1", "status": "open", "path": ["rate", "look.high"]},
        {"key": "o2", "path": ["rate", "look.low", "tell"]},
    ]
    assert played([SEND, send], expect, answers).ok


def test_what_people_decide_and_what_they_leave() -> None:
    approve = {"decide": {"step": "ask", "decision": "approved", "by": "anna", "data": {}}}
    assert played([SEND, approve], {"path": ["rate", "look.high", "ask.approved", "tell"]}, HIGH).ok
    assert played([SEND, {"wait": "1h"}], {"path": ["rate", "look.high", "ask.timeout", "late"]}, HIGH).ok
    assert played([SEND, {"operate": {"run": "cancel"}}], {"status": "cancelled"}, HIGH).ok


def test_a_parked_step_is_retried_or_skipped() -> None:
    answers = {"rate": [{"error": {"code": "refused"}}, {"output": {"risk": 1}}]}
    assert played(
        [SEND, {"operate": {"run": "retry", "step": "rate"}}], {"path": ["rate", "look.low", "tell"]}, answers
    ).ok
    assert played([SEND, {"operate": {"run": "skip", "step": "rate"}}], {"path": []}, answers).ok


@pytest.mark.parametrize(
    ("do", "operations", "said"),
    [
        ([SEND], {}, "says no answer to it"),
        ([SEND], {"rate": [{"when": {"amount": 9}, "output": {"risk": 1}}]}, "says no answer to it"),
        ([SEND], {"rate": [{"output": {"risk": "high"}}]}, "an answer of rate does not fit its schema: /risk"),
        ([SEND], {**LOW, "other": [{"output": 1}]}, "answers for other, which order does not call"),
        ([{"send": {"event": "unknown"}}], LOW, "no event unknown"),
        ([{"send": {"event": "placed", "data": {"amount": 5}}}], LOW, "has no key"),
        ([SEND, {"decide": {"step": "ask", "decision": "approved", "by": "anna"}}], LOW, "no approval of ask was open"),
        (
            [SEND, {"decide": {"step": "ask", "decision": "approved", "by": "anna", "data": 5}}],
            HIGH,
            "what anna filled in at ask does not fit",
        ),
        ([SEND, {"operate": {"run": "retry"}}], LOW, "name it with `step`"),
        ([{"wait": "1d"}, {"operate": {"run": "cancel"}}], LOW, "expected one run of order but there are 0"),
        ([SEND, {"operate": {"run": "skip", "step": "rate"}}], LOW, "a dead letter: run_unknown"),
    ],
)
def test_a_scenario_that_cannot_be_meant_so_is_told(
    do: list[dict[str, Any]], operations: dict[str, Any], said: str
) -> None:
    assert any(said in difference for difference in played(do, {}, operations).problems)


def test_runs_of_which_nothing_is_said_and_runs_that_are_not_there() -> None:
    other = {"send": {"event": "placed", "data": {"id": "o2", "amount": 5}}}
    assert played([SEND, other], [{"key": "o2"}]).differences == (
        "there is another run, of o1, of which the scenario says nothing",
    )
    assert played([SEND], [{"key": "o1"}, {"key": "o2"}]).differences == ("expected a run of o2 but there is none",)


@pytest.mark.parametrize(
    ("do", "pointer"),
    [
        ([{"send": {"event": "unknown"}}], "/do/0"),
        ([SEND, {"decide": {"step": "ask", "decision": "approved", "by": "anna"}}], "/do/1"),
        ([SEND, SEND, {"operate": {"run": "retry"}}, {"send": {"event": "unknown"}}], "/do/2"),
    ],
)
def test_a_fault_of_a_scenario_has_its_place(do: list[dict[str, Any]], pointer: str) -> None:
    found = played(do, {}, LOW)
    assert [place for place, _ in found.faults] == [pointer]
    assert not found.ok


def test_an_answer_that_nothing_asks_for_has_its_place() -> None:
    assert [place for place, _ in played([SEND], {}, {**LOW, "other": [{"output": 1}]}).faults] == ["/operations/other"]


def test_several_runs_of_one_key_are_told_apart_by_their_order() -> None:
    other = {"send": {"event": "placed", "data": {"id": "o1", "amount": 6}}}
    decide = {"step": "ask", "decision": "rejected", "by": "anna", "data": {}, "key": "o1"}
    expect = [
        {"key": "o1", "status": "open", "path": ["rate", "look.high"]},
        {"key": "o1", "path": ["rate", "look.high", "ask.rejected"]},
    ]
    assert played([SEND, other, {"decide": {**decide, "nth": 2}}], expect, HIGH).problems == ()
    (said, *_) = played([SEND, other, {"decide": decide}], expect, HIGH).problems
    assert said == (
        "expected one run of order for o1 but there are 2; name one by `key`, and by `nth` if they have the same"
    )
    (said, *_) = played([SEND, other, {"decide": {**decide, "nth": 3}}], expect, HIGH).problems
    assert said == "there is no run number 3 of order for o1; there are 2"


CLOCKED = a_definition(
    {"id": "when", "set": [{"name": "now", "expr": "string(now)"}, {"name": "sent", "expr": "string(trigger.at)"}]},
    on=[{"id": "placed", "event": "placed"}],
    output="when",
)


@pytest.mark.parametrize(
    ("clock", "now"),
    [
        (None, "2026-01-01T00:00:00Z"),
        ("2026-02-28T23:30:00+01:00", "2026-02-28T22:30:00Z"),
        ("1999-12-31T23:59:59Z", "1999-12-31T23:59:59Z"),
    ],
)
def test_the_clock_begins_where_the_scenario_says_and_moves_only_by_waiting(clock: str | None, now: str) -> None:
    send = {"send": {"event": "placed", "data": {"id": "o1", "at": "x"}}}
    scenario = Scenario.model_validate(
        {"name": "s", "do": [send], "expect": {"output": {"now": now}}} | ({} if clock is None else {"clock": clock})
    )
    assert play(scenario, CLOCKED, CATALOG).problems == ()


def test_the_clock_of_the_file_holds_where_a_scenario_has_none() -> None:
    text = """
    clock: "2026-03-01T08:00:00Z"
    scenarios:
      - {name: a, do: [{wait: 1m}], expect: []}
      - {name: b, clock: "2027-01-01T00:00:00Z", do: [{wait: 1m}], expect: []}
    """
    assert [one.clock for one in parse_scenarios(text).scenarios] == ["2026-03-01T08:00:00Z", "2027-01-01T00:00:00Z"]


HEADERS = Catalog.model_validate(
    {
        "events": [
            {
                "name": "placed",
                "topics": ["orders"],
                "match": {"path": "kind", "equals": "placed"},
                "id": {"header": "X-Delivery"},
                "time": {"header": "X-Time"},
                "key": {"header": "X-Key"},
            }
        ]
    }
)


def test_an_event_bears_id_time_and_key_where_the_catalog_reads_them() -> None:
    send = {"event": "placed", "key": "o1", "id": "d-1", "data": {"kind": "placed"}}
    one = a_definition({"id": "p", "print": {"text": "run.key"}}, on=[{"id": "placed", "event": "placed"}])
    scenario = Scenario.model_validate(
        {"name": "s", "do": [{"send": send}, {"send": send}], "expect": {"key": "o1", "path": ["p"]}}
    )
    assert play(scenario, one, HEADERS).problems == ()  # the second one is the same event again


def test_a_start_must_fit_the_input() -> None:
    asked = a_definition(
        {"id": "p", "print": {"text": "trigger.id"}},
        on=[],
        input={"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
    )
    assert played(
        [{"start": {"key": "k", "input": {"id": "x"}}}], {"path": ["p"]}, {}, asked.model_copy(update={"on": []})
    ).ok
    (said, _) = played([{"start": {"key": "k", "input": {}}}], {}, {}, asked.model_copy(update={"on": []})).problems
    assert "the input of a start does not fit" in said


UNDONE = a_definition(
    {
        "id": "rate",
        "call": {"operation": "rate"},
        "undo": {"operation": "rate", "with": [{"name": "amount", "expr": "-1"}]},
    },
    {
        "id": "each",
        "needs": ["rate"],
        "each": {"items": "[1, 2]"},
        "call": {"operation": "rate", "with": [{"name": "amount", "expr": "item"}]},
    },
    {"id": "no", "needs": ["each.failure"], "fail": {"reason": "'item failed'"}},
)


def test_lists_failures_and_what_is_undone() -> None:
    answers = {
        "rate": [
            {"when": {"amount": 2}, "error": {"code": "refused"}},
            {"when": {"amount": 1}, "output": {"risk": 1}},
            {"output": {"risk": 0}},
        ]
    }
    calls = [
        {"step": "rate"},
        {"step": "each", "input": {"amount": 1}},
        {"step": "each", "input": {"amount": 2}},
        {"step": "rate.undo"},
    ]
    expect = {
        "status": "failed",
        "path": ["rate", "each.failure", "no", "rate.undo"],
        "reason": "item failed",
        "calls": calls,
    }
    found = played([SEND], expect, answers, UNDONE)
    assert found.differences == ()
    assert untaken(UNDONE, [found]) == []
    (said,) = played([SEND], {**expect, "reason": "another"}, answers, UNDONE).differences
    assert said.startswith("reason: expected another")


def test_ways_that_no_scenario_took_are_named() -> None:
    low, late = played([SEND], {}), played([SEND, {"wait": "1h"}], {}, HIGH)
    assert untaken(ORDER, [low]) == ["look.high", "ask", "late"]
    assert untaken(ORDER, [late]) == ["look.low", "ask.approved", "tell"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("scenarios: []", "/scenarios"),
        ("scenarios: [{name: a, do: [{}], expect: {}}]", "/scenarios/0/do/0"),
        ("scenarios: [{name: a, do: [{wait: 1h, start: {key: k}}], expect: {}}]", "/scenarios/0/do/0"),
        ("scenarios: [{name: a, do: [{wait: soon}], expect: {}}]", "/scenarios/0/do/0/wait"),
        ("scenarios: [{name: a, do: [{wait: 1h}], expect: {path: 5}}]", "/scenarios/0/expect"),
        ("{operations: {a: [{}]}, scenarios: [{name: a, do: [{wait: 1h}], expect: {}}]}", "/operations/a/0"),
        (
            "{operations: {a: [{output: 1, silent: true}]}, scenarios: [{name: a, do: [{wait: 1h}], expect: {}}]}",
            "/operations/a/0",
        ),
    ],
)
def test_faults_of_shape_are_told_with_their_place(text: str, place: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_scenarios(text)
    assert any(problem.pointer.startswith(place) for problem in caught.value.problems)


DELIVERED = a_definition({"id": "p", "print": {"text": "'delivered'"}}, on=[{"id": "t", "event": "delivered"}])


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        ({"id": {"header": "X-Delivery"}}, {"id": "D-1"}),
        ({"id": {"header": "X-Delivery"}}, {"headers": {"X-Delivery": "D-1"}}),
        ({"id": {"header": "ce_subject"}}, {"headers": {"ce_subject": "D-1"}}),
        ({"id": {"path": "head.id"}}, {"id": "D-1"}),
        ({"match": {"header": "X-Event", "equals": True}, "id": {"header": "X-Delivery"}}, {"id": "D-1"}),
        ({"match": {"path": "kind", "equals": "d"}, "id": {"path": "id"}}, {"id": "D-1"}),
        ({"match": {"expr": "cloudevent.source == '/s'"}}, {"id": "D-1", "headers": {"ce_source": "/s"}}),
        ({"key": {"header": "X-Key"}, "id": {"path": "id"}}, {"data": {"id": "D-1"}}),
        ({"key": {"path": "order"}}, {"id": "D-1"}),
        ({"time": {"path": "at", "unit": "us"}}, {"id": "D-1"}),
        ({"time": {"header": "X-At"}}, {"id": "D-1"}),
        ({"time": {"path": "at", "unit": "s"}}, {"id": "D-1", "data": {"at": 10.0}}),
    ],
)
def test_a_sent_event_says_what_the_catalog_reads(event: dict[str, Any], sent: dict[str, Any]) -> None:
    """Sent twice with one id it is one event, and so one run; without one it would be two."""
    catalog = Catalog.model_validate({"events": [{"name": "delivered", "topics": ["d"], **event}]})
    send = {"send": {"event": "delivered", "key": "k", **sent}}
    scenario = Scenario.model_validate({"name": "s", "do": [send, send], "expect": [{"key": "k"}]})
    found = play(scenario, DELIVERED, catalog)
    assert found.differences == ()
    assert len(found.histories) == 1


@pytest.mark.parametrize(
    ("event", "sent", "words"),
    [
        ({"key": {"header": "X-Key"}}, {}, "no key"),
        ({"key": {"path": "order.id"}}, {"key": "k", "data": {"order": 5}}, "no JSON object"),
        ({"match": {"path": "kind", "equals": "d"}}, {"key": "k", "data": []}, "no JSON object"),
    ],
)
def test_an_event_that_cannot_be_sent_says_why(event: dict[str, Any], sent: dict[str, Any], words: str) -> None:
    catalog = Catalog.model_validate({"events": [{"name": "delivered", "topics": ["d"], **event}]})
    do = [{"send": {"event": "delivered", **sent}}]
    found = play(Scenario.model_validate({"name": "s", "do": do, "expect": []}), DELIVERED, catalog)
    assert words in found.problems[0]


ONE = a_definition({"id": "wait", "delay": {"for": "1h"}}, runs="one")
AGAIN = {"send": {"event": "placed", "data": {"id": "o1", "amount": 6}}}
SAME = {"send": {"event": "placed", "data": {"id": "o1"}, "id": "e-1"}}


def told(do: list[dict[str, Any]], definition: Definition = ONE, **more: Any) -> Played:
    scenario = Scenario.model_validate({"name": "s", "do": [*do, {"wait": "2h"}], "expect": {}, **more})
    return play(scenario, definition, CATALOG)


@pytest.mark.parametrize(
    ("do", "note"),
    [
        ([SEND, AGAIN], "run_open"),
        ([SAME, SAME], "1 repeated placed dropped as a duplicate"),
        ([SAME, SAME, SAME], "2 repeated placed dropped as a duplicate"),
    ],
)
def test_a_suppressed_event_is_told_by_what_it_is_and_no_difference(do: list[dict[str, Any]], note: str) -> None:
    went = told(do)
    assert went.ok, went.differences
    assert len(went.notes) == 1
    assert note in went.notes[0]


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        ({"unclaimed": [{"event": "placed", "key": "o1", "reason": "run_open"}]}, ""),
        ({"unclaimed": [{"event": "placed"}]}, ""),
        ({"unclaimed": []}, "no run took the event placed"),
        ({"unclaimed": [{"event": "placed", "reason": "late"}]}, "expected an event that no run consumes"),
        ({"unclaimed": [{"event": "placed"}, {"event": "placed"}]}, "expected an event that no run consumes"),
        ({"duplicates": 1}, "duplicates: expected 1"),
        ({"duplicates": 0}, ""),
    ],
)
def test_what_is_to_be_suppressed_is_compared_where_a_scenario_says_so(more: dict[str, Any], difference: str) -> None:
    went = told([SEND, AGAIN], **more)
    assert bool(difference) is not went.ok
    assert difference in "\n".join(went.differences)
    assert bool(went.notes) is ("unclaimed" not in more)


def test_a_join_hands_a_further_event_to_the_open_run_and_says_when_nobody_waited() -> None:
    went = told([SEND, AGAIN], a_definition({"id": "wait", "delay": {"for": "1h"}}, runs="join"))
    assert went.ok
    assert "no_wait" in went.notes[0]
