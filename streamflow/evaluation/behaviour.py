"""Whether a definition does what scenarios say, however it is built: what it publishes and calls and how its runs end,
not which steps it has for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.simulation.scenarios import Action, Answer, Called, Expected, Scenario
from streamflow.simulation.stage import Played, play


def behaves(
    scenarios: Sequence[Scenario],
    definition: Definition,
    catalog: Catalog,
    answers: Mapping[str, list[Answer]],
    steps: Mapping[str, str],
) -> list[Played]:
    """How the scenarios went on `definition`, which has no errors. `steps` are the ids in it of the steps that the
    scenarios name; what they say of paths, outputs and reasons is left out."""
    return [play(_translated(one, steps), definition, catalog, {**answers, **one.operations}) for one in scenarios]


def fulfilled(
    scenarios: Sequence[Scenario], definition: Definition, catalog: Catalog, answers: Mapping[str, list[Answer]]
) -> tuple[Scenario, ...]:
    """Those of the scenarios that `definition` fulfils, as `behaves` sees it, with its own ids."""
    ids = {step.id: step.id for step in definition.steps}
    played = behaves(scenarios, definition, catalog, answers, ids)
    return tuple(one for one, went in zip(scenarios, played, strict=True) if went.ok)


def _translated(scenario: Scenario, steps: Mapping[str, str]) -> Scenario:
    expected = [_expected(one, steps) for one in scenario.expected]
    return scenario.model_copy(
        update={
            "operations": {},  # given beside it, since an answer that is not asked for is no fault here
            "do": [_action(one, steps) for one in scenario.do],
            "expect": expected if isinstance(scenario.expect, list) else expected[0],
        }
    )


def _action(action: Action, steps: Mapping[str, str]) -> Action:
    for field in ("decide", "operate"):
        one = getattr(action, field)
        if one is not None and one.step is not None:
            return action.model_copy(update={field: one.model_copy(update={"step": steps.get(one.step, one.step)})})
    return action


def _expected(expected: Expected, steps: Mapping[str, str]) -> Expected:
    said = expected.model_dump(exclude_unset=True, exclude={"path", "output", "reason", "calls", "parked"})
    if expected.calls is not None:
        said["calls"] = [
            Called.model_validate({**one.model_dump(exclude_unset=True), "step": steps.get(one.step, one.step)})
            for one in expected.calls
        ]
    if expected.parked is not None:
        said["parked"] = {steps.get(step, step): code for step, code in expected.parked.items()}
    return Expected.model_validate(said)
