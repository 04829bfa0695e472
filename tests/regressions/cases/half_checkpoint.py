"""A checkpoint is committed whole or not at all, whatever the broker refuses of it."""

from __future__ import annotations

import random

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: order.placed, topics: [$orders], key: {path: customer}, id: {path: id}, match: {path: type, equals: placed}}
  - {name: payment, topics: [$payments], key: {path: customer}, id: {path: id}, match: {path: type, equals: pay}}
"""
_DEFINITION = """
name: order
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - {id: paid, wait: {events: [{id: got, event: payment}], forever: true}}
  - {id: ship, needs: [paid.got], if: trigger.text != 'lost', print: {text: run.key}}
"""
# Bytes of the orders. A batch of the changelog takes 512 kB: the first four make one that the broker takes, each of the
# next four one that it refuses.
_SIZES = (60_000,) * 4 + (380_000,) * 4 + (0,) * 4
_LARGEST = 300_000  # what the broker takes at most, for a while


@case(seconds=45)
def broker_refuses_one_batch_of_a_cut(site: Site) -> str:
    """The broker refuses the large records of a checkpoint for a while: afterwards no run of it is lost."""
    chance = random.Random(7)
    site.create("orders", "payments")
    engine, _ = site.start(
        "engine",
        "ingress",
        settings={"STREAMFLOW_ENGINE__CHECKPOINT_S": "3", "STREAMFLOW_ENGINE__CHECKPOINT_IDLE_S": "3"},
    )
    site.publish(_DEFINITION, _CATALOG)
    site.send("orders", {"type": "placed", "id": "o", "customer": "first", "text": ""}, "first")
    site.need(lambda: site.seen("WaitStarted"), "the first run to wait")
    site.need(lambda: site.lag("engine") == 0, "the first run to be saved")
    customers = ["first"] + [f"c{number}" for number in range(len(_SIZES))]
    _largest(site, _LARGEST)
    for customer, size in zip(customers[1:], _SIZES, strict=True):
        text = chance.randbytes(size // 2).hex()
        order = {"type": "placed", "id": f"o-{customer}", "customer": customer, "text": text}
        site.send("orders", order, customer, flush=False)
    site.flush()
    site.need(lambda: len({f.run for f in site.seen("WaitStarted")}) == len(customers), "all runs to wait", 30)
    site.pause(12)
    failed = engine.said("partition_failed")
    _largest(site, 2_000_000)
    site.pause(4)
    for customer in customers:
        site.send("payments", {"type": "pay", "id": f"p-{customer}", "customer": customer}, customer)
    try:
        site.expect(lambda: set(site.printed()) == set(customers), "every paid order to be shipped", 45)
    except Broken:
        lost = sorted(set(customers) - set(site.printed()))
        raise Broken(
            f"{len(lost)} of {len(customers)} runs that had begun to wait made no further transition: {lost}; "
            f"checkpoints that the broker refused: {failed}"
        ) from None
    return f"all {len(customers)} runs were paid; checkpoints that the broker refused: {failed}"


def _largest(site: Site, size: int) -> None:
    """Sets the largest batch that the broker takes in the topic of checkpoints."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, site.own_topic("state"), incremental_configs=[entry])
    for done in site.admin.incremental_alter_configs([resource]).values():
        done.result(20)
