"""A topic of the users that takes nothing holds up no checkpoint."""

from __future__ import annotations

import time

from tests.regressions.case import Broken, case, excluded
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - {name: told, topics: [$sink]}
"""
_DEFINITION = """
name: teller
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: tell, if: trigger.tell, emit: {event: told, data: [{name: key, expr: run.key}]}}
"""
_SOON_S = 15.0


@case(seconds=40)
def event_to_a_deleted_topic(site: Site) -> str:
    """After one event to a topic that was deleted, the engine goes on saving: it is not behind 15 s later."""
    site.create("starts", "sink")
    (engine, _) = site.start("engine", "ingress")
    site.publish(_DEFINITION, _CATALOG)
    site.send("starts", {"type": "go", "key": "k1", "tell": True}, "k1")
    site.need(lambda: site.records(site.topic("sink")), "the first event to be emitted")
    site.need(lambda: site.lag("engine") == 0, "everything to be saved")
    for gone in site.admin.delete_topics([site.topic("sink")]).values():
        gone.result(20)
    site.pause(1)
    site.send("starts", {"type": "go", "key": "k2", "tell": True}, "k2")
    site.need(lambda: site.seen("EventEmitted", key="k2"), "the second event to be emitted")
    began = time.monotonic()
    site.send("starts", {"type": "go", "key": "k3", "tell": False}, "k3")
    site.expect(lambda: site.seen("RunCompleted", key="k3"), "a run without an event to end")
    while (behind := site.lag("engine")) and time.monotonic() - began < _SOON_S:
        site.pause(0.5)
    if behind:
        lost = engine.said("partition_failed")
        raise Broken(f"{behind} commands are not saved after {_SOON_S:.0f} s; partitions that failed: {lost}")
    seconds = time.monotonic() - began
    site.expect(site.dead_letters, "the event that could not be delivered to be a dead letter", 90)
    return f"everything was saved {seconds:.1f} s later; the event is a dead letter ({site.dead_letters()[0].reason})"


excluded(
    __name__,
    "an event to a topic without a leader is tried for ever",
    "It needs a second broker that is lost for good; the cases share one broker. The fault campaign has three brokers.",
)
