"""Pages with nothing on them, with very much, and with names that have no end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page, Route, expect

from tests.conftest import TEST_ALL
from tests.web.browser import LOOKS, Watched, opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

LONG = "x" * 190
MANY = 10_000
SHOWN_S = 30  # until the first of ten thousand rows are there: a bound for a page that hangs, not a figure


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("extremes")) as made:
        yield made


@pytest.fixture
def visitor(browser: Browser, sidecar: MemorySidecar) -> Iterator[Watched]:
    with opened(browser, sidecar.address) as watched:
        yield watched


def answered(page: Page, path: str, value: Any) -> None:
    """Has the API answer a path with `value`."""
    body = json.dumps(value)
    page.route(f"**/api/v1{path}", lambda route: route.fulfill(content_type="application/json", body=body))


EMPTY: dict[str, tuple[str, dict[str, Any], str]] = {
    "runs": ("/runs", {"/runs?*": {"rows": [], "next": None}}, "There is no run yet."),
    "nothing published": (
        "/runs",
        {"/runs?*": {"rows": [], "next": None}, "/definitions": {"rows": [], "next": None}},
        "nothing that could run",
    ),
    "definitions": ("/definitions", {"/definitions": {"rows": [], "next": None}}, "Say it in plain English"),
    "authoring": ("/authoring", {"/conversations*": {"rows": [], "next": None}}, "Begin one: give it a title"),
    "inbox": ("/inbox", {"/approvals": []}, "What a run asks for appears here at once."),
    "trouble": ("/trouble", {"/trouble/rows*": {"rows": [], "next": None}}, "There is no trouble."),
    "catalog": ("/catalog", {"/catalog/events": {"rows": [], "next": None}}, "There is no event yet."),
    "audit": ("/audit", {"/audit*": {"rows": [], "next": None}}, "Nothing was changed yet."),
    "keys": ("/keys", {}, "Make a key for each program"),
    "users": ("/users", {}, "A grant says what a user or a group may do"),
    "jobs": ("/jobs", {}, "list of runs"),
    "no page": ("/nowhere", {}, "There is no page at this address."),
}


@pytest.mark.parametrize("name", EMPTY if TEST_ALL else ["runs", "authoring", "no page"])
def test_an_empty_page_says_what_to_do_next(visitor: Watched, name: str) -> None:
    path, answers, text = EMPTY[name]
    for asked, value in answers.items():
        answered(visitor.page, asked, value)
    visitor.go(path, f"text={text}")
    visitor.check()
    visitor.look("phone", dark=True)
    visitor.page.wait_for_selector("html.dark")
    visitor.check(LOOKS)


def test_names_without_end_stay_on_the_page(visitor: Watched, sidecar: MemorySidecar) -> None:
    run = sidecar.begin(LONG)
    talk = sidecar.ask("/conversations", {"title": LONG})["conversation"]
    sidecar.ask(f"/conversations/{talk}/comments", {"text": LONG * 3})
    for path, ready in (
        ("/runs", "tbody tr"),
        (f"/runs?key={LONG}", "tbody tr"),
        (f"/runs/{run}", "[data-step]"),
        ("/inbox", "text=Pay 5 back?"),
        ("/authoring", "tbody tr"),
        (f"/authoring/{talk}", "#main select"),
    ):
        visitor.go(path, ready)
        for size in ("wide", "phone"):
            visitor.look(size, dark=False)
            visitor.check(LOOKS)


def test_ten_thousand_rows_are_shown_bit_by_bit(visitor: Watched) -> None:
    page = visitor.page
    row = {"version": "1", "versions": 1, "title": "One of many", "published_ms": 1, "retired": False}
    answered(page, "/definitions", {"rows": [row | {"definition": f"many-{n}"} for n in range(MANY)], "next": None})
    began = time.monotonic()
    visitor.go("/definitions", "tbody tr")
    assert time.monotonic() - began < SHOWN_S
    expect(page.locator("tbody tr")).to_have_count(200)
    page.get_by_text("200 of 10,000 are shown.").wait_for()
    visitor.check()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("tbody tr")).to_have_count(400)
    page.get_by_label("Search definitions").fill("many-9999")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_ten_thousand_approvals_are_shown_bit_by_bit(visitor: Watched) -> None:
    page = visitor.page
    item = {
        "definition": "refund",
        "version": "1",
        "step": "ask",
        "text": "Pay it back?",
        "who": ["alice"],
        "form": {"type": "object", "properties": {"note": {"type": "string"}}},
        "asked_ms": 1,
        "due_ms": None,
    }
    answered(page, "/approvals", [item | {"run": f"r-{n}", "key": f"K-{n}"} for n in range(MANY)])
    visitor.go("/inbox", "text=20 of 10,000 are shown.")
    expect(page.locator("main form")).to_have_count(20)
    page.get_by_role("navigation").get_by_text("10,000").wait_for()
    visitor.check()


def test_a_server_that_is_away_is_said_above_what_is_old(visitor: Watched) -> None:
    page = visitor.page
    page.add_init_script("window.WebSocket = class { close() {} send() {} }")
    visitor.go("/workers", "text=Lanes")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_text("the server does not answer", exact=True).wait_for()
    visitor.look("phone", dark=False)
    page.get_by_text("the server does not answer", exact=True).wait_for()
    visitor.check()
    page.unroute("**/api/**")
    page.get_by_text("the server does not answer", exact=True).wait_for(state="hidden")


def test_a_view_is_kept_without_a_prompt_and_removed(browser: Browser, sidecar: MemorySidecar) -> None:
    with opened(browser, sidecar.address) as watched:
        page = watched.page
        views: list[dict[str, Any]] = []
        me = sidecar.ask("/me") | {"id": "u-1", "name": "ann"}
        answered(page, "/me", me)

        def views_of(route: Route) -> None:
            if route.request.method == "PUT":
                views.append(json.loads(route.request.post_data or "{}") | {"id": "open-ones"})
            elif route.request.method == "DELETE":
                views.clear()
            route.fulfill(content_type="application/json", body=json.dumps(views))

        page.route("**/api/v1/views**", views_of)
        watched.go("/runs?status=open", "text=Save view")
        page.get_by_role("button", name="Save view").click()
        dialog = page.get_by_role("dialog", name="Views")
        dialog.get_by_label("Name of this view").fill("Open ones")
        watched.check()
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="hidden")
        page.get_by_role("combobox", name="Saved views").select_option(label="Open ones")
        page.get_by_role("button", name="Save view").click()
        dialog.get_by_role("button", name="Remove Open ones").click()
        dialog.get_by_role("button", name="Remove Open ones").wait_for(state="hidden")


def test_a_part_that_another_version_took_away_is_loaded_again(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/workers", "text=Lanes")
    page.route("**/assets/DefinitionsPage-*.js", lambda route: route.abort())
    page.get_by_role("link", name="Definitions").click()
    page.get_by_role("alert").get_by_text("A part of this page could not be loaded").wait_for()
    page.unroute("**/assets/DefinitionsPage-*.js")
    page.get_by_role("button", name="Load again").click()
    page.wait_for_selector("tbody tr")


def test_the_focus_and_the_title_go_with_the_page(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/workers", "text=Lanes")
    expect(page).to_have_title("Lanes and workers · Streamflow")
    page.get_by_role("link", name="Definitions").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="refund").wait_for()
    expect(page.locator("#main")).to_be_focused()
    expect(page).to_have_title("Definitions · Streamflow")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search definitions")).to_be_focused()
    page.get_by_role("link", name="refund").click()
    expect(page).to_have_title("refund · Streamflow")
    page.go_back()
    expect(page).to_have_title("Definitions · Streamflow")


def test_what_is_old_is_said_to_be_old(visitor: Watched) -> None:
    page = visitor.page
    page.add_init_script("window.WebSocket = class { close() {} send() {} }")
    visitor.go("/definitions", "tbody tr")
    problem = {"code": "broker_unavailable", "detail": "The broker does not answer. Look whether it runs."}
    page.route(
        "**/api/v1/definitions",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem)),
    )
    page.get_by_role("alert").get_by_text("This is what was known at").wait_for()
    page.get_by_role("alert").get_by_text("broker_unavailable").wait_for()
    assert page.locator("tbody tr").count() > 0
    visitor.check()
    page.unroute("**/api/v1/definitions")
    page.get_by_role("alert").wait_for(state="hidden")


def test_what_was_begun_is_kept_by_the_tab(visitor: Watched) -> None:
    page = visitor.page
    visitor.go("/definitions/new", "text=refund@1 can be published.")  # what one begins with is right
    page.get_by_role("textbox", name="Definition, YAML").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("# begun\n")
    page.get_by_role("button", name="Discard changes").wait_for()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.go_back()
    expect(page.get_by_role("textbox", name="Definition, YAML")).to_contain_text("# begun")
    page.reload()
    expect(page.get_by_role("textbox", name="Definition, YAML")).to_contain_text("# begun")
    page.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_role("textbox", name="Definition, YAML")).not_to_contain_text("# begun")
    visitor.check()
