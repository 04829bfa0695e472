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

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamflow.engine.commands import OpenGeneration
from streamflow.engine.state import OWN, NextGeneration, PartitionState
from streamflow.errors import OperationError, Rejected
from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.engine_records import record_generations
from streamflow.kafka.generations import generations, grow
from streamflow.kafka.log_reading import read_log
from streamflow.kafka.rights import Role, own_topics
from streamflow.kafka.topics import topic_name
from streamflow.ops.generations import recall_generations, use_of_generations
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Kafka, Lane, Mirror, Settings, Topics
from streamflow.wire.codec import decode_command
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
    settings = settings_of(broker, tmp_path, 2)
    admin.apply(settings)
    for wrong in (1, 2, 3, 1_000_000):
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


def test_settings_with_other_partitions_than_the_first_generation_are_refused(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """All that is sent would go to other partitions, past what the first generation remembers. Before a growth, and
    after it, when the number of all partitions looks right."""
    settings = settings_of(broker, tmp_path, 4)
    admin.apply(settings)
    for wrong in (1, 2, 8, 12):
        refused_everywhere(with_partitions(settings, wrong))
    grow(settings, 8)
    for wrong in (2, 8, 12):
        refused_everywhere(with_partitions(settings, wrong))
    admin.require_topics(settings)
    assert generations(settings, read_log(settings))[-1].partitions == 8


def refused_everywhere(wrong: Settings) -> None:
    for does in (admin.require_topics, admin.apply, use_of_generations, lambda there: grow(there, 16)):
        with pytest.raises(OperationError) as refused:
            does(wrong)
        assert refused.value.code == "topics_differ"


def with_partitions(settings: Settings, partitions: int) -> Settings:
    return settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": partitions})})


def settings_of(broker: EmbeddedBroker, folder: Path, partitions: int) -> Settings:
    return Settings(
        kafka=Kafka(bootstrap_servers=broker.bootstrap_servers),
        topics=Topics(prefix=f"g{folder.name[-20:]}.", partitions=partitions),
        state_dir=folder,
    )


@pytest.mark.parametrize("step", ["_add_partitions", "_open"])
def test_a_growth_that_was_broken_off_is_done_by_a_further_one(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Every partition forwards to the generation after its own; else all that comes would stay in the first one."""
    settings = settings_of(broker, tmp_path, 1)
    admin.apply(settings)

    def breaks_off(*_: object, only_look: bool = False) -> None:
        if not only_look:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"streamflow.kafka.generations.{step}", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            grow(settings, 2)
    admin.require_topics(settings)  # workers that start meanwhile do
    grow(settings, 4)

    with Reading(settings, topic_name(settings, "commands")) as reading:
        opened = [(record.partition, decode_command(record.value or b"")) for record in reading.to_end()]
    found = {
        (number, one.first, one.partitions, one.before_first, one.before)
        for number, one in opened
        if isinstance(one, OpenGeneration)
    }
    assert found == {(0, 1, 2, 0, 1), (1, 3, 4, 1, 2), (2, 3, 4, 1, 2)}


def test_nothing_is_noted_when_the_broker_would_not_add_partitions(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted stays, and a later growth has to be a multiple of it."""
    settings = settings_of(broker, tmp_path, 1)
    admin.apply(settings)
    admin.Admin(settings).add_partitions(topic_name(settings, "runs"), 5, only_look=True)
    assert admin.plan(settings) == []

    def denied(_admin: admin.Admin, name: str, total: int, *, only_look: bool) -> None:
        raise OperationError("right_missing", f"{name} {total} {only_look}")

    with monkeypatch.context() as without:
        without.setattr(admin.Admin, "add_partitions", denied)
        with pytest.raises(OperationError) as missing:
            grow(settings, 4)
    assert missing.value.code == "right_missing"
    assert read_log(settings).generations == ()
    assert grow(settings, 2)[-1].partitions == 2


def test_generations_are_read_from_the_state_when_the_definitions_are_lost(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    settings = settings_of(broker, tmp_path, 1)
    admin.apply(settings)
    assert not recall_generations(settings)
    grow(settings, 2)
    grow(settings, 4)
    client = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number, after in enumerate((NextGeneration(first=1, partitions=2, index=0, before=1), *SECOND, *[None] * 4)):
        own = msgspec.json.encode(PartitionState(topic_id="T", partition=number, successor=after))
        client.produce(topic_name(settings, "state"), own, OWN, number)
    client.flush(10)
    deletes = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    definitions = topic_name(settings, "definitions")
    deletes.delete_topics([definitions])[definitions].result(10)
    eventually(lambda: definitions not in admin.Admin(settings).names())

    with pytest.raises(OperationError) as refused:
        admin.apply(settings)
    assert refused.value.code == "topics_differ"
    with pytest.raises(OperationError) as other:
        recall_generations(with_partitions(settings, 7))
    assert other.value.code == "topics_differ"
    assert recall_generations(settings)
    assert [one.partitions for one in grow(settings, 4)] == [1, 2, 4]
    admin.apply(settings)
    assert admin.plan(settings) == []


SECOND = tuple(NextGeneration(first=3, partitions=4, index=number, before=2) for number in range(2))


def test_of_two_growths_at_the_same_time_one_is_refused(broker: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_of(broker, tmp_path, 1)
    admin.apply(settings)
    record_generations(settings, (1, 2))
    record_generations(settings, (1, 2))
    with pytest.raises(OperationError) as refused:
        record_generations(settings, (1, 4))
    assert refused.value.code == "generation_differs"
    assert read_log(settings).generations == (1, 2)


def test_lanes_and_mirrors_that_only_others_serve_grow_too(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Whoever grows need not name them: the engine sends to every partition of each lane."""
    settings = settings_of(broker, tmp_path, 1)
    theirs = settings.model_copy(
        update={
            "tasks": settings.tasks.model_copy(update={"lanes": {"default": Lane(), "slow": Lane()}}),
            "mirror": Mirror(topics=["runs", "dead-letters"]),
        }
    )
    admin.apply(theirs)
    grow(settings, 2)
    assert admin.plan(theirs) == []
    names = {role: f"{settings.topics.prefix}{role}" for role in ("tasks.slow", "runs.avro", "dead-letters.avro")}
    found = admin.Admin(settings).describe(names.values())
    assert {role: found[name].partitions for role, name in names.items()} == {
        "tasks.slow": 3,
        "runs.avro": 3,
        "dead-letters.avro": 1,
    }
    only_mirrors = own_topics(theirs, Role.MIRROR)
    assert admin.require_topics(theirs, only_mirrors).keys() == set(only_mirrors)
