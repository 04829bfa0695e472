"""A draft keeps the text that its author wrote, wherever nothing changed."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import pytest

from streamflow.authoring.draft import Draft
from streamflow.definition.syntax import load_text
from streamflow.errors import DefinitionError
from tests.unit.authoring.examples import DRAFT, TEXT, plain, revised

PROJECT = Path(__file__).parents[3]
SHIPPED = sorted(PROJECT.glob("definitions/*/definition.yaml"))


def lines_changed(before: str, after: str) -> list[str]:
    """What was taken out and put in, as lines with `-` and `+`."""
    compared = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in compared if line[0] in "+-"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_a_text_that_nobody_changes_is_as_it_was(file: Path) -> None:
    text = file.read_text()
    draft = Draft.parse(text)

    assert draft.changed(draft.editing()).text == text
    assert draft.content == load_text(text)
    assert list(draft.spans) == [step["id"] for step in draft.content["steps"]]


def test_a_step_has_a_span_with_the_comments_above_it() -> None:
    span = DRAFT.spans["release"]

    assert TEXT[span.begin : span.end].splitlines()[:2] == ["  # both ways lead here", "  - id: release"]
    assert TEXT.splitlines()[span.first_line - 1] == "  # both ways lead here"
    assert TEXT.splitlines()[span.last_line - 1].strip().startswith("emit:")
    assert DRAFT.step_text("charge") == ("- id: charge\n    needs: [paid.timeout]\n    call: {operation: card.charge}")


def test_one_field_changes_one_line_and_keeps_its_comment() -> None:
    after = revised({"op": "set_field", "step": "paid", "field": "wait.within", "value": "2d"}).draft

    assert lines_changed(TEXT, after.text) == [
        "-       within: 24h # and not longer",
        "+       within: 2d # and not longer",
    ]


def test_a_new_field_stands_where_the_language_has_it() -> None:
    after = revised(
        {"op": "set_field", "field": "runs", "value": "one"},
        {"op": "set_field", "step": "charge", "field": "call.within", "value": "1h"},
        {"op": "set_field", "step": "charge", "field": "title", "value": "Charge: now, or never"},
    ).draft

    assert lines_changed(TEXT, after.text) == [
        "+ runs: one",
        "+     title: 'Charge: now, or never'",
        "-     call: {operation: card.charge}",
        "+     call: {operation: card.charge, within: 1h}",
    ]


def test_a_removed_step_takes_its_comments_with_it() -> None:
    after = revised({"op": "remove_step", "step": "paid", "orphans": "remove"}).draft

    assert "the customer has a day" not in after.text
    assert "# what happens with it\nsteps:\n  # both ways lead here\n  - id: release\n" in after.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    call: {operation: card.charge}\n", "    title:\n    call: {operation: card.charge}\n"),
        (
            "    print:\n      text: >-\n        'not paid: ' +\n        errors.charge.code\n",
            "    print: {text: x}\n    if:\n",
        ),
        ("{operation: card.charge}", "{operation: card.charge, lane: }"),
        ("{operation: card.charge}", "{operation: card.charge, lane}"),
        ("    join: any\n", "    join: any # one\n      # of them\n\n    # or:\n    if: # nothing\n"),
    ],
)
def test_a_field_without_a_value_is_no_hindrance(old: str, new: str) -> None:
    draft = Draft.parse(TEXT.replace(old, new))
    after = revised(
        {"op": "set_field", "field": "title", "value": "Other"},
        {"op": "set_field", "step": "note", "field": "title", "value": "N"},
        {"op": "set_field", "step": "release", "field": "title", "value": "R"},
        {"op": "add_step", "step": plain("fresh")},
        draft=draft,
    ).draft

    assert [line for line in lines_changed(draft.text, after.text) if line[0] == "-"] == [
        "- title: Wait for the payment of an order"
    ]


@pytest.mark.parametrize("text", [TEXT, json.dumps(load_text(TEXT))])
def test_names_of_fields_may_be_written_with_escapes(text: str) -> None:
    field = '{"type": "object", "properties": {"\\ud83d\\ude00": {"type": "string"}}}'
    text = text.replace("\non:", f"\ninput: {field}\non:").replace('{"streamflow"', f'{{"input": {field}, "streamflow"')
    draft = Draft.parse(text)
    after = revised({"op": "set_field", "field": "input.properties.x", "value": {}}, draft=draft).draft

    assert list(after.content["input"]["properties"]) == ["😀", "x"]
    assert "\\ud83d\\ude00" in after.text


def test_a_text_in_lines_becomes_another_one() -> None:
    after = revised({"op": "set_field", "step": "note", "field": "print.text", "value": "'not paid'"}).draft

    assert after.text.endswith("    print:\n      text: \"'not paid'\"\n")


@pytest.mark.parametrize("indent", [None, 2])
def test_json_stays_json(indent: int | None) -> None:
    draft = Draft.parse(json.dumps(load_text(TEXT), indent=indent))
    after = revised(
        {"op": "set_field", "step": "paid", "field": "wait.within", "value": "2d"},
        {"op": "set_field", "field": "title", "value": None},
        {"op": "add_step", "step": {"id": "late", "needs": ["release"], "print": {"text": "'done'"}}},
        draft=draft,
    ).draft

    assert json.loads(after.text) == after.content
    assert after.step_text("charge") == draft.step_text("charge")
    if indent:
        assert len(lines_changed(draft.text, after.text)) < 12


def test_a_new_draft_is_filled_step_by_step() -> None:
    draft = Draft.new("fraud-check", title="Fraud: a check")
    after = revised(
        {"op": "set_trigger", "trigger": {"id": "placed", "event": "order.placed"}},
        {"op": "add_step", "step": {"id": "charge", "call": {"operation": "card.charge"}}},
        {"op": "add_step", "step": {"id": "told", "needs": ["charge.failure"], "print": {"text": "'no'"}}},
        draft=draft,
    )

    assert after.draft.text == (
        'streamflow: "1"\n'
        "name: fraud-check\n"
        "version: '1'\n"
        "title: 'Fraud: a check'\n"
        "on:\n"
        "  - {id: placed, event: order.placed}\n"
        "steps:\n"
        "  - id: charge\n"
        "    call: {operation: card.charge}\n"
        "  - id: told\n"
        "    needs: [charge.failure]\n"
        "    print: {text: \"'no'\"}\n"
    )
    assert after.new_problems == ()


def test_a_draft_without_steps_has_the_problem_that_it_has_none() -> None:
    after = revised({"op": "set_field", "field": "runs", "value": "one"}, draft=Draft.new("empty"))

    assert {problem.code for problem in after.problems} == {"SF106", "SF236"}


def test_the_beginning_of_a_file_from_elsewhere_is_read() -> None:
    assert Draft.parse("\ufeff" + TEXT.replace("\n", "\r\n")).text == TEXT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("steps: [", "SF100"),
        ("- a", "SF103"),
        ("", "SF103"),
        (TEXT.replace("keep: 1h", "keeep: 1h"), "SF101"),
        (TEXT + "steps: []\n", "SF107"),
        (TEXT.replace("needs: [paid.timeout]", "needs: &n [paid.timeout]"), "SF100"),
        (
            TEXT.replace("needs: [paid.timeout]", "needs: &n [paid.timeout]").replace("[charge.failure]", "*n"),
            "SF100",
        ),
    ],
)
def test_what_cannot_be_edited_in_place_is_refused(text: str, code: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        Draft.parse(text)

    assert code in {problem.code for problem in refused.value.problems}


@pytest.mark.parametrize("name", ["Not a name", "", "a: b"])
def test_a_new_draft_has_a_name_in_its_form(name: str) -> None:
    with pytest.raises(DefinitionError):
        Draft.new(name)


def test_the_hash_is_that_of_the_text() -> None:
    assert Draft.parse(TEXT).sha == DRAFT.sha
    assert Draft.parse(TEXT + "# more\n").sha != DRAFT.sha
