from __future__ import annotations

import pytest

from streamflow.definition.syntax import load_text, parse_catalog, parse_definition, to_yaml
from streamflow.errors import DefinitionError, Problem
from streamflow.simulation.scenarios import parse_scenarios
from tests.unit.definition.examples import GOOD


def refused(text: str) -> dict[str, Problem]:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    return {f"{problem.code} {problem.pointer}": problem for problem in caught.value.problems}


def test_all_faults_of_shape_are_reported_at_once_with_place_and_fix() -> None:
    found = refused("""
name: Big Order
version: 1.0
on:
  - {id: a, event: x, wher: 'true'}
runs: won
steps:
  - id: Wait For It
    wait: {events: [], within: soon}
  - id: b
    prnt: {text: a}
    emit: {event: 3, data: {a: b}}
  - just text
""")
    assert set(found) == {
        "SF104 /name",
        "SF103 /version",
        "SF101 /on/0/wher",
        "SF105 /runs",
        "SF104 /steps/0/id",
        "SF106 /steps/0/wait/events",
        "SF104 /steps/0/wait/within",
        "SF101 /steps/1/prnt",
        "SF103 /steps/1/emit/event",
        "SF103 /steps/1/emit/data",
        "SF103 /steps/2",
    }
    assert found["SF101 /on/0/wher"].fix == "Did you mean `where`?"
    assert found["SF101 /steps/1/prnt"].fix == "Did you mean `print`?"
    assert found["SF104 /name"].fix == "For example `big-order`."
    assert found["SF104 /steps/0/id"].fix == "For example `wait_for_it`."
    assert found["SF103 /version"].fix == "Put quotes around it."
    assert found["SF105 /runs"].fix == "Did you mean one?"


def test_a_missing_field_is_named() -> None:
    assert (
        "the field `steps` is missing"
        in refused("name: a\nversion: '1'\non: [{id: a, event: b}]")["SF102 /steps"].message
    )


def test_an_expression_cut_by_a_comma_gets_the_advice_to_quote_it() -> None:
    found = refused(
        "name: a\nversion: '1'\non: [{id: a, event: b}]\nsteps: [{id: c, set: [{name: d, expr: e.map(x, x.y)}]}]"
    )
    assert "in quotes" in found["SF101 /steps/0/set/0/x.y)"].fix


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("a: [1", "SF100", "line 1, column 6"),
        ("name: a\n\tversion: b", "SF100", "line 2, column 1"),
        ("a: 1\nb: 2\na: 3", "SF107", "found a twice at line 3"),
        ('{"a": 1, "a": 2}', "SF107", "found a twice"),
        ("a: *b", "SF100", "line 1, column 4"),
        ("a: !!python/object/apply:os.getcwd []", "SF100", "line 1"),
        ("- a", "SF103", "found a list"),
        ("", "SF103", "found nothing"),
        ("[" * 1000, "SF100", "levels deep"),
        ("a: .nan", "SF103", "found nan"),
        ("a: 2026-01-01", "SF103", "found 2026-01-01"),
        ("1: a", "SF103", "found 1"),
        ("? [{a: 1}]\n: b", "SF100", "line 1, column 3: a list or a map is the name of a field"),
        ("c: {[{a: 1}, d]: b}", "SF100", "line 1, column 5"),
        ("? {a: 1}\n: b", "SF100", "line 1, column 3: a list or a map is the name of a field"),
        ("? [a]\n: b", "SF100", "line 1, column 3"),
        ("? [[{a: 1}]]\n: b", "SF100", "line 1, column 3"),
        ('a: "\\ud800"', "SF100", "surrogate"),
        ('"\\udc4b": a', "SF100", "surrogate"),
        ('{"a": "\\ud83d \\udc4b"}', "SF100", "surrogate"),
        ("a" * 1_000_001, "SF231", "at most"),
    ],
)
def test_text_that_is_no_definition_is_refused_with_its_place(text: str, code: str, told: str) -> None:
    found = refused(text)
    assert [key[:5] for key in found] == [code]
    assert told in next(iter(found.values())).message


@pytest.mark.parametrize("text", ["a: {b: c in ['d', 'e']}", "a: {b: f(c)[0]}", "a: {b: x[?'y']}"])
def test_an_expression_within_braces_that_needs_quotes_is_told_so(text: str) -> None:
    assert "in quotes" in refused(text).popitem()[1].fix


def test_an_anchor_that_is_used_again_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    parse_definition(
        "name: a\nversion: '1'\non: [{id: &x a, event: b}]\nsteps: [{id: &x c, print: {text: d}}]\ntitle: *x"
    )
    assert list(recwarn) == []


def test_aliases_of_aliases_cannot_blow_up() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert list(refused(bomb)) == ["SF231 "]


def test_on_and_yes_are_plain_words() -> None:
    definition = parse_definition(
        "name: a\nversion: '1'\ntitle: yes\non: [{id: a, event: b}]\nsteps: [{id: no_, print: {text: on}}]"
    )
    assert definition.title == "yes"
    assert definition.steps[0].print is not None
    assert definition.steps[0].print.text == "on"


@pytest.mark.parametrize("written", ['"\\ud83d\\udc4b"', '"\\uD83D\\uDC4B"', '"\\U0001f44b"', "\U0001f44b"])
def test_both_halves_of_a_character_are_the_character(written: str) -> None:
    assert load_text(f'{{"a": [{written}], {written}: 1}}') == {"a": ["\U0001f44b"], "\U0001f44b": 1}
    assert (
        parse_scenarios(f'{{"scenarios": [{{"name": {written}, "do": [{{"wait": "1s"}}], "expect": {{}}}}]}}')
        .scenarios[0]
        .name
        == "\U0001f44b"
    )


def test_json_is_read_too() -> None:
    text = (
        '{"name":"a","version":"1","on":[{"id":"a","event":"b"}],"steps":[{"id":"c","if":"true","delay":{"for":"1h"}}]}'
    )
    assert parse_definition(text).steps[0].if_ == "true"


def test_yaml_made_of_a_definition_reads_back_to_an_equal_one() -> None:
    definition = parse_definition(GOOD)
    assert parse_definition(to_yaml(definition)) == definition
    assert "join" not in to_yaml(definition)


def test_a_catalog_is_checked_in_the_same_words() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_catalog("events: [{name: e, topics: []}, {nam: e, topics: [a b]}]")
    assert {(problem.code, problem.pointer) for problem in caught.value.problems} == {
        ("SF106", "/events/0/topics"),
        ("SF102", "/events/1/name"),
        ("SF101", "/events/1/nam"),
        ("SF104", "/events/1/topics/0"),
    }
