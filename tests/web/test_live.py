"""Pages are told of changes by one WebSocket, which goes on where it was after it was cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page, WebSocket

from tests.conftest import eventually
from tests.web.browser import Watched, opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("live")) as made:
        made.begin("L-1")
        yield made


class Frames:
    """What the sockets of a page said and heard, by socket."""

    def __init__(self, page: Page) -> None:
        self.sent: list[list[dict[str, Any]]] = []
        self.heard: list[list[dict[str, Any]]] = []
        page.on("websocket", self._take)

    def _take(self, socket: WebSocket) -> None:
        sent: list[dict[str, Any]] = []
        heard: list[dict[str, Any]] = []
        socket.on("framesent", lambda text: sent.append(json.loads(text)))
        socket.on("framereceived", lambda text: heard.append(json.loads(text)))
        self.sent.append(sent)
        self.heard.append(heard)


@pytest.fixture
def visitor(browser: Browser, sidecar: MemorySidecar) -> Iterator[Watched]:
    with opened(browser, sidecar.address) as watched:
        yield watched


def is_told(page: Page, frames: Frames, channel: str) -> None:
    """Waits until the newest socket of the page is told of a channel."""

    def told() -> bool:
        page.wait_for_timeout(50)  # frames come in while Playwright waits
        heard = frames.heard[-1] if frames.heard else []
        return any(one.get("channel") == channel and one["kind"] == "subscribed" for one in heard)

    eventually(told, timeout=60)


def test_a_new_run_and_another_status_appear_by_one_socket(visitor: Watched, sidecar: MemorySidecar) -> None:
    page, frames = visitor.page, Frames(visitor.page)
    visitor.go("/runs", "tbody tr")
    is_told(page, frames, "runs")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    run = sidecar.begin("L-2")
    row = page.get_by_role("row").filter(has_text="L-2")
    row.get_by_text("open").wait_for()
    page.get_by_role("navigation").get_by_text("2", exact=True).wait_for()  # the inbox
    sidecar.decide(run)
    row.get_by_text("completed").wait_for()
    page.get_by_role("link", name="Inbox").click()
    page.get_by_text("Pay 5 back?").wait_for()
    page.get_by_role("link", name="Trouble").click()
    page.get_by_text("There is no trouble.").wait_for()
    assert len(frames.sent) == 1  # the same socket for every page
    subscribed = [one["subscribe"] for one in frames.sent[0] if "subscribe" in one]
    assert {"runs", "approvals", "trouble", "history"} <= set(subscribed)
    assert {"unsubscribe": "runs"} in frames.sent[0]


def test_a_socket_that_was_cut_goes_on_without_loss(visitor: Watched, sidecar: MemorySidecar) -> None:
    page, frames = visitor.page, Frames(visitor.page)
    run = sidecar.begin("L-3")
    visitor.go(f"/runs/{run}", "[data-step]")
    is_told(page, frames, f"run/{run}")
    page.route("**/transitions?**", lambda route: route.abort())  # only the socket can tell of another one
    last = len(sidecar.log.simulation.history(run))
    sidecar.cut()
    sidecar.decide(run)
    page.get_by_text("completed").first.wait_for()
    page.get_by_role("tab", name="Transitions (").click()
    page.get_by_role("button", name="approval given").wait_for()
    page.get_by_role("button", name="run completed").wait_for()
    subscribed = [one for one in frames.sent[-1] if one.get("subscribe") == f"run/{run}"]
    assert subscribed[0]["cursor"] in range(last, len(sidecar.log.simulation.history(run)) + 1)
    told = [
        one["cursor"]
        for heard in frames.heard
        for one in heard
        if one.get("channel") == f"run/{run}" and one["kind"] == "transition"
    ]
    assert told == list(range(last + 1, len(sidecar.log.simulation.history(run)) + 1))
    assert len(frames.sent) == 2


def test_without_a_socket_pages_ask(visitor: Watched, sidecar: MemorySidecar) -> None:
    page = visitor.page
    page.add_init_script("window.WebSocket = class { close() {} send() {} }")
    visitor.go("/runs", "tbody tr")
    sidecar.begin("L-4")
    page.get_by_role("row").filter(has_text="L-4").wait_for()
