"""Definitions as files: found, checked with their catalog, and every problem on its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamflow.cli.definition_files import find, in_order, load
from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.errors import Rejected

DEFINITION = """streamflow: "1"
name: parcel
version: "1"
on:
  - id: packed
    event: parcel.packed
steps:
  - id: tell
    print: {text: run.key}
"""
CATALOG = "events:\n  - {name: parcel.packed, topics: [parcels]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "definition.yaml").write_text(DEFINITION)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return tmp_path


def found(folder: Path) -> list[str]:
    return [str(placed).removeprefix(f"{folder}/") for placed in load(find(folder)[0]).problems]


def test_a_folder_holds_a_definition_and_its_catalog(folder: Path) -> None:
    checked = load(find(folder)[0])

    assert checked.ok
    assert checked.definition is not None
    assert checked.definition.name == "parcel"


def test_a_folder_of_folders_holds_many(folder: Path) -> None:
    (folder / "definition.yaml").unlink()
    for name in ("b", "a"):
        (folder / name).mkdir()
        (folder / name / "definition.yaml").write_text(DEFINITION)

    assert [source.definition.parent.name for source in find(folder)] == ["a", "b"]


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_path_without_a_definition_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected):
        find(tmp_path / name)


def test_a_definition_without_a_catalog_takes_the_published_one_or_is_refused(folder: Path) -> None:
    (folder / "catalog.yaml").unlink()
    source = find(folder)[0]

    with pytest.raises(Rejected) as caught:
        load(source)

    assert caught.value.code == "catalog_missing"
    assert load(source, lambda: Catalog(events=[EventSpec(name="parcel.packed", topics=["parcels"])])).ok


def test_a_problem_is_on_its_line(folder: Path) -> None:
    (folder / "definition.yaml").write_text(
        DEFINITION.replace("event: parcel.packed", "event: parcel.paked").replace("run.key", "run.kay")
    )

    problems = found(folder)

    assert problems[0].startswith("definition.yaml:6:5: error SF201 at /on/0/event: ")
    assert problems[1].startswith("definition.yaml:9:13: error ")


def test_a_missing_field_is_on_the_line_of_what_it_is_missing_in(folder: Path) -> None:
    (folder / "definition.yaml").write_text(DEFINITION.replace("    event: parcel.packed\n", ""))

    assert found(folder)[0].startswith("definition.yaml:5:5: error SF102 at /on/0/event: ")


def test_a_text_that_is_no_yaml_says_where(folder: Path) -> None:
    (folder / "definition.yaml").write_text("name: [")

    assert found(folder)[0].startswith("definition.yaml: error SF100")
    assert "line" in found(folder)[0]


def test_mistakes_of_the_catalog_are_told_beside_those_of_the_definition(folder: Path) -> None:
    (folder / "definition.yaml").write_text(DEFINITION.replace("name: parcel", "nam: parcel"))
    (folder / "catalog.yaml").write_text(CATALOG.replace("topics", "topic"))

    assert {problem.split(":")[0] for problem in found(folder)} == {"definition.yaml", "catalog.yaml"}


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "definition.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(Rejected) as caught:
        load(find(folder)[0])

    assert caught.value.code == "file_unreadable"


def test_definitions_that_others_start_come_before_these(tmp_path: Path) -> None:
    def write(name: str, steps: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "definition.yaml").write_text(f"name: {name}\nversion: '1'\ninput: {{}}\nsteps: [{steps}]\n")

    write(
        "a-top", "{id: x, run: {definition: c-low, version: '1'}}, {id: y, run: {definition: b-middle, version: '1'}}"
    )
    write("b-middle", "{id: x, run: {definition: c-low, version: '1'}}")
    write("c-low", "{id: x, print: {text: run.key}}")
    found = find(tmp_path)
    assert [source.definition.parent.name for source in in_order(found)] == [
        "c-low",
        "b-middle",
        "a-top",
    ]

    (tmp_path / "c-low" / "definition.yaml").write_text("name: [")
    assert {source.definition.parent.name for source in in_order(found)} == {
        "a-top",
        "b-middle",
        "c-low",
    }


def test_definitions_that_start_each_other_stay_as_they_are(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        steps = f"[{{id: x, run: {{definition: {other}, version: '1'}}}}]"
        (tmp_path / name / "definition.yaml").write_text(f"name: {name}\nversion: '1'\ninput: {{}}\nsteps: {steps}\n")
    assert [source.definition.parent.name for source in in_order(find(tmp_path))] == [
        "a",
        "b",
    ]
