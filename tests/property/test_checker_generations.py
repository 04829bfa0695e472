"""The checker and an installation that grew: it finds nothing wrong after any trouble, and sees what is wrong."""

from __future__ import annotations

import pytest

from streamflow.engine import starts
from streamflow.engine.generations import Forwarded
from streamflow.engine.mailbox import delivery, memory
from streamflow.simulation.driver import Simulation
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from streamflow_check.promises import Report
from streamflow_check.records import Record
from tests.checker.recorded import Recorded, changed, of_simulation
from tests.conftest import examples
from tests.property.protocol import DATA, LIMITS, Growing
from tests.property.protocol_definitions import CATALOG, CHECKS, ORDER
from tests.property.test_checker import after
from tests.property.test_generations import OPERATIONS, STORY


def grown() -> Recorded:
    """A quiet day of an installation that grew twice."""
    world = Simulation(partitions=2, source_partitions=2, limits=LIMITS, operations=OPERATIONS)
    for definition in (ORDER, CHECKS):
        world.publish(definition, CATALOG)
    for number in range(30):
        if number in (8, 16):
            world.grow(world.log.generations[-1][1] * 2)
        world.send("placed", DATA["placed"][number % 2], key=f"k{number % 25 % 11}", id=f"placed-{number % 25}")
        world.send("paid", {"amount": 5}, key=f"k{number % 7}", id=f"paid-{number}")
        world.advance("5s")
    world.advance("2d")
    return of_simulation(world)


def verdict(topics: Recorded) -> Report:
    return judge(topics, Experiment(late_ms=0, window_ms=LIMITS.window_ms))


def forwarded(topics: Recorded, kind: str) -> Record:
    """The first command of this kind that was forwarded, where it arrived."""
    return topics.find("commands", lambda record: bool(record.header("forwarded")) and record.json()["kind"] == kind)


def test_what_comes_out_of_growth_and_any_trouble_keeps_every_promise() -> None:
    assert verdict(grown()).ok
    for seed in range(examples(30)):
        report = after(Growing, seed, STORY)
        assert report.ok, f"seed {seed}\n{report.table()}"


def test_an_event_that_was_forwarded_and_did_not_arrive_is_missed() -> None:
    topics = grown()
    topics.drop(forwarded(topics, "Deliver"))
    assert "events-accounted" in verdict(topics).broken_promises


@pytest.mark.parametrize("kind", ["Deliver", "AdvanceWatermark"])
def test_a_command_that_arrives_as_another_one_is_seen(kind: str) -> None:
    topics = grown()
    found = forwarded(topics, kind)
    topics.replace(found, changed(found, trace={"parent": "00-1-2-01"}))
    assert "identical-copies" in verdict(topics).broken_promises


def test_an_event_that_two_generations_consume_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that forwards an event which it has consumed."""

    def forwards_what_it_knows(builder: object, box: object) -> None:
        if getattr(builder, "successor", None) is not None:
            raise Forwarded

    real = memory.find
    for module in (delivery, starts):
        monkeypatch.setattr(module, "require_mailbox_here", forwards_what_it_knows)
    monkeypatch.setattr(
        memory,
        "find",
        lambda builder, *rest: None if builder.successor is not None else real(builder, *rest),
    )
    assert "once-consumed" in verdict(grown()).broken_promises
