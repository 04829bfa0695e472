"""A partition that has stopped holds up its own keys only."""

from __future__ import annotations

from confluent_kafka import TopicPartition

from tests.regressions.case import case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
"""
_DEFINITION = """
name: starter
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: note, print: {text: run.key}}
"""


@case(seconds=35, partitions=2)
def lag_of_a_stopped_partition(site: Site) -> str:
    """A partition stops at a gap in its input: events of the other partition's keys still start runs."""
    stopped, other = site.key_in(0), site.key_in(1)
    site.create("starts", partitions=2)
    engine, _ = site.start("engine", "ingress", settings={"STREAMFLOW_INGRESS__MAX_ENGINE_LAG": "20"})
    site.publish(_DEFINITION, _CATALOG)
    for partition, key in enumerate((stopped, other)):
        _start(site, partition, key)
    site.need(lambda: len(site.printed()) == 2, "both partitions to work")
    engine.stop()
    site.workers.remove(engine)
    for _ in range(5):
        _start(site, 0, stopped)
    commands = site.own_topic("commands")
    site.need(lambda: site.lag("ingress") == 0, "the events to be read")
    # the commands that the engine has not read are deleted: the partition must stop there
    for deleted in site.admin.delete_records([TopicPartition(commands, 0, -1)]).values():
        deleted.result(20)
    for _ in range(40):
        _start(site, 0, stopped)
    site.worker("engine", "engine")
    site.pause(6)
    key = site.key_in(1, 1)
    _start(site, 1, key)
    site.expect(lambda: key in site.printed(), "an event of the other partition to start a run", 20)
    return f"a run of the other partition was started; the stopped one has {len(site.facts(key=stopped))} transitions"


def _start(site: Site, partition: int, key: str) -> None:
    """An event of `key` in this partition of the source."""
    site.send("starts", {"type": "go", "key": key}, key, partition=partition)
