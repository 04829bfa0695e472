"""From a sentence to a run: a definition is written in a conversation, without a language model, tried, approved by a
second person and published, and handles an event; and the run leads back to the sentence."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Page

from tests.conftest import eventually
from tests.web.browser import Watched
from tests.web.stage import PAYMENTS, WISH, Stage
from tests.web.test_sequence import typed

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

NAME = "payment-authorised-ask-analyst"
PAYMENT = {
    "id": "e-1",
    "type": "authorised",
    "payment": "P-1",
    "card": "4711",
    "amount_cents": 70_000,
    "country": "DE",
}


def test_from_a_sentence_to_a_run(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    visitor.go("/authoring", "tbody tr")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Title").fill("Large payments")
    page.get_by_role("combobox", name="Catalog").select_option("own")
    page.get_by_label("Catalog (YAML)").fill(PAYMENTS.read_text())
    page.get_by_role("button", name="Begin").click()

    understands_and_asks(visitor)
    lights_up_both_ways(page)
    edits_and_undoes(visitor, stage)
    tries(visitor)
    compares(page)
    approves_and_publishes(visitor)

    assert stage.ask("/events", {"event": "payment.authorised", "data": PAYMENT})["sent"] == 1
    eventually(lambda: stage.ask(f"/runs?definition={NAME}")["rows"], timeout=60)
    visitor.go(f"/runs?definition={NAME}", "tbody tr")
    page.locator("tbody tr").get_by_role("link").first.click()
    page.get_by_text("waits for a decision of analyst").wait_for()
    page.locator("[data-step=block]").wait_for()
    page.get_by_role("tab", name="Origin").click()
    page.get_by_role("list", name="How it was written").get_by_text(WISH).first.wait_for()
    visitor.check()


def understands_and_asks(visitor: Watched) -> None:
    page = visitor.page
    page.get_by_label("without a model").check()
    page.get_by_label("Message", exact=True).fill(WISH)
    page.keyboard.press("Enter")
    page.get_by_role("list", name="What was said").get_by_text("rules, not a language model").wait_for()
    understood = page.get_by_role("region", name="What was understood")
    understood.get_by_text("event.amount_cents > 50000").wait_for()
    assert understood.get_by_text("said", exact=True).count() > 0
    visitor.check()
    question = understood.get_by_role("group", name="What is done if they say no?")
    question.get_by_role("button", name="block it").click()
    proposed = page.get_by_role("region", name="Proposed changes")
    proposed.get_by_text("after ask_analyst was rejected").wait_for()
    proposed.get_by_role("button", name="Accept", exact=True).click()
    page.locator("[data-step=block]").wait_for()
    proposed.wait_for(state="hidden")


def lights_up_both_ways(page: Page) -> None:
    english = page.get_by_role("list", name="The draft in English")
    english.locator("li", has_text="analyst").first.focus()
    page.locator("[data-step=ask_analyst][data-lit]").wait_for()
    page.locator("[data-step=block]").focus()
    english.locator("li[data-lit]").first.wait_for()


def edits_and_undoes(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    id_ = page.url.partition("/authoring/")[2].partition("?")[0]

    def text() -> str:
        return str(stage.ask(f"/conversations/{id_}")["draft"]["text"])

    page.get_by_role("tab", name="YAML").click()
    editor = page.get_by_role("textbox", name="Draft, YAML")
    editor.wait_for()
    before = text()
    typed(editor, before.replace("within: 30m", "within: soon"))
    page.get_by_text("not ready").wait_for()
    page.get_by_label("Problems").get_by_role("button").first.click()
    visitor.check()
    typed(editor, before.replace("within: 30m", "within: 1h"))
    page.get_by_text("nothing is wrong").wait_for()
    page.get_by_role("button", name="Save as a revision").click()
    eventually(lambda: "within: 1h" in text())
    page.get_by_role("button", name="Undo").click()
    eventually(lambda: text() == before)
    page.get_by_role("button", name="Redo").click()
    eventually(lambda: "within: 1h" in text())
    page.get_by_role("tab", name="Diagram").click()
    page.locator("[data-step=ask_analyst]", has_text="changed").wait_for()


def tries(visitor: Watched) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Try").click()
    page.get_by_role("button", name="Make samples").click()
    page.get_by_role("status").get_by_text("end as expected").wait_for()
    page.reload()  # the conversation keeps them
    page.get_by_role("status").get_by_text("end as expected").wait_for()
    page.get_by_role("list", name="Samples").get_by_role("button", name="ask_analyst.timeout > block").click()
    page.locator("[data-step=block]", has_text="done").wait_for()
    visitor.check()


def compares(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("list", name="What changed").get_by_text("changed from 30m to 1h").wait_for()


def approves_and_publishes(visitor: Watched) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Approve").click()
    form = page.get_by_role("form", name="Approve this content")
    form.get_by_label("Who approves").fill("local")
    form.get_by_role("button", name="Approve").click()
    form.get_by_text("approval_own_work").wait_for()
    form.get_by_label("Who approves").fill("bob")
    form.get_by_role("button", name="Approve").click()
    page.get_by_text("not published yet").wait_for()
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("It is published: matching events").wait_for()
    page.get_by_text("published with it").wait_for()
    page.get_by_role("button", name="Promote").wait_for()
    visitor.check()
