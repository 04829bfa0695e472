"""Users' topics that take nothing, on a real broker: they hold up neither runs, checkpoints nor other topics, and get
their events in the end, also those of a worker that was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from confluent_kafka.admin import NewTopic

from streamflow.engine import commands as c
from tests.integration.forked import altered
from tests.integration.workers import CATALOG, Bench, bench

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

SHIPPING = """
name: NAME
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: ship
    emit: {event: EVENT, data: [{name: id, expr: run.key}]}
"""
EVENT = """  - {name: NAME, topics: [TOPIC], key: {path: id}, schema: {type: object, properties: {id: {type: string}}}}
"""


def shipping(bench: Bench, name: str, topic: str) -> c.DefinitionRef:
    """A definition that emits an event of its own to a topic of its own."""
    for future in bench.admin.create_topics([NewTopic(topic, 1)]).values():
        future.result()
    event = f"order.{name}"
    text = SHIPPING.replace("NAME", name).replace("EVENT", event)
    catalog = CATALOG.replace("TOPIC", "shipments") + EVENT.replace("NAME", event).replace("TOPIC", topic)
    return bench.publish(text, catalog=catalog)


def takes_nothing(state: Path) -> None:
    """Nothing can be sent to the topic `stuck` before there is a file `repaired` beside the state folder: as if its
    partitions had no leader, for which aiokafka needs 40 s each time."""
    from aiokafka import AIOKafkaProducer

    send_batch = AIOKafkaProducer.send_batch

    async def sent(self: AIOKafkaProducer, batch: Any, topic: str, *, partition: int) -> Any:
        if topic.endswith("stuck") and not (state.parent / "repaired").exists():
            raise KafkaTimeoutError
        return await send_batch(self, batch, topic, partition=partition)

    AIOKafkaProducer.send_batch = sent


def shipped(bench: Bench, topic: str) -> list[str]:
    """The keys of the events in `topic`, the first copy of each, in their order."""
    ids = {dict(m.headers() or [])["ce_id"]: json.loads(m.value() or b"")["id"] for m in bench.stranger.messages(topic)}
    return list(ids.values())


def test_a_topic_that_takes_nothing_holds_up_nobody_and_gets_its_events_after_a_kill(bench: Bench) -> None:
    stuck, fine = f"{bench.prefix}stuck", f"{bench.prefix}fine"
    to_stuck, to_fine = shipping(bench, "to-stuck", stuck), shipping(bench, "to-fine", fine)
    worker = bench.worker(kind=altered(takes_nothing))
    keys = [bench.key_of(0, nth) for nth in range(5)]
    runs = [bench.start(to_stuck, key, "to-stuck") for key in keys]
    runs += [bench.start(to_fine, key, "to-fine") for key in keys]
    for run in runs:
        bench.wait_history(run, "EventEmitted", "RunCompleted")
    bench.wait_saved()
    assert bench.wait(lambda: shipped(bench, fine), "events in the topic that takes them") == keys
    assert shipped(bench, stuck) == []
    line = bench.wait_line(worker, "topic_takes_nothing")
    assert (line["topic"], line["events"]) == (stuck, 5)
    worker.kill()
    (worker.state.parent / "repaired").touch()
    bench.restart(worker)
    opened = bench.wait_line(worker, "partition_open", partition=0, applied=9)
    assert opened["unsent_events"] >= 5  # those to the other topic too, if the cut came before they were acknowledged
    bench.wait(lambda: shipped(bench, stuck) == keys, "the events that were in the outbox")
    assert bench.letters() == []
    bench.wait_saved()
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
