"""A conversation with a language model that a script plays: the whole way from a request to production, two people at
once, and a turn that is followed and cancelled."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page, expect

from streamflow.cli.demo_recording import recording
from tests.conftest import eventually, only_full
from tests.scripted_model import Answer, Call
from tests.web.browser import Watched, opened
from tests.web.stage import PAYMENTS, Stage

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

PUBLISHED = "large-payments"


def payment(id: str, cents: int) -> dict[str, Any]:
    return {"id": f"m-{id}", "type": "authorised", "payment": id, "card": "1", "amount_cents": cents, "country": "DE"}


def recorded() -> Iterator[Answer]:
    """The model's answers of the demo."""
    for one in recording().answers:
        yield Answer(one.text, tuple(Call(call.name, json.dumps(call.arguments)) for call in one.calls))


def understood(text: str) -> Call:
    said = {"origin": "said", "text": text, "steps": []}
    return Call("understand", json.dumps({"statements": [said], "questions": []}))


def begun(stage: Stage, title: str) -> str:
    """The id of a new conversation over the catalog of payments."""
    return str(stage.ask("/conversations", {"title": title, "catalog": PAYMENTS.read_text()})["conversation"])


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def accept(page: Page) -> None:
    proposed = page.get_by_role("region", name="Proposed changes")
    proposed.get_by_role("button", name="Accept", exact=True).click()
    proposed.wait_for(state="hidden")


@only_full
def test_from_a_request_to_production(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    stage.model.will_say(*recorded())
    visitor.go(f"/authoring/{begun(stage, 'Large payments')}", "text=Nothing changes before you accept it")
    is_clarified_and_repaired(visitor)
    is_tried_and_edited(visitor)
    is_approved_and_published(visitor)

    stage.ask("/events", {"event": "payment.authorised", "data": payment("M-1", 70_000)})
    stage.ask("/events", {"event": "payment.authorised", "data": payment("M-2", 20_000)})
    eventually(lambda: stage.ask(f"/runs?definition={PUBLISHED}")["rows"], timeout=60)
    [asked] = [one for one in stage.ask("/approvals") if one["key"] == "M-1"]
    decision = {"decision": "rejected", "by": "carol", "groups": ["analysts"]}
    stage.ask(f"/runs/{asked['run']}/approvals/review", decision)
    eventually(lambda: stage.ask(f"/runs/{asked['run']}")["status"] == "completed", timeout=60)

    is_replayed(visitor, stage)
    visitor.go(f"/runs/{asked['run']}?tab=origin", "text=How it was written")
    chain = page.get_by_role("list", name="How it was written")
    chain.get_by_text("Give the analysts an hour.").wait_for()
    chain.get_by_text("What happens when the analyst says no?").wait_for()
    visitor.check()


def is_clarified_and_repaired(visitor: Watched) -> None:
    page, turns = visitor.page, recording().turns
    say(page, turns[0].message)
    understood = page.get_by_role("region", name="What was understood")
    question = understood.get_by_role("group", name="What happens when the analyst says no?")
    question.get_by_role("button", name="Block the payment.").click()
    page.get_by_text("1 refused").wait_for()
    page.locator("[data-step=review]", has_text="added").wait_for()  # before anything is accepted
    expect(page.get_by_label("with the proposed changes")).to_be_checked()
    visitor.check()
    accept(page)
    page.locator("[data-step=block]").wait_for()


def is_tried_and_edited(visitor: Watched) -> None:
    page, turns = visitor.page, recording().turns
    page.get_by_role("tab", name="Try").click()
    page.get_by_role("button", name="Make samples").click()
    page.get_by_role("status").get_by_text("end as expected").wait_for()
    say(page, turns[2].message)
    accept(page)
    page.get_by_role("list", name="What was said").get_by_text("this one now ends differently").wait_for()
    page.get_by_role("button", name="That was meant: expect it").click()
    page.get_by_role("status").get_by_text("end as expected").wait_for()
    visitor.check()


def is_approved_and_published(visitor: Watched) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Approve").click()
    form = page.get_by_role("form", name="Approve this content")
    form.get_by_label("Who approves").fill("bob")
    form.get_by_role("button", name="Approve").click()
    page.get_by_text("not published yet").wait_for()
    page.get_by_text("local, assistant").wait_for()
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("published with it").wait_for()
    promotion = page.get_by_role("button", name="Promote")
    page.get_by_label("Environment").fill("prod")
    page.get_by_label("Who promotes").fill("ann")
    promotion.click()
    page.get_by_text("It is published in prod.").wait_for()
    visitor.check()


def is_replayed(visitor: Watched, stage: Stage) -> None:
    """A lower limit: of the payments that came, another one would have started a run."""
    page = visitor.page
    found = stage.ask(f"/definitions/{PUBLISHED}/versions/1")
    text = re.sub("^version: .*$", 'version: "2"', found["yaml"].replace("> 50000", "> 10000"), flags=re.MULTILINE)
    begun = stage.ask("/conversations", {"title": "A lower limit", "definition": text, "catalog": PAYMENTS.read_text()})
    visitor.go(f"/authoring/{begun['conversation']}?tab=compare", "text=Earlier runs")
    page.get_by_role("button", name="Replay").click()
    page.get_by_text("1 runs against version 1: 1 the same").wait_for()
    page.get_by_label("What is replayed").select_option("what came in the last hour")
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("row").filter(has_text="M-2").get_by_text("different").wait_for()
    visitor.check()


def test_a_turn_is_shown_as_it_comes_and_can_be_cancelled(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    stage.model.will_say(
        Answer("I look at the catalog first, then I write.", trouble="silence", pieces_until=2, piece_chars=30)
    )
    id = begun(stage, "A long answer")
    visitor.go(f"/authoring/{id}", "text=Nothing changes before you accept it")
    say(page, "Hold every payment.")
    page.get_by_text("I look at the").wait_for()  # the answer has not ended, and never does
    page.get_by_text("The assistant is at work.").wait_for()
    began = time.monotonic()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("This was cancelled.").wait_for()
    assert time.monotonic() - began < 30
    page.get_by_role("button", name="Send").wait_for()
    assert stage.ask(f"/conversations/{id}")["revision"] == 1
    visitor.check()


@only_full
def test_a_plan_is_confirmed_before_anything_is_proposed(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    hold = {
        "id": "hold",
        "emit": {
            "event": "payment.held",
            "data": [{"name": "payment", "expr": "trigger.payment"}, {"name": "reasons", "expr": "['x']"}],
        },
    }
    trigger = {"op": "set_trigger", "trigger": {"id": "paid", "event": "payment.authorised"}}
    operations = {"operations": [trigger, {"op": "add_step", "step": hold}]}
    stage.model.will_say(
        Answer(calls=(understood("Every payment is held."),)),
        Answer(calls=(Call("apply", json.dumps(operations)),)),
        Answer("Done."),
    )
    id = begun(stage, "A plan")
    visitor.go(f"/authoring/{id}", "text=Nothing changes before you accept it")
    page.get_by_role("radio", name="Plan").check(force=True)
    say(page, "Hold every payment.")
    page.get_by_role("region", name="What was understood").get_by_text("Every payment is held.").wait_for()
    assert stage.ask(f"/conversations/{id}")["proposal"] is None
    page.get_by_role("button", name="Yes, go on").click()
    accept(page)
    page.locator("[data-step=hold]").wait_for()
    visitor.check()


@only_full
def test_two_people_see_each_others_changes_at_once(browser: Browser, visitor: Watched, stage: Stage) -> None:
    id = begun(stage, "Two people")
    visitor.go(f"/authoring/{id}", "text=Nothing changes before you accept it")
    first = visitor.page
    with opened(browser, stage.address) as other:
        second = other.page
        other.go(f"/authoring/{id}", "text=Nothing changes before you accept it")
        first.get_by_label("Message", exact=True).fill("Is this the right catalog?")
        first.get_by_role("button", name="Comment").click()
        second.get_by_role("list", name="What was said").get_by_text("Is this the right catalog?").wait_for()
        seen = stage.ask(f"/conversations/{id}")["revision"]
        stage.model.will_say(Answer("Nothing to do."))
        say(second, "What is there?")
        first.get_by_role("list", name="What was said").get_by_text("Nothing to do.").wait_for()
        first.get_by_label("Message", exact=True).wait_for()
        assert stage.ask(f"/conversations/{id}")["revision"] == seen
        first.get_by_role("button", name="Rename").click()
        dialog = first.get_by_role("dialog", name="Rename the conversation")
        dialog.get_by_label("Title").fill("Two people, renamed")
        dialog.get_by_role("button", name="Rename").click()
        expect(second.get_by_role("heading", level=1, name="Two people, renamed")).to_be_attached()
        other.check()
    visitor.check()


@only_full
def test_a_draft_is_shared_and_deleted(browser: Browser, visitor: Watched, stage: Stage) -> None:
    page, id = visitor.page, begun(stage, "To share")
    visitor.go(f"/authoring/{id}", "text=Nothing changes before you accept it")
    page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share the draft")
    dialog.get_by_role("button", name="Make a link").click()
    link = dialog.get_by_label("Link").input_value()
    visitor.check()
    with opened(browser, stage.address) as reader:
        reader.go(link.removeprefix(stage.address), "text=The draft has no steps yet.")
        reader.page.get_by_role("heading", name="To share").wait_for()
        reader.check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/authoring")
    page.get_by_role("heading", name="Authoring").wait_for()
    assert id not in [row["conversation"] for row in stage.ask("/conversations")["rows"]]
