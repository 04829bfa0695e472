"""Where reading begins depends on when records were appended, not on producers' times or the publisher's clock."""

from __future__ import annotations

import time

from confluent_kafka.admin import NewPartitions

from tests.regressions.case import Broken, case
from tests.regressions.clock import wrong_clock
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
_DAY_MS = 86_400_000


def _yesterday() -> int:
    return round(time.time() * 1000) - _DAY_MS


@case(seconds=20)
def old_create_time_after_the_publication(site: Site) -> str:
    """A record with an old CreateTime that is appended after the publication starts a run."""
    site.create("starts", config={"message.timestamp.type": "CreateTime"})
    site.publish(_DEFINITION, _CATALOG)
    site.send("starts", {"type": "go", "key": "old"}, "old", at_ms=_yesterday())
    site.start("engine", "ingress")
    site.need(lambda: site.lag("ingress") == 0, "ingress to read the topic")
    site.send("starts", {"type": "go", "key": "new"}, "new")
    site.need(lambda: "new" in site.printed(), "a later record to start a run")
    if site.printed() != ["old", "new"]:
        raise Broken(f"runs were started for {site.printed()}, not for the record of an old CreateTime before it")
    return f"runs were started for {site.printed()}"


@case(seconds=20)
def publisher_an_hour_behind(site: Site) -> str:
    """A publisher whose clock is an hour behind does not start runs for what was there before the publication."""
    site.create("starts")
    site.send("starts", {"type": "go", "key": "before"}, "before")
    site.publish(_DEFINITION, _CATALOG, wrong_clock(site.folder, -3600))
    site.start("engine", "ingress")
    site.need(lambda: site.lag("ingress") == 0, "ingress to read the topic")
    site.send("starts", {"type": "go", "key": "after"}, "after")
    site.need(lambda: "after" in site.printed(), "a later record to start a run")
    if site.printed() != ["after"]:
        raise Broken(f"runs were started for {site.printed()}")
    return f"runs were started for {site.printed()}"


@case(seconds=25)
def partition_added_later(site: Site) -> str:
    """A partition that is added later is read from its beginning, whatever the CreateTime of its records."""
    site.create("starts", config={"message.timestamp.type": "CreateTime"})
    _, ingress = site.start("engine", "ingress")
    site.publish(_DEFINITION, _CATALOG)
    site.send("starts", {"type": "go", "key": "first"}, "first")
    site.need(lambda: site.printed() == ["first"], "the topic to be read")
    site.remove(ingress)
    for grown in site.admin.create_partitions([NewPartitions(site.topic("starts"), 2)]).values():
        grown.result(20)
    site.need(lambda: site.partitions_of("starts") == 2, "the second partition")
    site.forget_metadata()
    site.send("starts", {"type": "go", "key": "old"}, "old", at_ms=_yesterday(), partition=1)
    site.worker("ingress", "ingress")

    def read_later() -> bool:
        site.send("starts", {"type": "go", "key": "later"}, "later", partition=1)
        return "later" in site.printed()

    site.need(read_later, "the new partition to be read")
    site.pause(1)
    if "old" not in site.printed():
        raise Broken(f"the first record of the new partition, of an old CreateTime, was not read: {site.story('old')}")
    return f"runs were started for {sorted(set(site.printed()))}"
