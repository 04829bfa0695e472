"""Event delivery on a real broker: who gets an event, what nobody took, and that a killed worker changes neither."""

from __future__ import annotations

import pytest

from streamflow.engine import commands as c
from streamflow.ops.unclaimed import read_unclaimed
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from tests.integration.workers import Bench, bench

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

KEPT = """
name: payment
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: paid
    wait: {events: [{id: paid, event: order.paid, where: event.amount >= 10}], forever: true, keep: 1h}
"""


def start(bench: Bench, ref: c.DefinitionRef, key: str, number: int) -> str:
    """Starts another run for a key; its id."""
    event = c.Event(name="order.placed", id=f"placed-{key}-{number}", time_ms=1, data={"id": key, "total": 5})
    origin = c.Origin(topic_id="orders", partition=0, offset=number, committed=0)
    delivery = c.Deliver(
        id=f"start-{key}-{number}",
        definition="payment",
        key=key,
        event=event,
        origin=origin,
        start=ref,
        trigger="placed",
    )
    return bench.run_of(delivery, bench.acknowledged(delivery))


def test_each_of_several_orders_is_paid_by_a_payment_of_its_own_across_a_kill(bench: Bench) -> None:
    ref = bench.publish(KEPT)
    worker = bench.worker(checkpoint_s=0.2)
    for number in range(2):
        bench.deliver("k1", event_id=f"p{number}", keep_ms=3_600_000)
    runs = [start(bench, ref, "k1", number) for number in range(4)]
    for run in runs[:2]:
        bench.wait_history(run, "RunCompleted")
    worker.kill()
    bench.restart(worker)
    bench.deliver("k1", event_id="p0")  # sent again, after other runs have begun
    bench.deliver("k1", event_id="p2")
    bench.wait_history(runs[2], "RunCompleted")
    bench.wait_saved()
    assert bench.history(runs[3]) == ["RunStarted", "WaitStarted"]
    taken = [
        t.fields["data"]["event"]["id"] for run in runs for t in bench.transitions(run) if t.name == "WaitSatisfied"
    ]
    assert list(dict.fromkeys(taken)) == ["p0", "p1", "p2"]
    worker.stop()
    bench.check_exact()
    with Broker(bench.servers["bootstrap.servers"], bench.prefix) as broker:
        report = judge(broker, Experiment())
    assert report.findings["once-consumed"].word == report.findings["events-accounted"].word == "kept", report.table()


def test_what_nobody_took_is_found_by_its_key_with_the_reason(bench: Bench) -> None:
    ref = bench.publish(KEPT.replace(", keep: 1h", ""))
    bench.worker()
    bench.deliver("k1", event_id="nobody")
    run = bench.start(ref, "k2")
    bench.wait_history(run, "WaitStarted")
    bench.deliver("k2", event_id="too-little", amount=1)
    bench.wait_saved()
    (nobody,) = read_unclaimed(bench.settings, key="k1")
    assert (nobody.event.id, nobody.event.reason, nobody.event.run) == ("nobody", "no_run", None)
    (near,) = read_unclaimed(bench.settings, key="k2")
    assert (near.event.id, near.event.reason, near.event.run, near.event.step) == (
        "too-little",
        "where_false",
        run,
        "paid",
    )
    assert len(list(read_unclaimed(bench.settings))) == 2
