"""What a definition has to say about the events that it waits for."""

from __future__ import annotations

import pytest

from streamflow.definition.check import check
from streamflow.definition.compile import compile_plan
from streamflow.definition.duration import parse_ms
from streamflow.definition.syntax import parse_catalog, parse_definition

CATALOG = parse_catalog("""
events:
  - {name: placed, topics: [orders]}
  - {name: paid, topics: [orders]}
  - {name: plain, topics: [orders], match: {path: kind, equals: plain}}
  - {name: named, topics: [orders], match: {path: kind, equals: named}, id: {path: id}}
  - {name: typed, topics: [orders], match: {type: TYPED}}
  - {name: typed_too, topics: [orders], match: {type: TYPED, path: kind, equals: plain}}
  - {name: by_header, topics: [orders], match: {header: kind, equals: plain}}
  - {name: by_expression, topics: [orders], match: {expr: event.kind == 'plain'}}
  - {name: binary, topics: [orders], match: {header: ce_type, equals: TYPED}}
  - {name: structured, topics: [orders], match: {header: content-type, equals: application/cloudevents+json}}
""")
HEAD = "name: x\nversion: '1'\n"
ON = "on: [{id: placed, event: placed}]\n"


def codes(steps: str, *, on: str = "[{id: placed, event: placed}]", runs: str = "many") -> list[tuple[str, str]]:
    found = check(parse_definition(f"{HEAD}on: {on}\nruns: {runs}\nsteps:\n{steps}"), CATALOG)
    return [(problem.code, problem.pointer) for problem in found]


def a_wait(id: str, event: str = "paid", *, needs: str = "", more: str = "") -> str:
    clause = f"{{id: came, event: {event}}}"
    return f"  - {{id: {id}, {needs}wait: {{events: [{clause}], forever: true{more}}}}}\n"


def test_a_second_wait_for_an_event_has_to_say_which_events_count() -> None:
    steps = a_wait("first") + a_wait("second", needs="needs: [first], ")
    assert codes(steps) == [("SF248", "/steps/1/wait")]


@pytest.mark.parametrize("since", ["run", "here"])
def test_either_choice_will_do(since: str) -> None:
    steps = a_wait("first") + a_wait("second", needs="needs: [first], ", more=f", since: {since}")
    assert codes(steps) == []


def test_waits_beside_each_other_have_no_order_to_choose() -> None:
    assert codes(a_wait("first") + a_wait("second")) == []


def test_a_wait_for_what_starts_runs_has_to_say_which_events_count() -> None:
    assert codes(a_wait("again", "placed"), runs="join") == [("SF248", "/steps/0/wait")]


def test_a_wait_never_gets_an_event_that_always_starts_another_run() -> None:
    since = ", since: run"
    assert codes(a_wait("again", "placed", more=since)) == [("SF249", "/steps/0/wait/events/0/event")]
    assert codes(a_wait("again", "placed", more=f"{since}, take: every")) == []
    assert codes(a_wait("again", "placed", more=since), runs="one") == []
    condition = "[{id: placed, event: placed, where: 'true'}]"
    assert codes(a_wait("again", "placed", more=since), on=condition) == []


@pytest.mark.parametrize("event", ["plain", "by_header", "by_expression"])
def test_plain_json_without_an_id_is_warned_of(event: str) -> None:
    assert codes(a_wait("w", event)) == [("SF229", "/steps/0/wait/events/0/event")]


@pytest.mark.parametrize("event", ["named", "paid", "typed", "typed_too", "binary", "structured"])
def test_an_event_with_an_id_in_the_catalog_and_a_cloudevent_are_not_warned_of(event: str) -> None:
    assert codes(a_wait("w", event)) == []


def test_an_event_without_an_id_is_warned_of_once() -> None:
    steps = a_wait("one", "plain") + a_wait("two", "plain")
    assert codes(steps) == [("SF229", "/steps/0/wait/events/0/event")]


@pytest.mark.parametrize("window", ["59m", "0s", "91d", "90d1ms"])
def test_a_window_that_is_too_short_or_too_long_is_refused(window: str) -> None:
    found = check(parse_definition(f"{HEAD}window: {window}\n{ON}steps:\n{a_wait('w')}"), CATALOG)
    assert [(problem.code, problem.pointer) for problem in found] == [("SF232", "/window")]


@pytest.mark.parametrize("window", ["1h", "24h", "90d"])
def test_the_window_of_a_definition_is_in_its_plan(window: str) -> None:
    definition = parse_definition(f"{HEAD}window: {window}\n{ON}steps:\n{a_wait('w')}")
    assert check(definition, CATALOG) == ()
    assert compile_plan(definition, CATALOG, "sha").window_ms == parse_ms(window)
