"""What a person does with the application, from a start to an approval, and how it takes what goes wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Locator

from tests.web.browser import Watched
from tests.web.stage import REFUND, Stage

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]


def typed(editor: Locator, text: str) -> None:
    """Writes over all that an editor has, as a keyboard does: `fill` goes past the events of typing."""
    editor.press("Control+a")
    editor.page.keyboard.insert_text(text)


def test_start_and_approve(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/runs", "tbody tr")
    page.get_by_role("button", name="Start a run").click()
    dialog = page.get_by_role("dialog", name="Start a run")
    dialog.get_by_label("Definition").select_option("refund")
    dialog.get_by_label("Business key").fill("R-9")
    dialog.get_by_label("Input (JSON)").fill('{"amount": ')
    dialog.get_by_role("button", name="Start").click()
    dialog.get_by_text("The input is no JSON").wait_for()
    dialog.get_by_label("Input (JSON)").fill('{"amount": 12}')
    visitor.check()
    dialog.get_by_role("button", name="Start").click()
    page.get_by_text("waits for a decision of alice, managers").wait_for()

    page.get_by_role("link", name="Inbox").click()
    form = page.get_by_role("form", name="Decide ask of R-9")
    form.get_by_label("Who decides").fill("alice")
    form.get_by_role("button", name="Approve").click()
    form.get_by_text("Fill this in.").wait_for()
    visitor.check()
    form.get_by_label("note").fill("The customer is right.")
    form.get_by_role("button", name="Approve").click()
    form.wait_for(state="hidden")

    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("row").filter(has_text="R-9").get_by_text("completed").wait_for()


def test_the_cause_of_a_parked_run_is_first_and_it_is_repaired(visitor: Watched, stage: Stage) -> None:
    run = stage.start("calling", "C-9", {})
    page = visitor.page
    visitor.go(f"/runs/{run}", "#cause")
    cause = page.locator("section[aria-labelledby=cause]")
    cause.get_by_text("Step fetch failed").wait_for()
    cause.get_by_text("attempt 2").wait_for()
    cause.get_by_label("what was sent").get_by_text("127.0.0.1:9").first.wait_for()
    visitor.check()
    page.get_by_role("button", name="Skip", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Skip the step").click()
    cause.wait_for(state="hidden")
    page.get_by_text("completed").first.wait_for()


def test_values_at_any_moment(visitor: Watched, stage: Stage) -> None:
    page = visitor.page
    visitor.go(f"/runs/{stage.runs['done']}?tab=transitions", "text=approval given")
    page.get_by_role("button", name="approval given").click()
    page.get_by_role("button", name="Values at this moment").click()
    page.get_by_text("After transition 3 of").wait_for()
    page.get_by_role("slider", name="Transition").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("After transition 2 of").wait_for()
    page.wait_for_url("**seq=2*")
    visitor.check()


def test_a_bulk_job_is_previewed_first(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/runs?status=parked&key=C-1", "tbody tr")
    page.get_by_role("button", name="Act on all").click()
    dialog = page.get_by_role("dialog", name="Act on all runs of this list")
    dialog.get_by_text("1 runs").wait_for()
    dialog.get_by_label("Reason").fill("the service is back")
    visitor.check()
    dialog.get_by_role("button", name="Start").click()
    dialog.get_by_text("1 of 1 done, 0 refused.").wait_for()


def test_the_heat_map_counts_every_branch(visitor: Watched) -> None:
    visitor.go("/definitions/refund?version=2", "[data-step]")
    visitor.page.get_by_label("traffic of every branch").check()
    visitor.page.get_by_text("approved · ").first.wait_for()
    visitor.check()


def test_a_definition_is_written_checked_and_published(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/definitions/new", ".cm-line")
    editor = page.get_by_role("textbox", name="Definition, YAML")
    typed(editor, REFUND.strip().replace("name: refund", "name: written").replace("runs: many", "runs: perhaps"))
    page.get_by_text("not ready").wait_for()
    visitor.check()
    page.get_by_label("Problems").get_by_role("button").first.click()
    typed(editor, REFUND.strip().replace("name: refund", "name: written"))
    page.get_by_text("written@1 can be published.").wait_for()
    page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog", name="Publish written@1")
    visitor.check()
    dialog.get_by_role("button", name="Publish").click()
    dialog.get_by_text("It is published").wait_for()
    dialog.get_by_role("link", name="Look at it").click()
    page.locator("[data-step=ask]").wait_for()


def test_scenarios_show_what_they_reach(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/definitions/order-fulfilment", "[data-step]")
    page.get_by_label("what scenarios reach").check()
    page.get_by_role("status").get_by_text("branches.").wait_for()
    page.locator("[data-step=ship]", has_text="reached").wait_for()
    visitor.check()
    first = page.get_by_role("list", name="Scenarios").get_by_role("button").first
    first.click()
    page.locator("[data-step]", has_text="done").first.wait_for()
    first.click()
    page.locator("[data-step=ship]", has_text="reached").wait_for()


def test_a_definition_starts_from_a_sample(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/definitions", "tbody tr")
    page.get_by_role("button", name="From a sample").click()
    dialog = page.get_by_role("dialog", name="Start from a sample")
    visitor.check()
    dialog.get_by_role("link", name="loan-application").click()
    page.get_by_text("loan-application@1 can be published.").wait_for()
    page.get_by_role("button", name="Play the scenarios").click()
    page.get_by_text("passed").first.wait_for()
    page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog", name="Publish loan-application@1")
    dialog.get_by_role("button", name="Publish").click()
    dialog.get_by_role("link", name="Look at it").click()
    page.get_by_label("what scenarios reach").check()
    page.get_by_role("list", name="Scenarios").get_by_role("button").first.wait_for()  # they were published with it


def test_a_server_that_does_not_answer_is_said(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/workers", "text=default")
    page.route("**/api/v1/definitions", lambda route: route.abort())
    page.get_by_role("link", name="Definitions").click()
    page.get_by_role("alert").get_by_text("The server does not answer.").wait_for()
    visitor.check()
    page.unroute("**/api/v1/definitions")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("tbody tr")
