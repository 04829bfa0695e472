"""How quick pages are with much on them: `make test-full` measures, and `-s` shows the figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser

from streamflow.definition.check import STEPS
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.transitions import Transition
from tests.conftest import TEST_ALL
from tests.web.browser import Watched, opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar

pytestmark = [
    pytest.mark.ui,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not TEST_ALL, reason="figures of a machine without other work: make test-full"),
]

OPEN_MS = 1_000
FRAME_MS = 1_000 / 60
LONG_RUN = 20_000  # transitions
CANVAS = 100  # steps
WIDTH = 10
FRAMES = 180
_SCROLL = """
async ({ frames }) => {
  const place = document.querySelector('[aria-label="Diagram of the steps"]');
  const steps = [...document.querySelectorAll("[data-step]")];
  const next = () => new Promise(requestAnimationFrame);
  const spans = [];
  let last = await next();
  for (let frame = 0; frame < frames; frame += 1) {
    place.scrollTop = (frame * 8) % Math.max(1, place.scrollHeight - place.clientHeight);
    const step = steps[frame % steps.length];
    step.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    if (frame % 20 === 0) step.click();
    const now = await next();
    spans.push(now - last);
    last = now;
  }
  return spans;
}
"""


def steps_of(name: str, count: int) -> str:
    """A definition of `count` steps in rows, each of which needs two of the row before."""
    lines = [f'streamflow: "1"\nname: {name}\nversion: "1"\ninput: {{type: object}}\nruns: many\nsteps:']
    for number in range(count):
        before = number - WIDTH
        needs = f"[s{before}, s{before - before % WIDTH + (before + 1) % WIDTH}]" if before >= 0 else "[]"
        lines.append(f"  - {{id: s{number}, needs: {needs}, set: [{{name: n, expr: '{number}'}}]}}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("speed")) as made:
        for name, count in (("canvas", CANVAS), ("wide", STEPS)):
            made.log.add(parse_definition(steps_of(name, count)), parse_catalog("{events: [], operations: []}"))
        yield made


@pytest.fixture(scope="module")
def visitor(browser: Browser, sidecar: MemorySidecar) -> Iterator[Watched]:
    with opened(browser, sidecar.address) as watched:
        yield watched


def figures(name: str, values: list[float]) -> float:
    """The median in milliseconds, which is also printed."""
    found = statistics.median(values)
    print(f"{name}: median {found:.1f} ms, most {max(values):.1f} ms")
    return found


def opening(visitor: Watched, path: str, ready: str) -> list[float]:
    """Milliseconds from the address to the page, with what browsers keep in their cache, three times."""
    visitor.go(path, ready)
    found = []
    for _ in range(3):
        visitor.go(path, ready)
        found.append(float(visitor.page.evaluate("performance.now()")))
    return found


def test_the_canvas_holds_100_steps_at_60_frames_a_second(visitor: Watched) -> None:
    visitor.go("/definitions/canvas", f"[data-step=s{CANVAS - 1}]")
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_s() -> float:
        metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

    visitor.page.evaluate(_SCROLL, {"frames": 30})
    before = busy_s()
    spans = visitor.page.evaluate(_SCROLL, {"frames": FRAMES})
    busy_ms = (busy_s() - before) * 1_000 / FRAMES
    print(f"work of the page for each frame: {busy_ms:.1f} ms")
    assert busy_ms < FRAME_MS
    assert figures("from frame to frame", spans) < FRAME_MS * 1.5


def test_a_run_of_the_most_steps_opens_in_a_second(visitor: Watched, sidecar: MemorySidecar) -> None:
    run = str(sidecar.ask("/runs", {"definition": "wide", "key": "W-1", "input": {}})["run"])
    sidecar.project(run)
    found = opening(visitor, f"/runs/{run}", f"[data-step=s{STEPS - 1}]")
    assert figures(f"a run of {STEPS} steps", found) < OPEN_MS


def test_a_run_of_20_000_transitions_opens_in_a_second(
    visitor: Watched, sidecar: MemorySidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(sidecar.ask("/runs", {"definition": "survey", "key": "S-1", "input": {}})["run"])
    sidecar.project(run)
    begun = sidecar.log.simulation.history(run)
    last = begun[-1]
    repeated = [
        msgspec.structs.replace(last, seq=last.seq + number, at_ms=last.at_ms + number) for number in range(LONG_RUN)
    ]
    history = [*begun[:-1], *repeated]

    async def long(_run: str) -> list[Transition]:
        return history

    monkeypatch.setattr(sidecar.log, "history", long)
    found = opening(visitor, f"/runs/{run}", "[data-step=question]")
    assert figures(f"a run of {LONG_RUN} transitions", found) < OPEN_MS
    found = opening(visitor, f"/runs/{run}?tab=transitions", f"text={history[-1].seq}")
    assert figures("its transitions", found) < OPEN_MS
