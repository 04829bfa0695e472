"""Two people on one conversation: each sees at once what the other does, over a stream, without one, and after the
server was away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page, Route, expect

from tests.conftest import eventually, only_full
from tests.web.browser import Watched, opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar
from tests.web.stage import PAYMENTS, WISH

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

EVENTS = re.compile(r"/conversations/[^/]+/events")


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("talk")) as made:
        yield made


@pytest.fixture
def two(browser: Browser, sidecar: MemorySidecar) -> Iterator[tuple[Watched, Watched]]:
    """The pages of two people."""
    with ExitStack() as both:
        ann, bob = (both.enter_context(opened(browser, sidecar.address)) for _ in range(2))
        yield ann, bob


def begun(sidecar: MemorySidecar, title: str) -> str:
    """The path of a new conversation over the catalog of payments."""
    body = {"title": title, "catalog": PAYMENTS.read_text()}
    return f"/authoring/{sidecar.ask('/conversations', body)['conversation']}"


def way(page: Page, text: str) -> None:
    """Waits until the page says how it hears of changes."""
    page.get_by_role("status", name="Changes by others").get_by_text(text).wait_for()


def say(page: Page, text: str) -> None:
    page.get_by_label("without a model").check()
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def comment(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Comment").click()


def said(page: Page, text: str) -> None:
    page.get_by_role("list", name="What was said").get_by_text(text).wait_for()


def test_two_people_see_what_the_other_one_does(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    path = begun(sidecar, "Together")
    ann, bob = (one.page for one in two)
    for one in two:
        one.go(path, "text=Nothing changes before you accept it")
        way(one.page, "live")
    say(ann, WISH)
    said(bob, WISH)
    said(bob, "rules, not a language model")
    bob.get_by_role("region", name="Proposed changes").get_by_role("button", name="Accept", exact=True).click()
    ann.locator("[data-step=ask_analyst]").wait_for()
    ann.get_by_role("region", name="Proposed changes").wait_for(state="hidden")
    comment(ann, "The limit is the one of last year.")
    said(bob, "The limit is the one of last year.")
    bob.get_by_role("button", name="Rename").click()
    bob.get_by_role("dialog").get_by_label("Title").fill("Large payments")
    bob.get_by_role("dialog").get_by_role("button", name="Rename", exact=True).click()
    expect(ann.get_by_role("combobox", name="Conversation").locator("option:checked")).to_have_text("Large payments")
    expect(ann).to_have_title("Large payments · Streamflow")
    for one in two:
        one.check()


def test_the_list_is_told_of_another_ones_conversation(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    ann, bob = two
    begun(sidecar, "A first one")
    ann.go("/authoring", "tbody tr")
    bob.go("/authoring", "tbody tr")
    bob.page.get_by_role("button", name="New conversation").click()
    bob.page.get_by_role("dialog").get_by_label("Title").fill("From another desk")
    bob.check()
    bob.page.get_by_role("dialog").get_by_role("button", name="Begin").click()
    bob.page.wait_for_url("**/authoring/*")
    ann.page.get_by_role("row").filter(has_text="From another desk").wait_for()


def test_after_a_cut_nothing_is_missing_or_there_twice(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    path = begun(sidecar, "Cut off")
    ann, bob = (one.page for one in two)
    for one in two:
        one.go(path, "text=Nothing changes before you accept it")
        way(one.page, "live")
    comment(ann, "before the cut")
    said(bob, "before the cut")
    asked: list[str] = []
    bob.on("request", lambda request: asked.append(request.headers.get("last-event-id", request.url)))
    sidecar.cut()
    sidecar.ask(f"/conversations{path.removeprefix('/authoring')}/comments", {"text": "while it was cut"})
    said(bob, "while it was cut")
    way(bob, "live")
    comment(ann, "after it")
    said(bob, "after it")
    items = bob.get_by_role("list", name="What was said").locator("li")
    assert items.filter(has_text="before the cut").count() == 1
    assert items.filter(has_text="while it was cut").count() == 1
    assert "0" not in [one for one in asked if one.isdigit()]  # it goes on where it was
    bob.reload()
    said(bob, "after it")
    assert items.count() == 3


def test_where_no_stream_comes_through_it_asks(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    def refuse(route: Route) -> None:
        if route.request.headers["accept"] == "text/event-stream":
            route.abort()
        else:
            route.continue_()

    path = begun(sidecar, "Behind a proxy")
    ann, bob = (one.page for one in two)
    bob.route(EVENTS, refuse)
    bob.add_init_script("window.WebSocket = class { close() {} send() {} }")
    two[0].go(path, "text=Nothing changes before you accept it")
    two[1].go(path, "text=Nothing changes before you accept it")
    way(bob, "asking every 2 s")
    say(ann, WISH)
    said(bob, WISH)
    bob.get_by_role("region", name="Proposed changes").wait_for()
    two[1].check()
    bob.unroute(EVENTS)
    way(bob, "live")


def test_a_server_that_is_away_is_said_and_what_was_written_stays(
    two: tuple[Watched, Watched], sidecar: MemorySidecar
) -> None:
    path = begun(sidecar, "Away")
    watched, _ = two
    page = watched.page
    watched.go(path, "text=Nothing changes before you accept it")
    way(page, "live")
    page.get_by_label("Message", exact=True).fill("half of a sentence")
    page.route("**/api/**", lambda route: route.abort())
    sidecar.cut()
    way(page, "no answer")
    watched.check()
    sidecar.ask(f"/conversations{path.removeprefix('/authoring')}/comments", {"text": "meanwhile"})
    page.unroute("**/api/**")
    said(page, "meanwhile")
    way(page, "live")
    page.reload()
    expect(page.get_by_label("Message", exact=True)).to_have_value("half of a sentence")


def test_yaml_that_was_begun_stays_when_another_one_is_first(
    two: tuple[Watched, Watched], sidecar: MemorySidecar
) -> None:
    path = begun(sidecar, "Conflict")
    ann, bob = (one.page for one in two)
    for one in two:
        one.go(f"{path}?tab=yaml", ".cm-line")
    editor = ann.get_by_role("textbox", name="Draft, YAML")
    editor.click()
    ann.keyboard.press("Control+End")
    ann.keyboard.insert_text("# by ann\n")
    ann.get_by_text("not saved").wait_for()
    ann.get_by_role("tab", name="Diagram").click()
    ann.get_by_text("Say in the chat what should happen.").wait_for()
    ann.get_by_role("tab", name="YAML").click()
    ann.get_by_text("not saved").wait_for()
    bob.get_by_role("textbox", name="Draft, YAML").click()
    bob.keyboard.press("Control+End")
    bob.keyboard.insert_text("# by bob\n")
    bob.get_by_role("button", name="Save as a revision").click()
    ann.get_by_role("alert").get_by_text("You began on revision").wait_for()
    two[0].check()
    ann.reload()
    expect(editor).to_contain_text("# by ann")
    ann.get_by_role("button", name="Save over revision").click()
    expect(bob.get_by_role("textbox", name="Draft, YAML")).to_contain_text("# by ann")
    ann.get_by_role("alert").wait_for(state="hidden")


def test_what_is_deleted_is_said_to_the_other_one(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    path = begun(sidecar, "To be deleted")
    ann, bob = (one.page for one in two)
    for one in two:
        one.go(path, "text=Nothing changes before you accept it")
        way(one.page, "live")
    bob.get_by_role("button", name="Delete").click()
    bob.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    ann.get_by_text("The conversation “To be deleted” was deleted.").wait_for()
    two[0].check()
    ann.get_by_role("link", name="All conversations").click()
    ann.wait_for_url("**/authoring")
    ann.get_by_role("heading", name="Authoring").wait_for()


def test_who_reads_further_up_is_not_taken_away(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    path = begun(sidecar, "A long one")
    watched, _ = two
    page = watched.page
    for number in range(30):
        sidecar.ask(f"/conversations{path.removeprefix('/authoring')}/comments", {"text": f"comment {number}\n" * 3})
    watched.go(path, "text=comment 29")
    way(page, "live")
    box = page.get_by_role("region", name="Messages")
    eventually(lambda: box.evaluate("box => box.scrollTop") > 0)
    box.evaluate("box => box.scrollTo({ top: 0 })")
    newest = page.get_by_role("button", name="To what is newest")
    newest.wait_for()
    sidecar.ask(f"/conversations{path.removeprefix('/authoring')}/comments", {"text": "the newest one"})
    said(page, "the newest one")
    assert box.evaluate("box => box.scrollTop") == 0
    watched.check()
    newest.click()
    newest.wait_for(state="hidden")
    assert box.evaluate("box => box.scrollTop") > 0


@only_full  # test_who_reads_further_up_is_not_taken_away has a shorter one
def test_a_long_talk_shows_its_end_first(two: tuple[Watched, Watched], sidecar: MemorySidecar) -> None:
    path = begun(sidecar, "Very long")
    watched, _ = two
    for number in range(450):
        sidecar.ask(f"/conversations{path.removeprefix('/authoring')}/comments", {"text": f"comment {number}."})
    watched.go(path, "text=comment 449.")
    items = watched.page.get_by_role("list", name="What was said").locator("li")
    expect(items).to_have_count(200)
    watched.page.get_by_role("button", name="Show what was said before (250)").click()
    expect(items).to_have_count(400)
