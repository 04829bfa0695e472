"""`make alerts HOURS=1`: a whole installation under a steady load, watched by a real Prometheus with the shipped rules.
Fails if any alert fires, if the load was not steady, or if silence says nothing because a rule had no metrics."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.alerts.installation import Installation
from tests.alerts.rules import groups
from tests.alerts.watch import Watch
from tests.proof.world import wait
from tests.servers.prometheus import Prometheus

INTERVAL_S = 5.0
WARM_UP_S = 20.0  # of load before the watch begins: not every metric is there before the first run has ended


def main() -> int:
    """0 when every alert was silent."""
    options = argparse.ArgumentParser(prog="python -m tests.alerts", description=__doc__)
    options.add_argument("--hours", type=float, default=1.0)
    options.add_argument("--rate", default="5/s", help="orders begun, each one run (%(default)s)")
    options.add_argument("--folder", type=Path, help="where logs and data are kept; else they are thrown away")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamflow-alerts-") as name:
        return _watched(asked.folder or Path(name), asked.hours * 3600, asked.rate)


def _watched(folder: Path, seconds: float, rate: str) -> int:
    rules = groups()
    with Installation(folder, measure_s=INTERVAL_S) as site, site.load(rate, WARM_UP_S + seconds) as load:
        wait(lambda: site.completed() > 0, "a run to complete", 120, every_s=1)
        with Prometheus(folder / "prometheus", rules, site.targets, INTERVAL_S) as prometheus:
            watch, told = Watch(prometheus, rules), set[str]()
            while load.running:
                site.check()
                for name in sorted(watch.firing() - told):
                    print(f"{time.strftime('%H:%M:%S')} {name} fires", flush=True)
                    told.add(name)
                time.sleep(INTERVAL_S)
            loaded, seen = load.ended(), watch.seen()
    print(f"{seconds / 3600:g} hours, {loaded.report['ended']} runs, {len(rules)} groups of rules")
    for alert, at_s in seen.pending.items():
        print(f"pending after {at_s:.0f} s: {alert}")
    faults = [f"fired after {at_s:.0f} s: {alert}" for alert, at_s in seen.fired.items()]
    faults += [*loaded.faults(), *seen.blind]
    for fault in faults:
        print(f"FAULT {fault}")
    print("every alert was silent" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
