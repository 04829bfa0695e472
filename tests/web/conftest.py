"""A browser and a filled `streamflow dev` for each process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.web.built import INDEX
from tests.web.stage import Stage
from tests.web.stage import stage as staged

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.browser import Watched


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Skipped where it, or the built application, is missing; in CI that is a failure."""
    try:
        if not INDEX.is_file():
            raise servers.ServerMissing("The web application is not built. Build it: make ui.")
        from playwright.sync_api import sync_playwright

        from tests.web.browser import launch

        running = sync_playwright().start()
        launched = launch(running)
    except (servers.ServerMissing, ImportError) as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    yield launched
    launched.close()
    running.stop()


@pytest.fixture(scope="session")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What there is to look at. Tests add to it, and change nothing that another one looks at."""
    with staged(tmp_path_factory.mktemp("web")) as found:
        yield found


@pytest.fixture(scope="session")
def _visitor(browser: Browser, stage: Stage) -> Iterator[Watched]:
    from tests.web.browser import opened

    with opened(browser, stage.address) as watched:
        yield watched


@pytest.fixture
def visitor(_visitor: Watched) -> Watched:
    """One page that goes everywhere: what pages share is loaded once. Its window is wide and light."""
    _visitor.look("wide", dark=False)
    return _visitor
