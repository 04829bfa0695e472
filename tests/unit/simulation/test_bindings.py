"""Where events are found is the environment's: the same content reads and emits elsewhere when its events are bound
anew."""

from __future__ import annotations

from streamflow.definition.catalog import Catalog
from streamflow.engine.builder import Limits
from streamflow.engine.commands import Event
from streamflow.engine.transitions import EventEmitted, RunCompleted
from streamflow.simulation.driver import Simulation
from tests.builders import a_catalog, a_definition

ORDER = a_definition({"id": "tell", "emit": {"event": "told", "data": [{"name": "n", "expr": "trigger.n"}]}})


def bound(placed: str, told: str) -> Catalog:
    return a_catalog("placed", "told", topics={"placed": placed, "told": told})


def test_the_same_content_is_read_and_emitted_elsewhere_after_another_binding() -> None:
    simulation = Simulation()
    sha = simulation.publish(ORDER, bound("test.orders", "test.told"))
    simulation.send("placed", {"n": 1}, key="k1")
    simulation.run_until_quiet()

    assert simulation.publish(ORDER, bound("prod.orders", "prod.told")) == sha
    simulation.send("placed", {"n": 2}, key="k2")
    simulation.send("placed", {"n": 3}, key="k3", topic="test.orders")  # nobody reads there any more
    simulation.run_until_quiet()

    assert [len(simulation.published_events(topic)) for topic in ("test.told", "prod.told")] == [1, 1]
    assert len(simulation.runs()) == 2
    assert {t.definition for t in simulation.transitions()} == {"order"}


def test_a_transition_names_the_event_and_no_topic() -> None:
    simulation = Simulation()
    simulation.publish(ORDER, bound("orders", "told"))
    simulation.send("placed", {"n": 1}, key="k1")
    simulation.run_until_quiet()
    (fact,) = (t.data for t in simulation.transitions() if isinstance(t.data, EventEmitted))
    assert (fact.event, hasattr(fact, "topic")) == ("told", False)


def test_an_emitted_event_without_a_binding_is_a_dead_letter_and_the_run_goes_on() -> None:
    simulation = Simulation()
    simulation.publish(ORDER, bound("orders", "told"))
    del simulation.definitions.bindings["told"]
    simulation.send("placed", {"n": 1}, key="k1")
    simulation.run_until_quiet()
    (run,) = simulation.runs()
    assert isinstance(simulation.history(run)[-1].data, RunCompleted)
    (letter,) = simulation.dead_letters()
    assert (letter["reason"], letter["event"], letter["run"]) == ("undeliverable", "told", run)
    assert "bound to no topic" in letter["message"]


def test_runs_of_two_environments_have_different_ids() -> None:
    ids = set()
    for environment in ("test", "prod"):
        simulation = Simulation(limits=Limits(environment=environment))
        simulation.publish(ORDER, bound("orders", "told"))
        simulation.send("placed", {"n": 1}, key="k1", id="e1")
        simulation.run_until_quiet()
        (run,) = simulation.runs()
        assert run.split("-")[1] == environment
        assert isinstance(simulation.history(run)[0].data.event, Event)
        ids.add(run.split("-")[2])
    assert len(ids) == 2
