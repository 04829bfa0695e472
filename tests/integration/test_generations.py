"""Partitions are added under load: what is under way ends where it is, everything else goes to the new ones, and every
promise holds while workers are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import Rejected
from streamflow.kafka import admin
from streamflow.kafka.broker import EmbeddedBroker
from streamflow.kafka.generations import grow
from streamflow.settings import Kafka, Settings, Topics
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from tests.conftest import eventually
from tests.integration.forked import Forked
from tests.integration.test_checker_inputs import Sender
from tests.proof import hot
from tests.proof.world import PARTITIONS, World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

KEYS = 100
# every run waits a moment for an event that never comes: a timeout needs a watermark, in the new partitions too
DEFINITION = """
streamflow: "1"
name: hot
version: "1"
on: [{id: opened, event: hot.opened}]
steps:
  - id: closed
    wait: {forever: true, events: [{id: closed, event: hot.closed}]}
  - id: hurried
    wait: {within: 1s, events: [{id: closed, event: hot.closed, where: "event.hurry == 1"}]}
"""


@pytest.fixture
def world(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[World]:
    with World(broker, tmp_path / "world", print, hot.TOPIC, Forked) as made:
        yield made


def command_line(world: World) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "streamflow.cli.main", "--bootstrap", world.broker.bootstrap_servers),
        *("--prefix", world.prefix),
    )


def asked(world: World, *words: str) -> Any:
    """What the command line answers as JSON."""
    line = [*command_line(world), *words, "--json"]
    environment = {**os.environ, "STREAMFLOW_TOPICS__PARTITIONS": str(PARTITIONS)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_partitions_are_added_under_load_and_nothing_is_lost_or_done_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(DEFINITION, hot.CATALOG.replace("TOPIC", world.source))
    sender, store = Sender(world), world.folder / "history.sqlite"
    monkeypatch.setenv("STREAMFLOW_HISTORY__PATH", str(store))
    ingress = world.worker("ingress", instance_id="ingress")
    world.worker("history", path=str(store))
    first, second = (world.worker("engine", name, instance_id=name) for name in ("one", "two"))
    for number in range(KEYS):
        sender.event("opened", f"key-{number}")
    sender.flush()
    world.wait_progress(lambda progress: progress.decided > KEYS // 2, "some runs to be open")

    found = asked(world, "topics", "grow", str(2 * PARTITIONS), "--yes")["generations"]
    assert [(one["first"], one["partitions"]) for one in found] == [(0, PARTITIONS), (PARTITIONS, 2 * PARTITIONS)]
    first.kill()
    for number in range(KEYS, 3 * KEYS):
        for _ in range(1 + number % 2):  # some come twice
            sender.event("opened", f"key-{number}")
    sender.flush()
    first.restart()
    ingress.kill()
    for number in range(3 * KEYS):
        if number == 2 * KEYS:
            second.kill()
        sender.event("closed", f"key-{number}")
    for number in range(KEYS):  # what was consumed before the growth is known
        sender.event("opened", f"key-{number}")
    sender.flush()
    ingress.restart()
    second.restart()
    eventually(
        lambda: (world.progress().read, open_runs(world)) == (len(sender.inputs), [0, 0]), timeout=150, every=1.0
    )
    ingress.stop()  # as long as it is there, watermarks come
    world.drain()

    used = asked(world, "topics", "generations")["generations"]
    assert [one["state"] for one in used] == ["drained", "newest"]
    assert used[0]["forwarded"] > 2 * KEYS
    shown = asked(world, "runs", "list", "--limit", "1000")["runs"]
    assert len(shown) == 3 * KEYS
    eventually(lambda: asked(world, "history", "find", "--status", "completed")["count"]["n"] == 3 * KEYS, timeout=60)
    world.stop()
    with Broker(world.broker.bootstrap_servers, world.prefix) as broker:
        runs = [len(list(broker.records(f"{world.prefix}runs", number))) for number in range(3 * PARTITIONS)]
        report = judge(broker, Experiment(inputs=tuple(sender.inputs), cli=command_line(world), history=True, sample=5))
    assert sum(runs[PARTITIONS:]) >= 2 * KEYS * 4
    assert report.ok, report.table()
    assert report.counts["runs completed"] == 3 * KEYS


def open_runs(world: World) -> list[int]:
    return [one["open_runs"] for one in asked(world, "topics", "generations")["generations"]]


def test_growth_is_by_multiples_is_repeated_without_harm_and_new_lanes_have_all_partitions(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    settings = Settings(
        kafka=Kafka(bootstrap_servers=broker.bootstrap_servers),
        topics=Topics(prefix=f"g{tmp_path.name[:20]}.", partitions=2),
        state_dir=tmp_path,
    )
    admin.apply(settings)
    for wrong in (1, 2, 3):
        with pytest.raises(Rejected) as refused:
            grow(settings, wrong)
        assert refused.value.code == "generation_invalid"
    assert [one.partitions for one in grow(settings, 4)] == [2, 4]
    assert [one.partitions for one in grow(settings, 4)] == [2, 4]
    assert [(one.first, one.partitions) for one in grow(settings, 8)] == [(0, 2), (2, 4), (6, 8)]
    assert [finding for finding in admin.verify(settings) if finding.setting == "partitions"] == []

    more = settings.model_copy(
        update={
            "tasks": settings.tasks.model_copy(
                update={"lanes": {**settings.tasks.lanes, "slow": settings.tasks.lanes["default"]}}
            )
        }
    )
    admin.apply(more)
    found = admin.Admin(more).describe([f"{settings.topics.prefix}tasks.slow"])
    assert [topic.partitions for topic in found.values()] == [14]
    admin.require_topics(more)
