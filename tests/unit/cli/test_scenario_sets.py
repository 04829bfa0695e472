"""Which scenarios stand for a definition: its own, those of a file, or samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamflow.cli.scenario_sets import in_folder, published
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import Rejected
from streamflow.kafka.snapshot import Snapshot

CATALOG = "events: [{name: placed, topics: [orders], key: {path: id}, schema: {type: object}}]\n"
DEFINITION = """name: order
version: "1"
on: [{id: placed, event: placed}]
steps: [{id: say, print: {text: "'x'"}}]
"""
SCENARIOS = """scenarios:
  - {name: One, do: [{send: {event: placed, data: {id: a}}}], expect: {path: [say]}}
  - {name: Two, do: [{send: {event: placed, data: {id: b}}}], expect: {path: [say]}}
"""


def log(*, scenarios: str | None = SCENARIOS, versions: tuple[str, ...] = ("1",)) -> Snapshot:
    found = Snapshot()
    for number, version in enumerate(versions):
        definition = parse_definition(DEFINITION.replace('"1"', f'"{version}"'))
        content = canonical(definition, parse_catalog(CATALOG))
        sha = sha256_of(content)
        found.read(f"definition/{sha}".encode(), content, 10 * number)
        found.read(f"version/order@{version}".encode(), json.dumps({"sha": sha}).encode(), 10 * number + 1)
        found.read(b"name/order", json.dumps({"version": version, "sha": sha}).encode(), 10 * number + 2)
        if scenarios is not None:
            found.read(f"scenarios/order@{version}".encode(), scenarios.encode(), 10 * number + 3)
    found.read(b"binding/placed", json.dumps({"topics": ["here.orders"]}).encode(), 90)
    return found


def test_a_published_version_has_its_scenarios_and_the_topics_of_the_environment() -> None:
    found = published(log(), "order")

    assert [one.name for one in found.scenarios] == ["One", "Two"]
    event = found.catalog.event("placed")
    assert event is not None
    assert event.topics == ["here.orders"]


def test_some_are_chosen_by_their_names_whatever_the_case() -> None:
    assert [one.name for one in published(log(), "order", only="tWo").scenarios] == ["Two"]
    with pytest.raises(Rejected) as refused:
        published(log(), "order", only="three")
    assert refused.value.code == "no_scenario"


def test_a_file_goes_before_what_was_published(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SCENARIOS.replace("One", "Mine"))

    assert published(log(), "order", tmp_path / "mine.yaml").scenarios[0].name == "Mine"


def test_samples_stand_for_a_version_without_scenarios() -> None:
    assert published(log(scenarios=None), "order").scenarios


def test_a_version_that_starts_nothing_is_refused() -> None:
    two = log(versions=("1", "2"))

    assert published(two, "order@2").definition.version == "2"
    with pytest.raises(Rejected) as refused:
        published(two, "order@1")
    assert refused.value.code == "version_not_in_use"
    with pytest.raises(Rejected) as unknown:
        published(two, "orders")
    assert unknown.value.code == "version_unknown"


def test_a_folder_has_its_scenarios_beside_the_definition(tmp_path: Path) -> None:
    for name, text in (("definition", DEFINITION), ("catalog", CATALOG), ("scenarios", SCENARIOS)):
        (tmp_path / f"{name}.yaml").write_text(text)

    assert [one.name for one in in_folder(tmp_path).scenarios] == ["One", "Two"]
    (tmp_path / "scenarios.yaml").unlink()
    assert in_folder(tmp_path).scenarios[0].name != "One"
