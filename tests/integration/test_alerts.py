"""The shipped rules on a real Prometheus that scrapes a whole installation: silent under a steady load, and firing in
each kind of trouble. Windows are a sixtieth of what they are; `make alerts` has them as they are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.alerts.installation import ROLES, Installation
from tests.alerts.rules import groups
from tests.alerts.troubles import ELSEWHERE, ENGINES, TROUBLES
from tests.alerts.watch import Watch
from tests.conftest import eventually, needs_broker, only_full
from tests.deploy.test_dashboards import FILES, SCRAPED, panels
from tests.faults.shim import compiled
from tests.proof.world import wait
from tests.servers.process import ServerMissing
from tests.servers.prometheus import Prometheus, program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

SHORTER = 60.0
RULES = groups(SHORTER)
PATIENT = {"STREAMFLOW_ENGINE__SESSION_TIMEOUT_S": "60"}  # engines that pause keep their partitions
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


@pytest.fixture(scope="module")
def broken_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """At work, with engines whose clocks and disks can be wrong."""
    needs_broker()
    if shutil.which("prometheus") is None or shutil.which("gcc") is None:
        pytest.skip("prometheus or gcc is not installed. Run: make servers.")
    folder = tmp_path_factory.mktemp("broken")
    with Installation(folder, measure_s=0.5, shim=compiled(), shimmed=ENGINES, options=PATIENT) as made:
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


def test_every_alert_is_brought_about() -> None:
    told = {name for trouble in TROUBLES.values() for name in trouble.told}
    assert told.isdisjoint(ELSEWHERE)
    assert told | ELSEWHERE == {rule["alert"] for group in RULES for rule in group["rules"]}


@only_full
@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_told(broken_site: Installation, name: str, tmp_path: Path) -> None:
    """By its alerts, and by no others; before it nothing is told."""
    site, trouble = broken_site, TROUBLES[name]
    rules = groups(trouble.shorter)
    with Prometheus(tmp_path, rules, site.targets, 1.0) as prometheus:
        eventually(lambda: len(prometheus.query("up == 1")) == len(ROLES), timeout=60, every=0.5)
        eventually(lambda: prometheus.query(MEASURED), timeout=60, every=0.5)
        eventually(lambda: not prometheus.query("ALERTS"), timeout=240, every=1)
        watch = Watch(prometheus, rules)

        def is_told() -> bool:
            trouble.again(site)
            return trouble.told <= watch.firing()

        try:
            with site.load("5/s", 3600.0) if trouble.loaded else nullcontext():
                trouble.begin(site)
                wait(is_told, f"{sorted(trouble.told)} to fire", 400, every_s=1)
        finally:
            print(watch.seen())
            trouble.mend(site)
        assert watch.firing() <= trouble.told | trouble.may
