"""The rules with shorter windows: everything else stays as it is shipped."""

from __future__ import annotations

import re

from tests.alerts import rules
from tests.unit.test_alerts import RULES


def test_as_they_are_shipped() -> None:
    found = {rule["alert"]: rule for group in rules.groups() for rule in group["rules"]}
    assert found.keys() == RULES.keys()
    for name, rule in found.items():
        milliseconds = re.sub(r"(?<=\[|\s)(\d+)m\b", lambda at: f"{int(at[1]) * 60_000}ms", RULES[name]["expr"])
        milliseconds = re.sub(r"(?<=\[)(\d+)h\b", lambda at: f"{int(at[1]) * 3_600_000}ms", milliseconds)
        assert rule["expr"] == milliseconds
        assert rule["labels"] == RULES[name]["labels"]


def test_windows_and_waits_are_divided_and_limits_are_not() -> None:
    found = {rule["alert"]: rule for group in rules.groups(60) for rule in group["rules"]}
    burn = found["StreamflowErrorBudgetBurnSlow"]
    assert set(re.findall(r"\[(\w+)\]", burn["expr"])) == {"360000ms", "30000ms"}
    assert burn["expr"].count("6 * 0.001") == 2
    assert burn["for"] == "15000ms"
    assert found["StreamflowDeadLetters"]["for"] == "0ms"
    assert "> 60\n" in found["StreamflowLagHigh"]["expr"]
    assert "offset 10000ms" in found["StreamflowCommandsSetAside"]["expr"]


def test_every_alert_asks_for_metrics() -> None:
    found = rules.metrics([rule for group in rules.groups() for rule in group["rules"]])
    assert found["StreamflowFallingBehind"] == {"streamflow_consumer_drain_seconds", "streamflow_consumer_lag_seconds"}
    assert all(found.values())
