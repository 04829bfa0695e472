"""The examples in `definitions/` can run, their scenarios go as expected and leave no way untaken, and their READMEs
show what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streamflow.cli import definition_files
from streamflow.cli.definitions_simulate import simulated
from streamflow.definition.catalog import OperationSpec
from streamflow.definition.mermaid import mermaid
from streamflow.definition.syntax import parse_as
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.plugin_testing import RegistrationFile
from streamflow.ops.catalog import CatalogResolver

DEFINITIONS = Path(__file__).parents[2] / "definitions"
FOLDERS = sorted(path.parent for path in DEFINITIONS.glob("*/definition.yaml"))
CALLING = ("fraud-detection", "minio-store", "sales-report")


def checked(folder: Path) -> definition_files.Checked:
    return definition_files.load(definition_files.find(folder)[0], complete=CatalogResolver(Snapshot).complete)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_an_example_can_run_without_a_warning_and_is_called_like_its_folder(folder: Path) -> None:
    found = checked(folder)
    assert [str(problem) for problem in found.problems] == []
    assert found.definition is not None
    assert found.definition.name == folder.name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_its_scenarios_go_as_expected_and_take_every_way(folder: Path) -> None:
    found = simulated(definition_files.find(folder)[0])
    assert [(each.name, each.differences) for each in found.performance.played if not each.ok] == []
    assert found.performance.untaken == []


@pytest.mark.parametrize("name", CALLING)
def test_its_readme_shows_its_picture(name: str) -> None:
    found = checked(DEFINITIONS / name)
    assert found.definition is not None
    drawn = [
        line for line in mermaid(found.definition, found.catalog).splitlines() if not line.lstrip().startswith("%%")
    ]
    shown = re.search(r"```mermaid\n(.*?)\n```", (DEFINITIONS / name / "README.md").read_text(), re.S)
    assert shown is not None
    assert shown[1].splitlines() == drawn


@pytest.mark.parametrize("name", ["enrich", "score"])
def test_the_plugin_is_registered_with_the_contract_of_the_catalog(name: str) -> None:
    folder = DEFINITIONS / "fraud-detection"
    registered = parse_as(RegistrationFile, (folder / f"{name}.plugin.yaml").read_text())
    catalog = YAML(typ="safe", pure=True).load((folder / "catalog.yaml").read_text())
    contract = next(
        OperationSpec.model_validate(spec) for spec in catalog["operations"] if spec["name"] == f"fraud.{name}"
    )
    assert registered.spec == contract
