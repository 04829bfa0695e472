"""A page in Chromium that knows what it must not do: break the content security policy, ask another host, or throw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request

from tests.conftest import eventually
from tests.servers.browser import program

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = ("color-contrast", "target-size", "scrollable-region-focusable")  # rules about size and colours
SIZES = {"wide": (1400, 900), "phone": (390, 844)}
_WATCH = """
window.faults = [];
addEventListener("securitypolicyviolation", (event) =>
  faults.push(`CSP ${event.violatedDirective}: ${event.blockedURI}`));
"""


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return playwright.chromium.launch(executable_path=program(), args=arguments)


@contextmanager
def opened(browser: Browser, address: str, *, size: str = "wide", dark: bool = False) -> Iterator[Watched]:
    """A page of its own, watched."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(60_000)
    context.add_init_script(_WATCH)
    try:
        yield Watched(context, address)
    finally:
        context.close()


class Watched:
    """`page`, what it transferred, and its faults."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self._assets: list[Request] = []
        self._ended: set[Request] = set()
        self.faults: list[str] = []
        self._address = address
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfinished", lambda request: self._ended.add(request))
        self.page.on("requestfailed", lambda request: self._ended.add(request))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._address, "data:", "blob:", self._address.replace("http", "ws"))):
            self.faults.append(f"asked another host: {request.url}")
        elif not self._path(request).startswith(("/api/", "data:", "blob:")):
            self._assets.append(request)

    def sent(self) -> dict[str, int]:
        """Bytes of each asset that the page has asked for, as they were sent, once all are there."""
        eventually(lambda: self.page.evaluate("true") and self._ended.issuperset(self._assets))
        return {self._path(one): one.sizes()["responseBodySize"] for one in self._assets}

    def _path(self, request: Request) -> str:
        return str(request.url).removeprefix(self._address)

    def go(self, path: str, ready: str) -> None:
        """Opens `path` and waits for `ready`, a selector."""
        self.faults.clear()
        self.page.goto(path)
        self.page.wait_for_selector(ready)

    def look(self, size: str, *, dark: bool) -> None:
        """The same page in a window of another size, and with the system's other colours."""
        width, height = SIZES[size]
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")

    def check(self, rules: Sequence[str] = ()) -> None:
        """Fails on a violation of the policy, a request elsewhere, an error, what axe finds by its rules or by those
        that are named, or a page that is wider than its window."""
        found = [*self.faults, *self.page.evaluate("window.faults"), *self.axe(rules)]
        wider = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wider > 0:
            found.append(f"the page is {wider} px wider than its window")
        assert not found, "\n".join(found)

    def axe(self, rules: Sequence[str] = ()) -> list[str]:
        """What is not accessible (WCAG 2.2 A and AA, best practices), one sentence each. `rules` are all, or some."""
        # As text to evaluate: a script element without a nonce would be refused, rightly.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": tags}
        result: dict[str, Any] = self.page.evaluate(
            "(only) => axe.run({ runOnly: only, resultTypes: ['violations'] })", only
        )
        return [
            f"{one['id']}: {one['help']}: {node['html'][:160]} {node['any'][:1] and node['any'][0]['message']}"
            for one in result["violations"]
            for node in one["nodes"]
        ]
