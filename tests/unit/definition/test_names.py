"""Names that are nearly another: ids cannot be, and where a name gives a right or a meaning the check says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_definition
from streamflow.errors import DefinitionError
from tests.builders import a_catalog, a_definition

NEAR = (
    "A",
    "Ab",
    " a",
    "a ",
    "a\n",
    "a b",
    "a-b",
    "a.b",
    "é",
    "e\u0301",
    "\uff41",
    "a\u200b",
    "a\u00a0",
    "1a",
    "_a",
    "",
)
PLACES: dict[str, Any] = {
    "step": lambda id_: {"steps": [{"id": id_, "print": {"text": "'x'"}}]},
    "trigger": lambda id_: {"on": [{"id": id_, "event": "placed"}]},
    "clause": lambda id_: {"steps": [{"id": "s", "wait": {"events": [{"id": id_, "event": "x"}], "forever": True}}]},
    "branch": lambda id_: {"steps": [{"id": "s", "choose": [{"id": id_}]}]},
    "need": lambda id_: {"steps": [{"id": "s", "needs": [f"p.{id_}"], "print": {"text": "'x'"}}]},
    "output": lambda id_: {"output": id_},
    "error code": lambda id_: {
        "steps": [
            {"id": "s", "call": {"operation": "pay", "retry": {"codes": [{"id": id_, "attempts": 1}]}}},
        ]
    },
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("id_", NEAR, ids=ascii)
def test_an_id_has_one_spelling_only(place: str, id_: str) -> None:
    whole: dict[str, Any] = {"name": "n", "version": "1", "input": {}, "steps": [{"id": "p", "print": {"text": "'x'"}}]}
    parse_definition(json.dumps(whole | PLACES[place]("fine_1")))
    with pytest.raises(DefinitionError) as caught:
        parse_definition(json.dumps(whole | PLACES[place](id_)))
    assert {problem.code for problem in caught.value.problems} == {"SF104"}


def problems(definition: Definition, catalog: Catalog | None = None) -> list[tuple[str, str, str]]:
    found = check(definition, catalog or a_catalog("placed", "x"))
    return [(problem.code, problem.pointer, problem.severity) for problem in found]


@pytest.mark.parametrize("word", ["timeout", "failure", "done", "none", "skipped"])
def test_the_words_for_how_steps_end_are_no_ids_of_branches_and_clauses(word: str) -> None:
    branches = {"id": "s", "choose": [{"id": "a", "if": "true"}, {"id": word}]}
    clauses = {"id": "s", "wait": {"events": [{"id": word, "event": "x"}], "forever": True, "keep": "1h"}}
    assert problems(a_definition(branches)) == [("SF219", "/steps/0/choose/1/id", "error")]
    assert problems(a_definition(clauses)) == [("SF219", "/steps/0/wait/events/0/id", "error")]


def test_no_need_can_name_that_no_branch_was_taken() -> None:
    choose = {"id": "s", "choose": [{"id": "a", "if": "trigger.n > 1"}]}
    after = {"id": "t", "needs": ["s.none"], "print": {"text": "'x'"}}
    assert ("SF212", "/steps/1/needs/0", "error") in problems(a_definition(choose, after))


def asking(*who: str) -> Definition:
    return a_definition({"id": "ask", "approval": {"text": "'ok?'", "who": list(who), "forever": True}})


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (("alice", "bob", "sales managers", "jos\u00e9"), ""),
        (("alice", "alice"), "SF223"),
        (("alice", "Alice"), "SF238"),
        (("alice", "alice "), "SF238"),
        (("jos\u00e9", "jose\u0301"), "SF238"),
        (("alice", "\uff41lice"), "SF238"),
    ],
    ids=ascii,
)
def test_two_who_may_decide_are_not_nearly_the_same(who: tuple[str, ...], code: str) -> None:
    assert problems(asking(*who)) == ([(code, "/steps/0/approval/who/1", "error")] if code else [])


@pytest.mark.parametrize("who", [" alice", "alice ", "alice\n", "ali\u200bce", "jose\u0301", "\u00a0alice"], ids=ascii)
def test_a_name_that_may_decide_is_what_it_looks_like(who: str) -> None:
    found = check(asking("bob", who), a_catalog("placed"))
    assert [(problem.code, problem.pointer) for problem in found] == [("SF238", "/steps/0/approval/who/1")]
    assert found[0].fix in ("Write `alice`.", "Write `jos\u00e9`.")


def test_two_events_whose_names_differ_only_in_case_are_warned_of_where_one_is_named() -> None:
    catalog = a_catalog("placed", "Placed", "other", "OTHER")
    assert problems(a_definition({"id": "s", "print": {"text": "'x'"}}), catalog) == [
        ("SF239", "/on/0/event", "warning")
    ]
