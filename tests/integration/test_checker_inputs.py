"""The checker follows acknowledged events from their topic through ingress and engine, over kills and copies."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Message, Producer

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment, Input
from streamflow_check.judge import judge
from streamflow_check.promises import Report
from tests.integration.forked import Forked
from tests.proof import hot
from tests.proof.world import World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

KEYS = 150


class Sender:
    """Sends events and writes down what was acknowledged, each with what is to come of it."""

    def __init__(self, world: World) -> None:
        self.inputs: list[Input] = []
        self._world = world
        self._producer = Producer(
            {
                "bootstrap.servers": world.broker.bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
            }
        )

    def send(self, value: bytes, key: str, expected: Input) -> None:
        def acknowledged(error: object, message: Message) -> None:
            assert error is None
            self.inputs.append(
                replace(
                    expected, topic=self._world.source, partition=message.partition() or 0, offset=message.offset() or 0
                )
            )

        self._producer.produce(self._world.source, value, key.encode(), on_delivery=acknowledged)
        self._producer.poll(0)

    def event(self, kind: str, key: str) -> None:
        id_ = f"{kind}-{key}"
        starts, takes = (("hot",), ()) if kind == "opened" else ((), ("hot",)) if kind == "closed" else ((), ())
        known = Input(id=id_, starts=starts, takes=takes, ignored=kind == "noise")
        self.send(json.dumps({"id": id_, "type": kind, "key": key}).encode(), key, known)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0


@pytest.fixture(scope="module")
def played(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[Input]]]:
    """Runs opened and closed, events of no interest, bytes that cannot be read, half of everything twice, and a kill of
    each worker."""
    chosen = random.Random(5)
    with World(broker, tmp_path_factory.mktemp("inputs") / "world", print, hot.TOPIC, Forked) as world:
        world.publish(hot.DEFINITION.replace("VERSION", "1"), hot.CATALOG.replace("TOPIC", world.source))
        sender = Sender(world)
        ingress, engine = world.worker("ingress", instance_id="ingress"), world.worker("engine", instance_id="engine")
        for kind in ("opened", "noise", "closed"):
            for number in range(KEYS):
                for _ in range(chosen.choice((1, 2))):
                    sender.event(kind, f"key-{number}")
            sender.send(b"{rubbish", kind, Input(dead=True))
            sender.flush()
            if kind == "opened":
                world.wait_progress(lambda progress: progress.decided > 20, "some work")
                engine.kill()
                engine.restart()
            elif kind == "noise":
                ingress.kill()
                ingress.restart()
        world.drain()
        world.stop()
        yield world, sender.inputs


def verdict(world: World, inputs: list[Input]) -> Report:
    with Broker(world.broker.bootstrap_servers, world.prefix) as broker:
        return judge(broker, Experiment(inputs=tuple(inputs)))


def test_every_acknowledged_event_has_its_one_outcome(played: tuple[World, list[Input]]) -> None:
    world, inputs = played
    report = verdict(world, inputs)
    assert report.ok, report.table()
    assert report.findings["acknowledged-input"].looked == len(inputs) > 3 * KEYS
    assert report.counts["runs completed"] == KEYS
    assert report.findings["counts-add-up"].looked > 5 * 12


def test_events_without_their_outcome_are_missed_and_nothing_else_is(played: tuple[World, list[Input]]) -> None:
    world, inputs = played
    noise, opened = (next(known for known in inputs if known.id == f"{kind}-key-3") for kind in ("noise", "opened"))
    wrong = [
        replace(noise, id="opened-nobody", starts=("hot",)),
        replace(noise, id="closed-nobody", takes=("hot",)),
        replace(noise, offset=1_000_000),
        replace(noise, dead=True),
        replace(opened, starts=(), ignored=True),
    ]
    report = verdict(world, [*inputs, *wrong])
    assert report.broken_promises == ["acknowledged-input"]
    found = report.findings["acknowledged-input"]
    assert found.broken == len(wrong)
    for evidence, what in zip(
        found.evidence,
        ("there are 0", "0 took it", "the topic ends", "no dead letter", "something was made"),
        strict=True,
    ):
        assert what in evidence
