"""The shipped rules on a real Prometheus that scrapes a whole installation: silent under a steady load,
and every query of the dashboards is answered. Windows are a sixtieth of what they are; `make alerts` has them as they
are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.installation import Installation
from tests.alerts.rules import groups
from tests.alerts.watch import Watch
from tests.conftest import eventually, needs_broker, only_full
from tests.deploy.test_dashboards import FILES, SCRAPED, panels
from tests.proof.world import wait
from tests.servers.process import ServerMissing
from tests.servers.prometheus import Prometheus, program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SHORTER = 60.0
RULES = groups(SHORTER)
LEFT_OUT = re.compile(r"[<>] [0+]|!=\"completed\"|failed\|parked")  # queries that show trouble alone
QUIET_S = 45.0  # longer than all windows but those of an hour and of six, of which it is a part
MEASURED = "streamflow_exporter_measured_timestamp_seconds"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """At work."""
    needs_broker()
    try:
        program("prometheus")
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with Installation(tmp_path_factory.mktemp("installation"), measure_s=0.5) as made:
        yield made


@only_full  # promtool evaluates every rule in tests/contract/test_alert_rules.py
def test_all_are_silent_under_a_steady_load(site: Installation, tmp_path: Path) -> None:
    with site.load("5/s", QUIET_S) as load:
        wait(lambda: site.completed() > 0, "a run to complete", 120, every_s=0.5)
        with Prometheus(tmp_path, RULES, site.targets, 1.0) as prometheus:
            watch = Watch(prometheus, RULES)
            loaded, seen = load.ended(QUIET_S + 120), watch.seen()
    assert loaded.faults() == []
    assert seen.fired == {}
    assert seen.blind == []


@only_full  # tests/deploy/test_dashboards.py compares queries with the list of metrics, and promtool reads them
def test_every_query_of_a_dashboard_is_answered(site: Installation, tmp_path: Path) -> None:
    """Without an error, and with something to show if its metrics are there and it does not leave out what is well."""
    asked = sorted({target["expr"] for file in FILES for panel in panels(file) for target in panel["targets"]})
    with Prometheus(tmp_path, RULES, site.targets, 1.0) as prometheus, site.load("5/s", 45.0) as load:
        wait(
            lambda: prometheus.query("sum(rate(streamflow_runs_ended_total[10s])) > 1"), "runs to end", 60, every_s=0.5
        )
        eventually(lambda: prometheus.query(f"count_over_time({MEASURED}[1h]) > 12"), timeout=60, every=0.5)
        silent = []
        for query in asked:
            filled = re.sub(r"\$\w+", ".*", query.replace("$__rate_interval", "10s"))
            names = {name for name, _ in SCRAPED.findall(query)}
            there = all(prometheus.query(f"count({name})") for name in names)
            if not prometheus.query(filled) and there and not LEFT_OUT.search(query):
                silent.append(query)
        assert load.running, "the load was over before the queries"
    assert silent == []
