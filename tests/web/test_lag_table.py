"""The dashboard shows the lag as `streamflow lag --live` does."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser

from streamflow.ops.lag import PartitionLag
from streamflow.ops.lag_rows import MeasuredLag
from tests.web.browser import opened
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

WAITING, LATE, UNKNOWN, GONE, HALF, IDLE = "waiting", "late", "unknown", "gone", "half", "idle"
PARTITIONS = [
    PartitionLag("ingress", WAITING, 0, 5, 12, 7, 3.0),
    PartitionLag("ingress", LATE, 0, 5, 9, 4, 125.0),
    PartitionLag("ingress", UNKNOWN, 0, 5, 8, 3, None),
    PartitionLag("ingress", GONE, -1, None, 0, 0, 0.0, "missing"),
    PartitionLag("ingress", HALF, 0, None, 0, 0, 0.0, "leaderless"),
    PartitionLag("ingress", HALF, 1, 5, 6, 1, 2.0),
    PartitionLag("ingress", IDLE, 0, 5, 5, 0, 0.0),
]
DRAINS = {("ingress", WAITING): 90.0, ("ingress", LATE): inf, ("ingress", UNKNOWN): None, ("ingress", IDLE): 0.0}


@pytest.fixture
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySidecar]:
    with memory_sidecar(tmp_path_factory.mktemp("lag")) as made:
        made.log.measured_lag = MeasuredLag(partitions=PARTITIONS, drains=DRAINS)
        yield made


def test_the_dashboard_shows_what_waits_until_when_and_what_cannot_be_read(
    browser: Browser, sidecar: MemorySidecar
) -> None:
    with opened(browser, sidecar.address) as watched:
        watched.go("/dashboard", "[aria-label=Lag] tbody tr")
        rows = {}
        for row in watched.page.get_by_role("region", name="Lag").locator("tbody tr").all():
            _, topic, *shown = row.locator("td").all_inner_texts()
            rows[topic] = [" ".join(text.split()) for text in shown]
        assert rows == {
            WAITING: ["7", "3.0 s", "1 min 30 s"],
            LATE: ["4", "2 min 5 s", "never"],
            UNKNOWN: ["3", "?", "?"],
            GONE: ["0", "missing", "\N{EN DASH}"],
            HALF: ["1", "leaderless 2.0 s", "?"],
            IDLE: ["0", "nothing waits", "\N{EN DASH}"],
        }
        watched.check()
