"""The scenarios that a conversation keeps for its draft: what may happen to them, and how they play on a revision."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.problems import problems_of
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.decisions import require_changeable, require_short
from streamflow.conversations.events import Event, ScenariosKept, ScenariosPlayed
from streamflow.definition.catalog import Catalog
from streamflow.definition.lines import Lines
from streamflow.errors import DefinitionError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.samples import expected_of, sample_scenarios
from streamflow.ops.scenarios import Performance, perform, published_children, read_scenarios

MOST = 100  # scenarios of one conversation
_LONGEST = 200_000  # characters of all of them
_MOST_DIFFERENCES = 5  # sentences about one that went differently


def keep(state: Conversation, given: str | dict[str, Any]) -> list[Event]:
    """The scenarios `given` (`scenarios.yaml` as text or data) instead of those that are kept; none with an empty
    list of them. Raises DefinitionError (`scenarios_invalid`), and Rejected (`text_invalid`)."""
    require_changeable(state)
    if isinstance(given, dict) and not given.get("scenarios"):
        return [ScenariosKept(scenarios={})] if state.scenarios else []
    found = read_scenarios(given)
    if len(found.scenarios) > MOST:
        raise Rejected(
            "text_invalid", f"There are {len(found.scenarios)} scenarios, and at most {MOST} are kept. Remove some."
        )
    content = found.model_dump(mode="json", by_alias=True, exclude_unset=True)
    require_short("text of the scenarios", json.dumps(content), _LONGEST)
    return [ScenariosKept(scenarios=content)] if content != state.scenarios else []


def expect(state: Conversation, played: Performance, names: Collection[str] | None) -> list[Event]:
    """The same scenarios, of which those with these names, or all, expect the results that they had when they were
    `played`. Raises Rejected (`no_scenario`)."""
    require_changeable(state)
    kept = state.scenarios.get("scenarios", [])
    chosen = {one["name"] for one in kept} if names is None else set(names)
    if unknown := chosen - {one["name"] for one in kept}:
        raise Rejected("no_scenario", f"No scenario is kept with the name {min(unknown)!r}. Read which are.")
    came = {one.name: expected_of(one.histories) for one in played.played}
    scenarios = [one | {"expect": came[one["name"]]} if one["name"] in chosen else one for one in kept]
    return [ScenariosKept(scenarios=state.scenarios | {"scenarios": scenarios})]


def proposed(text: str, catalog: Catalog, seed: int) -> dict[str, Any]:
    """Scenarios for the draft `text`, as `ops.samples.sample_scenarios` makes them. Raises DefinitionError
    (`definition_invalid`)."""
    draft = Draft.parse(text)
    errors = [one for one in problems_of(draft, catalog) if one.severity == "error"]
    if errors:
        raise DefinitionError(errors, message=f"The draft has errors. {errors[0]}")
    return sample_scenarios(draft.definition, catalog, seed)


def performance(text: str, scenarios: dict[str, Any], catalog: Catalog, log: Snapshot) -> Performance | str:
    """How `scenarios`, of which there may be none, play on the draft `text`, or why they cannot be played on it. Raises
    OperationError (`version_unreadable`)."""
    if not scenarios:
        return Performance([], [], [])
    draft = Draft.parse(text)
    errors = [one for one in problems_of(draft, catalog) if one.severity == "error"]
    if errors:
        return f"The draft has {len(errors)} errors: {errors[0]}"
    definition = draft.definition
    children = published_children(log, definition)
    return perform(read_scenarios(scenarios), Lines("{}"), definition, catalog, children=children)


def outcome(state: Conversation, revision: int, found: Performance | str) -> ScenariosPlayed:
    """What is kept of a performance on `revision`."""
    count = len(state.scenarios.get("scenarios", []))
    if isinstance(found, str):
        return ScenariosPlayed(revision=revision, count=count, trouble=found)
    before = {one["name"] for one in state.played.different} if state.played is not None else set()
    scenarios = [one | {"is_new": one["name"] not in before} for one in different(found)]
    return ScenariosPlayed(revision=revision, count=count, different=scenarios)


def different(found: Performance) -> list[dict[str, Any]]:
    """The scenarios that did not go as they expect, each with its `name` and its differences as sentences (`told`)."""
    return [{"name": one.name, "told": list(one.problems[:_MOST_DIFFERENCES])} for one in found.played if not one.ok]
