"""The scenarios that stand for a definition: of a published version, or of a folder; or samples, where it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamflow.cli import definition_files, output, places
from streamflow.cli.definitions_simulate import with_children
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.snapshot import Snapshot
from streamflow.ops.definitions import current_version, resolve
from streamflow.ops.scenarios import chosen, published_children, read_scenarios

if TYPE_CHECKING:
    from streamflow.simulation.scenarios import Answer, Scenario, Scenarios

_SEED = 1  # of samples


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSet:
    """A definition with its scenarios, at least one."""

    definition: Definition
    catalog: Catalog
    children: Sequence[tuple[Definition, Catalog]]  # that it starts, each after those that it starts itself
    scenarios: Sequence[Scenario]
    answers: Mapping[str, list[Answer]]  # of operations, where a scenario has none of its own


def published(log: Snapshot, name: str, file: Path | None = None, only: str | None = None) -> ScenarioSet:
    """The version of `name` that events start, its events with the topics of this environment, and the scenarios of
    `file`, or else those that were published with it; those with `only` in their names.

    Raises DefinitionError (`scenarios_invalid`) and Rejected (`version_unknown`, `version_not_in_use`, `no_scenario`,
    `load_impossible`)."""
    reference = resolve(log, name)
    if current_version(log, reference[0]) != reference[1]:
        text = f"{reference[0]}@{reference[1]} is not the version that starts use, so no event would start it."
        raise Rejected("version_not_in_use", f"{text} Name the definition without a version.")
    definition, catalog = log.read_version(*reference)
    catalog = catalog.bound(log.bindings)
    text_of = log.scenarios.get(reference)
    return _set(
        definition,
        catalog,
        published_children(log, definition),
        _read(file) if file is not None else read_scenarios(text_of) if text_of is not None else None,
        only,
    )


def in_folder(path: Path, file: Path | None = None, only: str | None = None) -> ScenarioSet:
    """The definition in the file or folder `path`, and the scenarios of `file`, or else those beside it. Raises as
    `published`, and for what is wrong in the files."""
    source = definition_files.find(path)[0]
    definition, catalog, children = with_children(source)
    beside = source.definition.parent / definition_files.SCENARIOS
    file = file or (beside if beside.is_file() else None)
    return _set(definition, catalog, children, None if file is None else _read(file), only)


def _read(file: Path) -> Scenarios:
    from streamflow.simulation.scenarios import parse_scenarios  # with all of the engine: only for those who need it

    return places.read_file(file, parse_scenarios, "scenarios_invalid")


def _set(
    definition: Definition,
    catalog: Catalog,
    children: Sequence[tuple[Definition, Catalog]],
    given: Scenarios | None,
    only: str | None,
) -> ScenarioSet:
    given = _samples(definition, catalog) if given is None else given
    return ScenarioSet(
        definition=definition,
        catalog=catalog,
        children=children,
        scenarios=list(chosen(given, only).values()),
        answers=given.operations,
    )


def _samples(definition: Definition, catalog: Catalog) -> Scenarios:
    from streamflow.ops.samples import sample_scenarios
    from streamflow.simulation.scenarios import Scenarios

    made = sample_scenarios(definition, catalog, _SEED)
    if not made["scenarios"]:
        why = made["reason"] or "no event of it starts a run"
        text = f"{definition.name} has no scenarios, and none can be made: {why}."
        raise Rejected("load_impossible", f"{text} Write some, and give them with --scenarios.")
    output.note(f"{definition.name} has no scenarios; events are made from the schemas")
    return Scenarios.model_validate({"scenarios": made["scenarios"]})
