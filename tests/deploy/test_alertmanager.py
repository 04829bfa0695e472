"""Which alerts keep which others from being sent, by the rules of inhibition of the compose file's Alertmanager."""

from __future__ import annotations

import itertools
import re
from typing import Any

from ruamel.yaml import YAML

from tests.deploy import chart
from tests.unit.test_alerts import RULES

FILE = chart.ROOT / "deploy/compose/alertmanager.yml"
INHIBITIONS: list[dict[str, Any]] = YAML(typ="safe").load(FILE)["inhibit_rules"]
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"?([^\"]*)\"?")

SAID_BETTER = {
    ("StreamflowNoProgress", "StreamflowLagHigh"),
    ("StreamflowNoProgress", "StreamflowFallingBehind"),
    ("StreamflowErrorBudgetBurnFast", "StreamflowErrorBudgetBurnSlow"),
}
OF_TOPICS = {"StreamflowNoProgress", "StreamflowLagHigh", "StreamflowFallingBehind"}


def alert(name: str, topic: str = "commands", **labels: str) -> dict[str, str]:
    """The labels of an alert that fires."""
    of_topic = {"group": "engine", "topic": topic} if name in OF_TOPICS else {}
    severity: dict[str, str] = RULES[name]["labels"]
    return {"alertname": name} | severity | of_topic | labels


def inhibited(source: dict[str, str], target: dict[str, str]) -> bool:
    """As Alertmanager decides: a label that both miss is equal."""
    return any(
        matches(one["source_matchers"], source)
        and matches(one["target_matchers"], target)
        and all(source.get(label, "") == target.get(label, "") for label in one["equal"])
        for one in INHIBITIONS
    )


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether all matchers hold."""
    return all(holds(matcher, labels) for matcher in matchers)


def holds(matcher: str, labels: dict[str, str]) -> bool:
    """Whether a matcher holds."""
    found = MATCHER.fullmatch(matcher)
    assert found, matcher
    value, wanted = labels.get(found[1], ""), found[3]
    is_so = value == wanted if found[2] in ("=", "!=") else re.fullmatch(wanted, value) is not None
    return is_so is not found[2].startswith("!")


def test_only_an_alert_that_says_the_same_is_held_back() -> None:
    pairs = {(a, b) for a, b in itertools.permutations(RULES, 2) if inhibited(alert(a), alert(b))}
    assert pairs == SAID_BETTER


def test_alerts_of_other_topics_and_namespaces_are_sent() -> None:
    for source, target in SAID_BETTER:
        other = {"topic": "tasks.llm"} if source in OF_TOPICS else {"namespace": "test"}
        assert not inhibited(alert(source), alert(target, **other))


def test_an_inhibition_names_alerts_that_are_there() -> None:
    named = {
        name
        for one in INHIBITIONS
        for matcher in (*one["source_matchers"], *one["target_matchers"])
        for name in re.findall(r"Streamflow\w+", matcher)
    }
    assert named == {name for pair in SAID_BETTER for name in pair}
    assert named <= RULES.keys()
