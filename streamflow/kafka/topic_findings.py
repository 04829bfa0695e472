"""In what the broker's topics differ from the wanted ones, as data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamflow.definition.duration import format_ms
from streamflow.kafka.topics import COMMANDS, Need, Topic, exceeds, holds

# Changing these on a topic that holds records could take some of them away, or put keys in other places.
_NEVER_CHANGED = frozenset({"partitions", "replication", "cleanup.policy"})


# What lowering a setting does.
_LOWERED = {
    "retention.ms": "what is older is deleted for good",
    "delete.retention.ms": "local stores that are older must not be used: restart all engine workers with it before",
    "max.message.bytes": "larger records are refused: restart all workers with the lower limits before",
    "min.insync.replicas": "fewer replicas have a record when it counts as written",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which a topic is not as it must be.

    `kind` is `missing` (the topic is not there), `breaks` (a promise of ours does not hold), `lower` (the topic has
    more than is wanted, so every promise holds; setting it takes something away) or `advice`; `fixable` says that
    `apply` corrects it, of `lower` only when that is asked for."""

    topic: str
    kind: str
    setting: str
    wanted: str
    actual: str
    fixable: bool

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.topic}: missing; {self.wanted}"
        if self.kind == "lower":
            mend = f"apply --lower sets it, and {_LOWERED[self.setting]}"
        else:
            mend = "apply sets it" if self.fixable else "not changed on an existing topic"
        actual, wanted = (_with_length(self.setting, value) for value in (self.actual, self.wanted))
        return f"{self.topic}: {self.setting} is {actual} but {wanted} is wanted ({self.kind}; {mend})"

    def applied(self, *, lower: bool) -> str:
        """The finding after `apply`, in words: what was done about it."""
        if self.kind == "missing":
            return f"{self.topic}: created, with {self.wanted}"
        if not self.fixable or (self.kind == "lower" and not lower):
            return str(self)
        actual, wanted = (_with_length(self.setting, value) for value in (self.actual, self.wanted))
        return f"{self.topic}: {self.setting} was {actual} and is {wanted} now"

    def facts(self) -> dict[str, Any]:
        """The finding as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """One topic as the broker describes it."""

    name: str
    id: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


def findings(wanted: Iterable[Topic], actual: dict[str, ActualTopic]) -> list[Finding]:
    """Every deviation of the actual topics from the wanted ones, in the order of the wanted ones. Pure."""
    found: list[Finding] = []
    grown = partitions_grown_to(wanted, actual)
    for topic in wanted:
        seen = actual.get(topic.name)
        if seen is None:
            kept = f"{topic.partitions} partition(s), {topic.config['cleanup.policy']}"
            found.append(Finding(topic.name, "missing", "topic", kept, "", fixable=True))
            continue
        least = max(grown, topic.partitions) if topic.keyed else topic.partitions
        more = topic.keyed and seen.partitions > least and seen.partitions % topic.partitions == 0
        if seen.partitions != least and not more:
            found.append(Finding(topic.name, "breaks", "partitions", str(least), str(seen.partitions), fixable=False))
        if seen.replication_factor < topic.replication_factor:
            found.append(
                Finding(
                    topic.name,
                    "advice",
                    "replication",
                    str(topic.replication_factor),
                    str(seen.replication_factor),
                    fixable=False,
                )
            )
        for setting in topic.settings:
            if not holds(setting, seen.config):
                kind = "advice" if setting.need is Need.ADVICE else "breaks"
                fixable = setting.name not in _NEVER_CHANGED
                found.append(
                    Finding(topic.name, kind, setting.name, setting.value, seen.config.get(setting.name, ""), fixable)
                )
            elif exceeds(setting, seen.config):
                found.append(
                    Finding(topic.name, "lower", setting.name, setting.value, seen.config[setting.name], fixable=True)
                )
    return found


def partitions_grown_to(wanted: Iterable[Topic], actual: Mapping[str, ActualTopic]) -> int:
    """How many partitions everything has that is partitioned as `commands`, if generations were added, else 0. Other
    topics may have more, while another one is added."""
    for topic in wanted:
        seen = actual.get(topic.name) if topic.role == COMMANDS else None
        if seen is not None and seen.partitions > topic.partitions and seen.partitions % topic.partitions == 0:
            return seen.partitions
    return 0


def _with_length(setting: str, value: str) -> str:
    """The value of a setting for people: a length of time with its usual units."""
    if not setting.endswith(".ms") or not value.isdecimal():
        return "without limit" if setting.endswith(".ms") and value == "-1" else value
    return f"{value} ({format_ms(int(value))})"
