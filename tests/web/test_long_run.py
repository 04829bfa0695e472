"""What a page of a run asks for and is sent, however long the run is: counted, for seconds depend on the machine."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Request

from streamflow.definition.check import STEPS
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.transitions import Transition
from tests.web.browser import opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar
from tests.web.test_speed import LONG_RUN, steps_of

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

REQUESTS = 9  # about the run: how far it is, its newest transitions, its definition, gantt, why, two lists, and others
SENT = 40_000  # bytes about a run of few steps; each further step has a line in its definition and its gantt
AGAIN = 3  # times that the same may be asked: a page asks again once its socket is open
OF_A_STEP = 900


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("long-run")) as made:
        made.log.add(parse_definition(steps_of("wide", STEPS)), parse_catalog("{events: [], operations: []}"))
        yield made


def asked(browser: Browser, sidecar: MemorySidecar, run: str, definition: str, ready: str) -> dict[str, list[int]]:
    """The requests about a run until `ready` is on its page, with the bytes of each answer."""
    found: dict[str, list[int]] = {}

    def finished(request: Request) -> None:
        path = request.url.removeprefix(f"{sidecar.address}/api/v1")
        if run in path or definition in path:
            found.setdefault(path, []).append(request.sizes()["responseBodySize"])

    with opened(browser, sidecar.address) as visitor:
        visitor.page.on("requestfinished", finished)
        visitor.go(f"/runs/{run}", ready)
        visitor.page.wait_for_load_state("networkidle")
    return found


def is_bounded(found: dict[str, list[int]], sent: int) -> bool:
    """Whether few things were asked, few times, and one answer to each is at most so many bytes."""
    seldom = len(found) <= REQUESTS and all(len(sizes) <= AGAIN for sizes in found.values())
    return seldom and 0 < sum(max(sizes) for sizes in found.values()) < sent


def test_a_run_of_the_most_steps_is_sent_once(browser: Browser, sidecar: MemorySidecar) -> None:
    run = str(sidecar.ask("/runs", {"definition": "wide", "key": "W-1", "input": {}})["run"])
    sidecar.project(run)
    found = asked(browser, sidecar, run, "wide", f"[data-step=s{STEPS - 1}]")
    assert is_bounded(found, SENT + OF_A_STEP * STEPS), found


def test_a_run_of_20_000_transitions_sends_the_newest(
    browser: Browser, sidecar: MemorySidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(sidecar.ask("/runs", {"definition": "survey", "key": "S-1", "input": {}})["run"])
    sidecar.project(run)
    *begun, last = sidecar.log.simulation.history(run)
    history = begun + [
        msgspec.structs.replace(last, seq=last.seq + number, at_ms=last.at_ms + number) for number in range(LONG_RUN)
    ]

    async def long(_run: str) -> list[Transition]:
        return history

    monkeypatch.setattr(sidecar.log, "history", long)
    found = asked(browser, sidecar, run, "survey", "[data-step=question]")
    assert is_bounded(found, SENT), found
    assert all("limit=100" in path for path in found if "/transitions" in path)


def test_a_page_is_shown_without_a_placeholder_for_its_code(browser: Browser, sidecar: MemorySidecar) -> None:
    """React shows a placeholder for 300 ms at least: the questions that a page asks would wait for that."""
    run = sidecar.begin("P-1")
    with opened(browser, sidecar.address) as visitor:
        page = visitor.page
        asks: list[str] = []
        page.on("request", lambda request: asks.append(request.url.rpartition("/api/v1")[2]))
        visitor.go(f"/runs/{run}", "[data-step]")
        first = next(number for number, path in enumerate(asks) if path == f"/runs/{run}")
        shell = [number for number, path in enumerate(asks) if path in ("/approvals", "/trouble")]
        assert all(first < number for number in shell)  # not after the shell was shown with a placeholder in it
