"""Definitions, catalogs and operations that read Streamflow's own topics or write to them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest

from streamflow.kafka.topics import lane_topic_name, topics
from tests.attack import Attack, Seen
from tests.attack.processes import apart
from tests.unit.kafka.logs import take_the_brokers_place
from tests.unit.test_own_topics import DOORS, PREFIXES, settings_of


def _doors(_seed: int) -> Seen:
    seen, tried = Seen(), Counter[str]()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        take_the_brokers_place(patch)
        for prefix in PREFIXES:
            settings = settings_of(prefix)
            own = {topic.name for topic in topics(settings)} | {lane_topic_name(settings, "a-lane-of-others")}
            own |= {"streamflow.commands", "streamflow.runs", "streamflow.tasks.default"}
            for name, door in DOORS.items():
                for topic in sorted(own):
                    tried[name] += 1
                    seen.require(not door(settings, topic, Path(folder)), f"{name}: {topic} passes, prefix {prefix!r}")
        for name, door in DOORS.items():
            seen.require(door(settings_of("acme."), "shop.orders", Path(folder)), f"{name}: nothing passes at all")
    seen.figures["doors"] = ", ".join(f"{name} ({count})" for name, count in tried.items())
    return seen


ATTACKS = (
    Attack(
        name="own-topics",
        done=f"Streamflow's own topics as source and target at {len(DOORS)} doors, under {len(PREFIXES)} prefixes",
        expected="each door refuses each topic",
        make=apart(_doors, limit_s=120, growth_bytes=64 << 20),
    ),
)
