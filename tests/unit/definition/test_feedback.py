"""Definitions that start each other in a circle, and lists whose child runs would refuse each other."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog, ChildSpec
from streamflow.definition.check import check
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.feedback_check import emits_of
from streamflow.definition.model import Definition
from streamflow.errors import Problem
from tests.builders import a_catalog

EVENTS = a_catalog("a", "b", "c", "d").events
SHA = "0" * 64


def defined(*steps: dict[str, Any], name: str = "one", on: str = "a", **more: Any) -> Definition:
    triggers = [{"id": f"on_{event}", "event": event} for event in on]
    return Definition.model_validate({"name": name, "version": "2", "on": triggers, "steps": list(steps), **more})


def emitting(event: str) -> dict[str, Any]:
    return {"id": f"tell_{event}", "emit": {"event": event}}


def other(name: str, starts_by: str, emits: str, **more: Any) -> ChildSpec:
    return ChildSpec(name=name, version="1", sha=SHA, starts_by=list(starts_by), emits=list(emits), **more)


def circles(definition: Definition, *others: ChildSpec) -> list[Problem]:
    found = check(definition, Catalog(events=EVENTS, definitions=list(others)))
    assert [problem for problem in found if problem.severity == "error"] == []
    return [problem for problem in found if problem.code == "SF247"]


def test_a_definition_that_emits_what_starts_it_is_warned_of() -> None:
    (problem,) = circles(defined(emitting("b"), emitting("a")))
    assert (problem.pointer, problem.severity) == ("/steps/1/emit/event", "warning")
    assert circles(defined(emitting("b"))) == []
    assert circles(defined(emitting("a"), on="b")) == []


def test_a_circle_through_published_definitions_is_told_with_its_way() -> None:
    third, second = other("three", "c", "a"), other("two", "b", "dc")
    (problem,) = circles(defined(emitting("b")), third, second)
    assert problem.message == (
        "this emits `b`, which starts `two`, which emits `c`, which starts `three`, which emits `a`, which starts this "
        "definition again: it may never end."
    )
    assert circles(defined(emitting("b")), second) == []


def test_a_circle_of_others_alone_is_not_this_definitions() -> None:
    assert circles(defined(emitting("b")), other("two", "b", "c"), other("three", "c", "b")) == []


def test_an_earlier_version_of_the_same_name_makes_no_circle() -> None:
    assert circles(defined(emitting("b")), other("one", "b", "a")) == []


def test_what_a_child_run_emits_counts_as_emitted() -> None:
    step = {"id": "child", "run": {"definition": "two", "version": "1"}}
    (problem,) = circles(defined(step), other("two", "", "ca"))
    assert problem.pointer == "/steps/0/run/definition"
    assert circles(defined(step), other("two", "", "c")) == []


def test_what_a_definition_emits_is_also_what_it_starts_emits() -> None:
    definition = defined(emitting("d"), {"id": "child", "run": {"definition": "two", "version": "1"}})
    assert emits_of(definition, Catalog(definitions=[other("two", "", "ca")])) == ["a", "c", "d"]


def run_each(**fields: Any) -> dict[str, Any]:
    at_once = fields.pop("each", {})
    run = {"definition": "two", "version": "1", **fields}
    return {"id": "kids", "each": {"items": "[1, 2]", **at_once}, "run": run}


@pytest.mark.parametrize("runs", ["one", "join"])
@pytest.mark.parametrize(
    ("step", "at"),
    [
        (run_each(), "/steps/0/run"),
        (run_each(key="'a' + run.key"), "/steps/0/run/key"),
        (run_each(each={"at_once": 2}), "/steps/0/run"),
        (run_each(key="run.key + string(index)"), ""),
        (run_each(key="string(item)"), ""),
        (run_each(each={"at_once": 1}), ""),
        ({"id": "kid", "run": {"definition": "two", "version": "1"}}, ""),
    ],
)
def test_items_whose_child_runs_have_one_key_are_refused(step: dict[str, Any], at: str, runs: str) -> None:
    for policy, expected in ((runs, [("SF246", at, "error")] if at else []), ("many", [])):
        catalog = Catalog(events=EVENTS, definitions=[other("two", "", "", runs=policy)])
        found = check(defined(step), catalog)
        assert [(problem.code, problem.pointer, problem.severity) for problem in found] == expected


def test_a_key_that_cannot_be_read_is_one_problem() -> None:
    catalog = Catalog(events=EVENTS, definitions=[other("two", "", "", runs="one")])
    assert [problem.code for problem in check(defined(run_each(key="run.key +")), catalog)] == ["SF260"]


def test_what_only_the_check_needs_is_no_part_of_the_content() -> None:
    definition = defined({"id": "child", "run": {"definition": "two", "version": "1"}})
    plain = Catalog(events=EVENTS, definitions=[ChildSpec(name="two", version="1", sha=SHA)])
    rich = Catalog(events=EVENTS, definitions=[other("two", "ab", "c", runs="one")])
    assert sha256_of(canonical(definition, rich)) == sha256_of(canonical(definition, plain))
