"""The cases that come with Streamflow: every expected definition is one that can run, be drawn, and does what its
scenarios say."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from streamflow.authoring.draft import Draft
from streamflow.authoring.rewriting import same
from streamflow.definition.mermaid import mermaid
from streamflow.errors import DefinitionError, EngineFault
from streamflow.evaluation.case import Case, Round, cases, read_cases
from streamflow.simulation.stage import play
from tests.conftest import TEST_ALL
from tests.unit.evaluation.authors import all_cases, checked


@cache
def _rounds() -> dict[str, tuple[Case, Round]]:
    return {f"{case.name} #{number}": (case, one) for case in all_cases() for number, one in enumerate(case.rounds, 1)}


EVERY = 1 if TEST_ALL else 4  # `make test-full` looks at every round
UNANSWERED = ("SF222",)  # a time limit that nothing follows, where the request says nothing of it
DEFINED = [place for place, (_, one) in _rounds().items() if one.expected is not None]
EDITED = [place for place in DEFINED if _rounds()[place][1].before is not None]


def test_there_are_enough_cases_and_half_of_them_are_edits_over_three_rounds() -> None:
    found = all_cases()
    edits = [case for case in found if case.edits]
    assert len(found) >= 60
    assert 2 * len(edits) >= len(found)
    assert all(len(case.rounds) == (3 if case.edits else 1) for case in found)
    assert len({case.name for case in found}) == len(found)


def test_no_request_is_made_twice() -> None:
    repeated = [
        request for request, count in Counter(one.request for _, one in _rounds().values()).items() if count > 1
    ]
    assert not repeated


@pytest.mark.parametrize("place", DEFINED[::EVERY])
def test_an_expected_definition_is_clean_drawn_and_does_what_its_scenarios_say(place: str) -> None:
    case, wanted = _rounds()[place]
    assert wanted.expected is not None
    problems = [str(one) for one in checked(wanted.expected, case.catalog) if one.code not in UNANSWERED]
    assert not problems
    assert mermaid(wanted.expected.definition, case.catalog).startswith("flowchart")
    assert wanted.scenarios
    for scenario in wanted.scenarios:
        played = play(scenario, wanted.expected.definition, case.catalog, case.operations)
        assert played.ok, (scenario.name, played.problems)


@pytest.mark.parametrize("place", EDITED[::EVERY])
def test_an_edit_changes_what_its_scenarios_see_and_leaves_the_other_steps_as_they_are(place: str) -> None:
    case, wanted = _rounds()[place]
    assert wanted.before is not None
    assert wanted.expected is not None
    played = [play(one, wanted.before.definition, case.catalog, case.operations) for one in wanted.scenarios]
    assert not all(one.ok for one in played), "the definition before the edit fulfils all scenarios, too"
    old, new = ({step["id"]: step for step in side.content["steps"]} for side in (wanted.before, wanted.expected))
    kept = [id_ for id_ in old if id_ in new and same(old[id_], new[id_])]
    assert all(wanted.before.step_text(id_) == wanted.expected.step_text(id_) for id_ in kept)


def test_questions_are_asked_for_in_new_definitions_and_in_edits() -> None:
    asked = [one for _, one in _rounds().values() if one.question is not None]
    assert len(asked) >= 12
    assert {one.before is None for one in asked} == {True, False}
    assert all(word == word.lower() for one in asked if one.question for word in one.question.about)


_CATALOG = "catalog: {events: [{name: a, topics: [t], key: {path: k}, schema: {type: object}}]}"
_CASE = """{name: start, request: Log it., definition: "name: d\\nversion: '1'\\non: [{id: a, event: a}]\\nsteps:\\n
 - {id: s, print: {text: \\"'x'\\"}}\\n", scenarios: [{name: n, do: [{wait: 1s}], expect: []}]}"""


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("{name: one, request: What?}", DefinitionError),
        ("{name: one, request: What?, question: {about: [x]}, start: start}", DefinitionError),
        ("{name: one, start: start, rounds: [{request: What?}]}", DefinitionError),
        ("{name: one, start: other, rounds: [{request: What?, question: {about: [x]}}]}", EngineFault),
        ("{name: one, start: start, rounds: [{request: No., operations: [{op: remove_step, step: t}]}]}", EngineFault),
        ("{name: one, start: start, rounds: [{request: No., operations: [{op: unknown}]}]}", EngineFault),
    ],
)
def test_a_case_that_contradicts_itself_is_refused(written: str, error: type[Exception]) -> None:
    text = f"{_CATALOG}\ncases:\n- {_CASE}\n- {written}\n"
    with pytest.raises(error):
        list(read_cases("own", text))


def test_only_the_cases_that_are_asked_for_are_made() -> None:
    assert [case.name for case in cases(lambda name: name == "payments/ask-analyst")] == ["payments/ask-analyst"]
    (case,) = cases(lambda name: name == "payments/edit-cooling-off")
    assert isinstance(case.rounds[2].expected, Draft)
