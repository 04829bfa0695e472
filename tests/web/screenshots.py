"""`python -m tests.web.screenshots FOLDER [PAGE ...]` takes a picture of every page, or of those named, wide and
narrow, light and dark."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.web.browser import launch, opened
from tests.web.pages import ALL, page_of
from tests.web.stage import stage


def main(folder: Path, *only: str) -> None:
    """Writes the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, stage(Path(place)) as found, sync_playwright() as playwright:
        browser = launch(playwright)
        for size, dark in (("wide", False), ("wide", True), ("phone", False)):
            for name in only or ALL:
                path, ready = page_of(found, name)
                with opened(browser, found.address, size=size, dark=dark) as watched:
                    watched.go(path, ready)
                    watched.page.wait_for_timeout(800)  # what is loaded later
                    picture = folder / f"{name}-{size}-{'dark' if dark else 'light'}.png"
                    watched.page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
