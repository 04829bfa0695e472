"""Diagrams of 100 steps: what the Mermaid text and the picture cost the sidecar, in this process and without a broker:
CPU of the thread, so that other processes do not count. Beside a picture what it costs once it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.syntax import load_text, parse_catalog
from streamflow.sidecar.drawing import svg
from tests.bench.report import Row
from tests.bench.stage import Stage, percentile

STEPS = 100
TEXT_AIM_MS = 5.0
PICTURE_AIM_MS = 15.0
_TIMES = 50
_FRAUD = Path(__file__).parents[2] / "definitions/fraud-detection"


def measure(stage: Stage) -> list[Row]:
    """The medians, for the steps of the fraud check and for as many in a row that have only a title."""
    times = stage.size(_TIMES)
    checks, catalog = big(STEPS)
    rows = _measured("fraud checks", checks, catalog, times) + _measured("in a row", row(STEPS), None, times)
    stage.say(f"{STEPS} steps, {times} times")
    return rows


def _measured(what: str, definition: Definition, catalog: Catalog | None, times: int) -> list[Row]:
    text = mermaid(definition, catalog)
    svg(text)  # loads the library
    written = _median(times, lambda _: mermaid(definition, catalog))
    drawn = _median(times, lambda number: svg(f"{text}%% {number}\n"))
    svg(text)
    kept = _median(times, lambda _: svg(text))
    name = f"{STEPS} steps, {what}"
    return [
        Row("diagram", f"Mermaid text, {name}", written, "ms CPU", aim=TEXT_AIM_MS, better="less"),
        Row("diagram", f"SVG, {name}", drawn, "ms CPU", beside=kept, aim=PICTURE_AIM_MS, better="less"),
    ]


def row(steps: int) -> Definition:
    """So many steps, each after the one before."""
    printed = [
        {"id": f"s{number}", "title": f"Step {number}", "needs": [f"s{number - 1}"] if number else [], "print": _PRINT}
        for number in range(steps)
    ]
    content = {"name": "row", "version": "1", "on": [{"id": "came", "event": "payment.authorised"}], "steps": printed}
    return Definition.model_validate(content)


_PRINT = {"text": "'x'"}


def big(steps: int) -> tuple[Definition, Catalog]:
    """The fraud check again and again, up to so many steps, and its catalog."""
    content: Any = load_text((_FRAUD / "definition.yaml").read_text())
    written: list[Any] = []
    while len(written) < steps:
        number, last = len(written), written[-1]["id"] if written else None
        for step in content["steps"]:
            needs = [_numbered(need, number) for need in step.get("needs", [])] or ([last] if last else [])
            written.append(step | {"id": _numbered(step["id"], number), "needs": needs})
    definition = Definition.model_validate(content | {"steps": written[:steps]})
    return definition, parse_catalog((_FRAUD / "catalog.yaml").read_text())


def _numbered(need: str, number: int) -> str:
    step, dot, outcome = need.partition(".")
    return f"{step}_{number}{dot}{outcome}"


def _median(times: int, work: Callable[[int], Any]) -> float:
    found = []
    for number in range(times):
        began = time.thread_time()
        work(number)
        found.append((time.thread_time() - began) * 1000)
    return percentile(found, 0.5)
