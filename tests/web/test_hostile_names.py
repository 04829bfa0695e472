"""HTML and Mermaid in what people write: the pages of a conversation show it as text, and run nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, expect

from tests.web.browser import Watched, opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar
from tests.web.stage import PAYMENTS

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

RUNS = "window.owned = 1"
NASTY = {
    "title": f"<img src=x onerror='{RUNS}'> process",
    "step": f"<script>{RUNS}</script> step",
    "comment": f'"]; click n0 "javascript:{RUNS}" comment',
    "message": f"</p><svg onload='{RUNS}'> %%{{init: {{'securityLevel': 'loose'}}}}%% message",
    "conversation": f"<iframe srcdoc='<script>parent.{RUNS}</script>'></iframe> conversation",
}
STRANGE = "img[src=x], svg[onload], iframe, [onerror], [onload], a[href^=javascript]"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture
def visitor(browser: Browser, sidecar: MemorySidecar) -> Iterator[Watched]:
    with opened(browser, sidecar.address) as watched:
        yield watched


@pytest.fixture(scope="module")
def conversation(sidecar: MemorySidecar) -> str:
    """The path of a conversation with all of it in its draft and its talk."""
    definition = {
        "name": "hostile",
        "version": "1",
        "title": NASTY["title"],
        "on": [{"id": "paid", "event": "payment.authorised"}],
        "steps": [{"id": "note", "title": NASTY["step"], "print": {"text": json.dumps(NASTY["step"])}}],
    }
    body = {"title": NASTY["conversation"], "catalog": PAYMENTS.read_text(), "definition": json.dumps(definition)}
    path = f"/conversations/{sidecar.ask('/conversations', body)['conversation']}"
    sidecar.ask(f"{path}/comments", {"text": NASTY["comment"]})
    sidecar.ask(f"{path}/messages", {"text": NASTY["message"], "mode": "ask", "model": "rules"})
    return path


def harmless(visitor: Watched) -> None:
    page = visitor.page
    assert page.evaluate("window.owned") is None
    assert page.locator(STRANGE).count() == 0
    assert page.locator("script", has_text="owned").count() == 0
    assert [*visitor.faults, *page.evaluate("window.faults")] == []


def test_names_are_text_on_every_tab(visitor: Watched, conversation: str) -> None:
    visitor.go(conversation.replace("/conversations", "/authoring"), "[data-step=note]")
    page = visitor.page
    said = page.get_by_role("list", name="What was said")
    for name in ("comment", "message"):
        expect(said.get_by_text(NASTY[name]).first).to_be_visible()
    expect(page).to_have_title(f"{NASTY['conversation']} · Streamflow")
    tabs = page.get_by_role("tab")
    assert tabs.count() >= 4
    for number in range(tabs.count()):
        tabs.nth(number).click()
        expect(tabs.nth(number)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel")).not_to_be_empty()
        harmless(visitor)
    page.goto(f"/api/v1{conversation}/revisions/1")  # what a person may open by itself
    harmless(visitor)


def test_names_are_text_in_lists(visitor: Watched, conversation: str) -> None:
    visitor.go("/authoring", "tbody tr")
    expect(visitor.page.get_by_text(NASTY["conversation"]).first).to_be_visible()
    harmless(visitor)
