"""Playing the scenarios of a definition, with what is wrong with each and where in its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import child_names
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.submissions import PartProblem, read_part, refused

if TYPE_CHECKING:
    from streamflow.simulation.scenarios import Scenario, Scenarios
    from streamflow.simulation.stage import Played


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a scenario cannot be played, and on which line and in which column of its file (0: it is not text)."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Performance:
    """Scenarios that were played. `faults` are what makes each of `played` impossible, by its place in the file.
    `untaken` are steps and outcomes that none of them reached; it is empty when only some were played."""

    played: list[Played]
    faults: list[list[Fault]]
    untaken: list[str]

    @property
    def ok(self) -> bool:
        """Whether all went as expected."""
        return all(each.ok for each in self.played)

    def facts(self) -> dict[str, Any]:
        """As JSON would have it."""
        return {
            "ok": self.ok,
            "scenarios": [
                {
                    "name": one.name,
                    "ok": one.ok,
                    "paths": one.paths,
                    "differences": one.differences,
                    "faults": [asdict(fault) for fault in faults],
                    "notes": one.notes,
                }
                for one, faults in zip(self.played, self.faults, strict=True)
            ],
            "untaken": self.untaken,
        }


def perform(
    scenarios: Scenarios,
    lines: Lines,
    definition: Definition,
    catalog: Catalog,
    *,
    children: Sequence[tuple[Definition, Catalog]] = (),
    only: str | None = None,
) -> Performance:
    """Plays `scenarios` (whose places `lines` knows), or those with `only` in their names. `children` are the
    definitions that this one starts, each after those that it starts itself. Raises Rejected (`no_scenario`)."""
    from streamflow.simulation.stage import play, untaken  # with all of the engine: only for those who need it

    played, faults = [], []
    for number, scenario in chosen(scenarios, only).items():
        one = play(scenario, definition, catalog, scenarios.operations, children)
        played.append(one)
        found = [(lines.of(f"/scenarios/{number}{pointer}"), said) for pointer, said in one.faults]
        faults.append([Fault(*place, said) for place, said in found])
    return Performance(played, faults, untaken(definition, played) if only is None else [])


def chosen(scenarios: Scenarios, only: str | None) -> dict[int, Scenario]:
    """The scenarios with `only` in their names, or all, by their places. Raises Rejected (`no_scenario`)."""
    found = {
        number: scenario
        for number, scenario in enumerate(scenarios.scenarios)
        if only is None or only.lower() in scenario.name.lower()
    }
    if not found:
        raise Rejected(
            "no_scenario", f"No scenario has {only!r} in its name. Choose one of the names, or play all of them."
        )
    return found


def read_scenarios(text: str | dict[str, Any]) -> Scenarios:
    """Scenarios as text or data. Raises DefinitionError (`scenarios_invalid`)."""
    from streamflow.simulation.scenarios import parse_scenarios

    problems: list[PartProblem] = []
    found = read_part("scenarios", text, parse_scenarios, problems)
    if found is None:
        raise refused(tuple(problems), code="scenarios_invalid")
    return found


def published_children(log: Snapshot, definition: Definition) -> list[tuple[Definition, Catalog]]:
    """The published definitions that `definition` starts, and what these start, each after those that it starts itself.
    Raises OperationError (`version_unreadable`)."""
    found: dict[tuple[str, str], tuple[Definition, Catalog]] = {}
    left = [(name, False) for name in child_names(definition)]
    while left:
        name, complete = left.pop()
        if name in found or name not in log.versions:
            continue
        pair = log.read_version(*name)
        if complete:
            found[name] = pair
        else:
            left.append((name, True))
            left += [(child, False) for child in child_names(pair[0])]
    return list(found.values())
