"""Sample events for a definition, as scenarios: each expects the result that it has in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition

if TYPE_CHECKING:
    from streamflow.authoring.samples import Seen, Story
    from streamflow.engine.transitions import Transition

_ENDED = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}


def player(definition: Definition, catalog: Catalog) -> Any:
    """The function that plays a story in the simulator."""
    # With all of the engine: only for those who need it.
    from streamflow.authoring.samples import Seen
    from streamflow.ops.steps import step_states
    from streamflow.simulation.comparison import path
    from streamflow.simulation.scenarios import Scenario
    from streamflow.simulation.stage import play

    order = Graph(definition).order

    def played(actions: Sequence[dict[str, Any]], operations: dict[str, list[dict[str, Any]]]) -> Seen:
        scenario = {"name": "sample", "do": list(actions), "operations": operations, "expect": []}
        result = play(Scenario.model_validate(scenario), definition, catalog)
        if not result.histories:
            return Seen(status="none", path=(), waiting=(), key="")
        history = result.histories[0]
        states = step_states(history)
        waiting = [id_ for id_ in order if states.get(id_) == "waiting"]
        return Seen(
            status=_status(history, states), path=tuple(path(history)), waiting=tuple(waiting), key=history[0].key
        )

    return played


def _status(history: tuple[Transition, ...], states: dict[str, str]) -> Any:
    ended = _ENDED.get(history[-1].type)
    return ended or ("parked" if "parked" in states.values() else "open")


def scenario_of(story: Story, number: int) -> dict[str, Any]:
    """The story as `scenarios.yaml` has it."""
    expected: Any = [] if story.status == "none" else {"status": story.status, "path": list(story.path)}
    found: dict[str, Any] = {"name": f"{number}. {story.name}"[:200], "do": list(story.do), "expect": expected}
    return found | ({"operations": story.operations} if story.operations else {})


def expected_of(histories: Sequence[tuple[Transition, ...]]) -> Any:
    """The result of a scenario with these runs, as its `expect` has it: the status and the path of each."""
    from streamflow.ops.steps import step_states
    from streamflow.simulation.comparison import path

    found: list[dict[str, Any]] = []
    for history in histories:
        status = _status(history, step_states(history))
        found.append({"key": history[0].key, "status": status, "path": list(path(history))})
    if len(found) == 1:
        del found[0]["key"]
        return found[0]
    return found


def sample_scenarios(definition: Definition, catalog: Catalog, seed: int) -> dict[str, Any]:
    """Scenarios for a definition without errors, the steps and outcomes that none of them reaches (`untaken`), and
    `reason`: why there are none, if no event can be made that fits its schema."""
    from streamflow.authoring.samples import NoSample, make_samples

    try:
        found = make_samples(definition, catalog, seed, player(definition, catalog))
    except NoSample as reason:
        return {"scenarios": [], "untaken": [], "reason": str(reason)}
    scenarios = [scenario_of(story, number) for number, story in enumerate(found.stories, 1)]
    return {"scenarios": scenarios, "untaken": list(found.untaken), "reason": None}
