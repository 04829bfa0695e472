"""Every page: accessible, within its policy, from its own host, and small."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser

from tests.conftest import TEST_ALL, eventually
from tests.web.browser import LOOKS, Watched, opened
from tests.web.pages import NAMES, page_of
from tests.web.stage import Stage

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

FIRST_LOAD = 200_000  # bytes, as they are sent
LATER = ("Yaml-", "Chart-")  # what a page shows before it has these is complete
CHUNK = 150_000


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_no_fault(visitor: Watched, stage: Stage, name: str) -> None:
    visitor.go(*page_of(stage, name))
    visitor.check()
    visitor.look("phone", dark=True)
    visitor.page.wait_for_selector("html.dark")
    visitor.check(LOOKS)


@pytest.mark.parametrize("name", NAMES if TEST_ALL else ["run-parked"])  # the build weighs them all
def test_the_first_load_is_small(browser: Browser, stage: Stage, name: str) -> None:
    with opened(browser, stage.address) as watched:
        watched.go(*page_of(stage, name))
        sent = watched.sent()
        later = {path: size for path, size in sent.items() if path.rpartition("/")[2].startswith(LATER)}
        assert 100_000 < sum(sent.values()) - sum(later.values()) <= FIRST_LOAD
        assert all(size <= CHUNK for size in later.values())


def test_the_watch_sees_every_kind_of_fault(browser: Browser, stage: Stage) -> None:
    with opened(browser, stage.address) as watched:
        watched.go("/runs", "tbody tr")
        watched.page.evaluate(
            """() => {
                const style = document.createElement("style");
                style.textContent = "body { color: red }";
                document.head.append(style);
                const image = document.createElement("img");
                image.src = "/mark.svg";
                document.querySelector("main").append(image);
                const script = document.createElement("script");
                script.src = "https://elsewhere.invalid/x.js";
                document.head.append(script);
                setTimeout(() => { throw new Error("planted"); });
            }"""
        )
        eventually(lambda: watched.page.evaluate("faults.length") >= 2 and watched.faults)
        found = watched.page.evaluate("faults.join()")
        assert "style-src" in found
        assert "script-src" in found
        assert any("image-alt" in sentence for sentence in watched.axe())
        assert any("planted" in fault for fault in watched.faults)


def test_a_deep_link_and_the_back_button_keep_the_filter(browser: Browser, stage: Stage) -> None:
    with opened(browser, stage.address) as watched:
        page = watched.page
        watched.go("/runs?status=parked&key=C-1", "tbody tr")
        assert page.locator("tbody tr").count() == 1
        page.get_by_role("link", name=stage.runs["parked"][:13]).click()
        page.wait_for_url(f"**/runs/{stage.runs['parked']}")
        page.go_back()
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 1
        page.get_by_role("button", name="Remove the filter key C-1").click()
        page.wait_for_url("**/runs?status=parked")


def test_everything_is_reached_by_keyboard(browser: Browser, stage: Stage) -> None:
    with opened(browser, stage.address) as watched:
        page = watched.page
        watched.go("/runs", "tbody tr")
        page.keyboard.press("g")
        page.keyboard.press("d")
        page.wait_for_url("**/definitions")
        page.keyboard.press("/")
        page.get_by_role("combobox", name="Run, key, event or step").fill("C-1")
        page.get_by_role("option", name="C-1").wait_for()
        watched.check()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/runs/{stage.runs['parked']}")
        page.locator("[data-step=fetch]").focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Step fetch", exact=True).wait_for()
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keys").wait_for()
        watched.check()
        page.keyboard.press("Escape")
        page.get_by_role("dialog", name="Keys").wait_for(state="hidden")


def test_the_drawer_of_a_phone_leads_to_every_page(browser: Browser, stage: Stage) -> None:
    with opened(browser, stage.address, size="phone") as watched:
        watched.go("/runs", "tbody tr")
        watched.page.get_by_role("button", name="Menu").click()
        watched.page.get_by_role("dialog", name="Menu").wait_for()
        watched.check()
        watched.page.get_by_role("link", name="Inbox").click()
        watched.page.wait_for_url("**/inbox")
        watched.page.get_by_role("dialog", name="Menu").wait_for(state="hidden")


def test_colours_follow_the_system_until_they_are_chosen(browser: Browser, stage: Stage) -> None:
    with opened(browser, stage.address) as watched:
        watched.go("/runs", "tbody tr")
        watched.look("wide", dark=True)
        watched.page.get_by_role("button", name="Light colours").wait_for()
        watched.look("wide", dark=False)
        watched.page.get_by_role("button", name="Dark colours").click()
        watched.page.reload()
        watched.page.get_by_role("button", name="Light colours").wait_for()
        assert watched.page.evaluate("document.documentElement.className") == "dark"
