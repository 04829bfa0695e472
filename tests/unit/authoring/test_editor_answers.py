"""Answers that an edit offers complete it; what is not done after an outcome goes; a step is found by what it calls."""

from __future__ import annotations

import time

import pytest

from streamflow.authoring.draft import Draft
from streamflow.authoring.editor.edited import Edited
from streamflow.authoring.editor.editor import MOST_PARTS, edit
from streamflow.authoring.problems import new_problems, problems_of
from streamflow.authoring.questions import questions
from streamflow.definition.syntax import parse_catalog
from tests.unit.authoring.test_editor import CARDS, TICKETS, edited

CATALOG = parse_catalog("""
events:
  - name: payment.made
    title: A payment is made
    topics: [payments]
    key: {path: id}
    schema:
      type: object
      required: [id, amount]
      properties: {id: {type: string}, amount: {type: number}}
  - {name: payment.released, topics: [decided], schema: {type: object, properties: {id: {type: string}}}}
  - {name: payment.blocked, topics: [decided], schema: {type: object, properties: {id: {type: string}}}}
operations:
  - {name: slack_message.create_message, title: Send a message}
  - {name: box_file.create_file, title: Create a file}
  - {name: dropbox_file.create_file, title: Create a file in Dropbox}
  - {name: jira_issue.create_issue, title: Create an issue}
  - {name: mail.send, title: Send a mail}
""")
DRAFT = """
streamflow: "1"
name: large-payment
version: "1"
on:
  - {id: made, event: payment.made, where: event.amount > 500}
steps:
  - id: look
    approval: {text: "'Is it right?'", who: [analysts], within: 30m}
  - id: release
    needs: [look.approved]
    emit: {event: payment.released, data: [{name: id, expr: trigger.id}]}
  - id: block
    needs: [look.rejected]
    emit: {event: payment.blocked, data: [{name: id, expr: trigger.id}]}
  - id: tell
    needs: [release]
    call: {operation: slack_message.create_message}
  - id: keep
    needs: [tell]
    call: {operation: box_file.create_file}
  - id: track
    needs: [keep]
    call: {operation: jira_issue.create_issue}
"""


def changed(sentence: str, draft: str = DRAFT) -> Edited:
    return edit(sentence, Draft.parse(draft), CATALOG)


def sentences(found: Edited) -> list[str]:
    assert found.revision is not None, found.questions
    return [one.sentence for one in found.revision.difference.changes]


@pytest.mark.parametrize(
    "sentence",
    [
        "do not create an incident",
        "after look, send a mail",
        "if they reject it, send a mail",
        "if they reject it, dance",
        "add a reminder after 10 minutes",
        "remove everything",
        "remove the approval",
        "remove all the steps except block",
        "create the board in Trello instead",
        "if they reject it, do not release it",
        "replace the notice with a mail",
        "send a mail by train after release",
        "if the weather is fine, send a mail",
        "ask the board after the analysts",
        "replace keep with dropbox",
        "change the time limit to 1 hour and remove the notice",
    ],
)
def test_every_answer_that_is_offered_completes_the_edit(sentence: str) -> None:
    found = changed(sentence)

    assert not found.complete
    for question in found.questions:
        assert "``" not in question.text
        for choice in question.choices:
            assert choice.sentence is not None
            assert changed(choice.sentence).complete, choice


def test_no_answer_drops_what_is_excepted() -> None:
    (question,) = changed("remove all the steps except block").questions

    assert question.choices == ()


def test_what_is_replaced_has_to_be_said() -> None:
    (question,) = changed("create the board in Trello instead").questions

    assert question.text == "What is replaced by `create the board in Trello`? Say `do Y instead of X`."


@pytest.mark.parametrize(
    "sentence",
    [
        "if they reject it, do not block it",
        "if they reject it, also do not block it",
        "if they reject it, then do not block it",
        "If they reject it, don't block it any more.",
        "do not block it if they reject it",
        "dont block it when they reject it",
        "if they reject it, never do anything",
    ],
)
def test_what_is_not_done_after_an_outcome_goes(sentence: str) -> None:
    assert sentences(changed(sentence)) == ["The step `block` was removed."]


@pytest.mark.parametrize("sentence", ["if the analysts do not answer, log 'late'", "if nobody answers, stop the run"])
def test_what_is_not_said_to_be_left_undone_stays(sentence: str) -> None:
    found = changed(sentence)

    assert not any("removed" in one for one in sentences(found)) if found.complete else found.operations == ()
    assert found.complete == sentence.endswith("'late'")


def test_of_several_ways_to_a_step_the_one_that_is_denied_goes() -> None:
    either = DRAFT.replace("needs: [look.rejected]", "needs: [look.rejected, look.timeout]\n    join: any")
    found = changed("if nobody answers, do not block it", either)

    assert found.complete, found.questions
    block = next(step for step in found.revision.draft.definition.steps if step.id == "block")  # type: ignore[union-attr]
    assert block.needs == ["look.rejected"]


def test_what_is_not_done_under_a_condition_is_done_unless_it_holds() -> None:
    assert sentences(changed("do not block it if the amount is above 1000")) == [
        "`if` of step `block` was set to `!(trigger.amount > 1000)`."
    ]


def test_a_step_that_is_not_there_is_not_taken_away() -> None:
    (question,) = changed("if they reject it, do not release it").questions

    assert question.text == "`release` does not follow when `they reject it`. What should change?"


@pytest.mark.parametrize(
    ("sentence", "gone"),
    [
        ("send a mail instead of a slack message", "slack_message.create_message"),
        ("replace the slack message with sending a mail", "slack_message.create_message"),
        ("replace box with call dropbox_file.create_file", "box_file.create_file"),
        ("remove the step to create a new Jira issue", "jira_issue.create_issue"),
        ("replace the step to create a Jira issue with a step to send a mail", "jira_issue.create_issue"),
    ],
)
def test_a_step_is_found_by_the_system_that_it_calls(sentence: str, gone: str) -> None:
    found = changed(sentence)

    assert found.complete, found.questions
    left = [step.call.operation for step in found.revision.draft.definition.steps if step.call]  # type: ignore[union-attr]
    assert gone not in left
    assert len(left) == (2 if sentence.startswith("remove") else 3)


def test_a_step_is_not_found_by_what_the_process_is_about() -> None:
    assert not changed("remove the payment").complete


def test_two_steps_are_removed_whichever_depends_on_the_other() -> None:
    found = changed("remove look and block")

    assert found.complete, found.questions
    assert {"The step `look` was removed.", "The step `block` was removed."} <= set(sentences(found))


def test_an_action_that_is_not_understood_is_asked_about_before_its_place() -> None:
    (question,) = changed("if they reject it, dance").questions

    assert question.text.startswith("The catalog has no operation and no event for `dance`.")


@pytest.mark.parametrize(("name", "sentence"), [(CARDS, "wait 2,5 hours"), (TICKETS, "wait 2,5 hours")])
def test_a_number_keeps_its_answer_whatever_is_asked_next(name: str, sentence: str) -> None:
    (question,) = edited(name, sentence).questions

    assert [one.sentence for one in question.choices] == ["wait 2.5 hours"]


def test_a_warning_is_not_new_because_it_tells_of_another_value() -> None:
    found = changed("change the time limit to 2 hours")

    assert found.revision is not None
    assert found.revision.new_problems == ()
    assert any(problem.code == "SF222" for problem in problems_of(found.revision.draft, CATALOG))


def test_a_mistake_about_another_name_is_new() -> None:
    before = Draft.parse(DRAFT.replace("event.amount > 500", "event.amont > 500"))
    after = Draft.parse(DRAFT.replace("event.amount > 500", "event.amunt > 500"))
    old, new = problems_of(before, CATALOG), problems_of(after, CATALOG)

    assert [one.code for one in new_problems(before, old, after, new)] == ["SF270"]


@pytest.mark.parametrize(
    ("undo", "text"),
    [
        ("", "The run fails. Nothing is undone, because no step has an `undo`."),
        ("\n    undo: {operation: mail.send}", "The run fails, and what was done is undone."),
    ],
)
def test_an_answer_says_what_is_undone(undo: str, text: str) -> None:
    draft = Draft.parse(DRAFT.replace("slack_message.create_message}", "slack_message.create_message}" + undo))
    found = next(one for one in questions(draft, CATALOG, most=9) if one.kind == "no_failure_path")

    assert text in [choice.text for choice in found.choices]


def test_a_question_that_has_lost_its_answers_says_what_to_do() -> None:
    needing = parse_catalog(
        "operations: [{name: crm.erase, title: Erase a customer, input: "
        "{type: object, required: [who], properties: {who: {type: integer}}}}]"
    )
    catalog = CATALOG.model_copy(update={"operations": [*CATALOG.operations, *needing.operations]})
    (question,) = edit("after release, get the customer", Draft.parse(DRAFT), catalog).questions

    assert question.choices == ()
    assert question.text.endswith("Describe it by an operation or event of the catalog, or add one to the catalog.")


@pytest.mark.parametrize(
    "sentence", ["After block, ask sales and finance within 1 hour.", "Ask sales and finance instead of the analysts."]
)
def test_two_groups_joined_by_and_are_not_one(sentence: str) -> None:
    found = edited(CARDS, sentence)

    assert not found.operations
    assert any(one.blocks for one in found.questions)


@pytest.mark.parametrize(
    "sentence",
    [
        "Do not remove block.",
        "Never remove block.",
        "Don't remove the blocking.",
        "Do not rename score to risk.",
        "Please do not delete approve.",
        "I do not want to remove block.",
        "No longer remove block.",
        "Stop removing block.",
        "Do not replace block by hold.",
        "Never set the title of block to 'No'.",
        "Don't raise the limit to 800 euros.",
        "Block must not be removed.",
        "Rename score to risk, but do not remove block.",
        "Remove block but do not rename score to risk.",
    ],
)
def test_an_edit_that_is_denied_changes_nothing(sentence: str) -> None:
    found = edited(CARDS, sentence)

    assert not found.operations
    assert [one.text.endswith("so nothing is changed. What should change?") for one in found.questions] == [True]
    assert not any(question.choices for question in found.questions)


def test_what_a_step_does_may_be_done_no_more() -> None:
    catalog = parse_catalog("""
events: [{name: asset.lost, topics: [assets], key: {path: id}, schema: {type: object}}]
operations: [{name: asset.delete, title: Delete an asset}, {name: mail.send}]
""")
    draft = Draft.parse("""
streamflow: "1"
name: lost
version: "1"
on: [{id: lost, event: asset.lost}]
steps: [{id: gone, call: {operation: asset.delete}}, {id: tell, call: {operation: mail.send}}]
""")
    found = edit("Do not delete the asset any more.", draft, catalog)

    assert [(one.op, getattr(one, "step", None)) for one in found.operations] == [("remove_step", "gone")]


def test_a_text_of_very_many_edits_is_refused_before_any_is_made() -> None:
    part = "After score, also ask sales within 1 hour. "
    started = time.process_time()
    found = edited(CARDS, part * (MOST_PARTS + 1))
    took = time.process_time() - started

    assert not found.operations
    assert [(one.phrase, one.choices) for one in found.questions] == [(part.strip().rstrip("."), ())]
    assert found.questions[0].text.startswith("At most 20 changes are made at once, and these are 21.")
    assert took < 1
