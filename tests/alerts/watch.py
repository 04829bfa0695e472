"""What a Prometheus with the rules has seen: which alerts fired and when, and whether their silence means anything."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.alerts.rules import metrics
from tests.servers.prometheus import Prometheus

# Metrics that are there only once there is something to tell, or to expire.
OF_TROUBLE = frozenset(
    {
        "streamflow_topic_trouble",
        "streamflow_set_aside_total",
        "streamflow_metrics_other_total",
        "streamflow_outbox_stalled",
        "streamflow_certificate_expires_timestamp_seconds",
        "streamflow_api_key_expires_timestamp_seconds",
    }
)
ANSWERED = 0.95  # of the scrapes of each process


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of the rules."""

    fired: Mapping[str, float]  # by alert with its labels: seconds after the beginning at which it fired first
    pending: Mapping[str, float]  # the same of those that were about to fire
    blind: Sequence[str]  # why a silence would say nothing

    @property
    def names(self) -> set[str]:
        """The alerts that fired."""
        return {one.partition("{")[0] for one in self.fired}


class Watch:
    """Looks at a Prometheus from now on."""

    def __init__(self, prometheus: Prometheus, groups: Sequence[Mapping[str, Any]]) -> None:
        self._prometheus = prometheus
        self._rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"]]
        self._began = time.time()

    def seen(self) -> Seen:
        """All of it so far."""
        return Seen(fired=self._alerts("firing"), pending=self._alerts("pending"), blind=self._blind())

    def firing(self) -> set[str]:
        """The alerts that fired so far."""
        return {one.partition("{")[0] for one in self._alerts("firing")}

    def _range(self) -> str:
        return f"[{max(1, math.ceil(time.time() - self._began))}s]"

    def _alerts(self, state: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for one in self._prometheus.query(f'ALERTS{{alertstate="{state}"}}{self._range()}'):
            hidden = ("__name__", "alertname", "alertstate", "severity")
            labels = ", ".join(f"{name}={value}" for name, value in one.labels.items() if name not in hidden)
            found[f"{one.labels['alertname']}{{{labels}}}"] = round(one.samples[0][0] - self._began, 1)
        return found

    def _blind(self) -> list[str]:
        found = [f"{rule['name']}: {rule['lastError']}" for rule in self._prometheus.rules() if rule["health"] != "ok"]
        silent = self._prometheus.query(f"avg_over_time(up{self._range()}) < {ANSWERED}")
        found += [f"{one.labels['job']} answered {one.samples[0][1]:.0%} of the time" for one in silent]
        return found + [
            f"{alert}: there was no {name}"
            for alert, names in metrics(self._rules).items()
            for name in sorted(names - OF_TROUBLE)
            if not self._prometheus.query(f"count(count_over_time({name}{self._range()}))")
        ]
