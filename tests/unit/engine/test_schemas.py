"""What leaves a run fits the schema that was declared for it, also where types could not tell: an emitted event and the
input of a child run."""

from __future__ import annotations

from typing import Any

from streamflow.definition.catalog import Catalog, ChildSpec
from streamflow.definition.check import check
from streamflow.definition.model import Definition
from streamflow.engine.attempt_transitions import AttemptFailed, ChildRequested
from streamflow.engine.transitions import EventEmitted, RunCompleted, StepParked
from streamflow.simulation.driver import Simulation
from tests.builders import a_catalog, a_definition
from tests.unit.engine.outside import ended, of, started

DATA = {
    "type": "object",
    "required": ["count"],
    "properties": {"count": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "object"}}},
}
EMIT = {
    "id": "tell",
    "emit": {
        "event": "told",
        "data": [{"name": "count", "expr": "trigger.count"}, {"name": "lines", "expr": "trigger.lines"}],
    },
}
CHILD = Definition.model_validate(
    {
        "name": "refund",
        "version": "1",
        "input": DATA,
        "output": "twice",
        "steps": [{"id": "twice", "set": [{"name": "n", "expr": "trigger.count * 2"}]}],
    }
)
RUN = {
    "id": "child",
    "run": {"definition": "refund", "version": "1", "with": [{"name": "count", "expr": "trigger.count"}]},
}
ITEMS = {
    "id": "children",
    "each": {"items": "trigger.counts"},
    "run": {
        "definition": "refund",
        "version": "1",
        "key": "run.key + string(index)",
        "with": [{"name": "count", "expr": "item"}],
    },
}


def world(*steps: dict[str, Any], **more: Any) -> Simulation:
    """The steps, with an event `told` and a definition `refund` that declare schemas; nothing is known of `placed`."""
    simulation = Simulation()
    catalog = a_catalog("placed", "told")
    told = catalog.events[1].model_copy(update={"schema_": DATA})
    sha = simulation.publish(CHILD, Catalog())
    child = ChildSpec(name="refund", version="1", sha=sha, input=DATA)
    catalog = Catalog(events=[catalog.events[0], told], definitions=[child])
    definition = a_definition(*steps, **more)
    assert [problem for problem in check(definition, catalog) if problem.severity == "error"] == []
    simulation.publish(definition, catalog)
    return simulation


def test_an_event_that_fits_its_schema_is_emitted() -> None:
    simulation = world(EMIT)
    run = started(simulation, {"count": 3, "lines": [{}]})
    assert [fact.data for fact in of(simulation, run, EventEmitted)] == [{"count": 3, "lines": [{}]}]
    assert isinstance(ended(simulation, run), RunCompleted)


def test_an_event_that_does_not_fit_parks_its_step_and_names_the_place() -> None:
    for data, at in (
        ({"count": "three", "lines": []}, "emit/count"),
        ({"count": 3, "lines": [{}, 7]}, "emit/lines/1"),
    ):
        simulation = world(EMIT)
        run = started(simulation, data)
        parked = ended(simulation, run)
        assert (parked.code, parked.at) == ("schema_mismatch", at)
        assert parked.detail.startswith(f"/{at.removeprefix('emit/')}: the value is not of type ")
        assert simulation.published_events("tolds") == []


def test_a_child_run_is_started_only_with_an_input_that_its_definition_takes() -> None:
    simulation = world(RUN)
    run = started(simulation, {"count": 2.5})
    assert ended(simulation, run) == StepParked(
        "schema_mismatch", "with/count", '/count: the value is not of type "integer" but a number'
    )
    assert {t.definition for t in simulation.transitions()} == {"order"}
    fitting = world(RUN)
    assert isinstance(ended(fitting, started(fitting, {"count": 2})), RunCompleted)


def test_an_item_that_does_not_fit_fails_alone() -> None:
    more = {"id": "sorry", "needs": ["children.failure"], "print": {"text": "errors.children.message"}}
    simulation = world(ITEMS, more)
    run = started(simulation, {"counts": [1, "two", 3]})
    assert [fact.input for fact in of(simulation, run, ChildRequested)] == [{"count": 1}, {"count": 3}]
    (failed,) = of(simulation, run, AttemptFailed)
    assert (failed.item, failed.code) == (1, "schema_mismatch")
    assert "with/count" in failed.message


def test_a_step_that_was_parked_by_its_data_is_judged_again_when_it_is_tried_again() -> None:
    simulation = world(EMIT)
    run = started(simulation, {"count": "three", "lines": []})
    simulation.retry(run, "tell")
    simulation.run_until_quiet()
    parked = of(simulation, run, StepParked)
    assert [(fact.code, fact.at) for fact in parked] == [("schema_mismatch", "emit/count")] * 2
