"""One catalog for many definitions, and catalogs that contradict each other or what is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.contradictions import contradicting_published
from streamflow.cli.definition_files import Checked, Source, find, load, read_catalog
from streamflow.cli.main import main
from streamflow.cli.places import Placed
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError, Rejected
from streamflow.kafka.definitions import Snapshot

EVENT = "{name: paid, topics: [bank], key: {path: order}, schema: {type: object}}"
DEFINITION = """name: NAME
version: "1"
on: [{id: paid, event: paid}]
steps: [{id: tell, print: {text: run.key}}]
"""
SCENARIOS = """scenarios:
- {name: one, do: [{send: {event: paid, data: {order: o1}}}], expect: {key: o1, path: [tell]}}
"""


def a_definition(folder: Path, name: str, event: str | None = None) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "definition.yaml").write_text(DEFINITION.replace("NAME", name))
    (folder / name / "scenarios.yaml").write_text(SCENARIOS)
    if event is not None:
        (folder / name / "catalog.yaml").write_text(f"events:\n- {event}\n")
    return folder / name


def checked(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict[str, Any]]]:
    code = main(["definitions", "check", *map(str, words), "--json"])
    return code, [problem for one in json.loads(capsys.readouterr().out) for problem in one["problems"]]


@pytest.mark.parametrize("folder", [False, True])
def test_one_catalog_serves_many_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: bool) -> None:
    shared = tmp_path / "catalogs"
    shared.mkdir()
    (shared / "bank.yaml").write_text(f"events: [{EVENT}]\n")
    (shared / "notes.md").write_text("of people\n")
    for name in ("a", "b"):
        a_definition(tmp_path / "definitions", name)
    catalog = shared if folder else shared / "bank.yaml"
    code, problems = checked(capsys, tmp_path / "definitions", "--catalog", catalog)
    assert (code, [problem for problem in problems if problem["severity"] == "error"]) == (0, [])
    assert main(["definitions", "simulate", str(tmp_path / "definitions"), "--catalog", str(catalog)]) == 0
    assert capsys.readouterr().out.count("1 scenario, as expected") == 2
    definition = str(tmp_path / "definitions" / "a")
    assert main(["definitions", "diagram", definition, "--catalog", str(catalog)]) == 0
    assert "flowchart" in capsys.readouterr().out
    assert main(["definitions", "diff", definition, definition, "--catalog", str(catalog)]) == 0
    assert capsys.readouterr().out == "both mean the same\n"


CONTRADICTIONS = [
    ("{name: paid, topics: [bank], key: {path: id}, schema: {type: object}}", "key differs"),
    ("{name: paid, topics: [bank], key: {path: order}, schema: {type: array}}", "schema differs"),
    ("{name: paid, topics: [other], key: {path: order}, schema: {type: object}}", "topics differs"),
    ("{name: paid, topics: [bank], start: earliest, key: {path: id}, schema: {type: object}}", "key, start differ"),
    (
        "{name: paid, topics: [bank], match: {path: k, equals: 1}, key: {path: order}, schema: {type: object}}",
        "match d",
    ),
]


@pytest.mark.parametrize(("other", "said"), CONTRADICTIONS)
def test_two_definitions_with_two_meanings_of_one_event_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str, said: str
) -> None:
    first, second = a_definition(tmp_path, "a", EVENT), a_definition(tmp_path, "b", other)
    code, problems = checked(capsys, tmp_path)
    (found,) = [problem for problem in problems if problem["code"] == "SF290"]
    assert code == 2
    assert (found["file"], found["line"], found["column"]) == (str(second / "catalog.yaml"), 2, 3)
    assert f"the event `paid` means something else in {first / 'catalog.yaml'}:2:3: {said}" in found["message"]
    assert found["fix"] == "Use one catalog for both (--catalog), or give one event another name."
    assert checked(capsys, first, second)[0] == 2
    assert checked(capsys, first)[0] == 0


@pytest.mark.parametrize("other", [EVENT, EVENT.replace("{name", "{title: Paid, description: by the bank, name")])
def test_the_same_meaning_twice_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str) -> None:
    a_definition(tmp_path, "a", EVENT)
    a_definition(tmp_path, "b", other)
    assert checked(capsys, tmp_path)[0] == 0


@pytest.mark.parametrize(("other", "said"), CONTRADICTIONS)
def test_files_of_a_catalog_folder_must_not_contradict_each_other(tmp_path: Path, other: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(f"events:\n- {EVENT}\n")
    (tmp_path / "b.yml").write_text(f"events:\n- {other}\n")
    with pytest.raises(DefinitionError) as caught:
        read_catalog(tmp_path)
    assert caught.value.code == "catalog_invalid"
    assert f"{tmp_path / 'b.yml'}:2:3: error SF290" in caught.value.message
    assert said in caught.value.message


def test_operations_with_two_contracts_contradict_each_other_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{events: [], operations: [{name: bank.pay, timeout: 1m}]}")
    (tmp_path / "b.yaml").write_text("{events: [], operations: [{name: bank.pay, timeout: 2m}]}")
    with pytest.raises(DefinitionError, match=r"the operation `bank.pay` means something else in .*: timeout differs"):
        read_catalog(tmp_path)


def test_a_folder_without_a_catalog_is_told(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="There is no catalog in the folder"):
        read_catalog(tmp_path)


def published(*entries: tuple[str, str, bool], event: str = EVENT) -> Snapshot:
    """A log in which definitions of these names and versions are published, retired or not."""
    log = Snapshot()
    for number, (name, version, retired) in enumerate(entries):
        definition = parse_definition(DEFINITION.replace("NAME", name).replace('"1"', f'"{version}"'))
        content = canonical(definition, parse_catalog(f"events: [{event}]"))
        sha = sha256_of(content)
        log.read(f"definition/{sha}".encode(), content, 3 * number)
        value = json.dumps({"sha": sha, "retired": retired}).encode()
        log.read(f"version/{name}@{version}".encode(), value, 3 * number + 1)
        if not retired:
            log.read(f"name/{name}".encode(), json.dumps({"version": version, "sha": sha}).encode(), 3 * number + 2)
    return log


def against(tmp_path: Path, event: str, log: Snapshot, *, change: bool = False) -> list[Placed]:
    folder = a_definition(tmp_path, "mine", event)
    (source,) = find(folder)
    (found,) = contradicting_published([load(source)], log, change=change)
    return [placed for placed in found.problems if placed.problem.code == "SF291"]


OTHER_KEY, OTHER_SCHEMA = CONTRADICTIONS[0][0], CONTRADICTIONS[1][0]


@pytest.mark.parametrize(
    ("event", "change", "severity"),
    [(OTHER_KEY, False, "error"), (OTHER_KEY, True, "warning"), (OTHER_SCHEMA, False, "warning")],
)
def test_an_event_that_means_something_else_in_what_is_published_is_told(
    tmp_path: Path, event: str, change: bool, severity: str
) -> None:
    (found,) = against(tmp_path, event, published(("other", "1", False), ("third", "2", False)), change=change)
    assert found.problem.severity == severity
    assert "the event `paid` means something else in other@1, third@2, which is published: " in found.problem.message
    assert (found.file.name, found.line) == ("catalog.yaml", 2)
    assert ("--change-events" in found.problem.fix) == (severity == "error")


@pytest.mark.parametrize(
    ("event", "log"),
    [
        (EVENT, published(("other", "1", False))),
        (OTHER_KEY, published()),
        (OTHER_KEY, published(("mine", "0", False))),  # the next version of it may change
        (OTHER_KEY, published(("other", "1", True))),  # retired
        (
            EVENT,
            published(("other", "1", False), event=EVENT.replace("[bank]", "[elsewhere]")),
        ),  # its topics are a binding
    ],
)
def test_what_does_not_contradict_anything_is_not_told(tmp_path: Path, event: str, log: Snapshot) -> None:
    assert against(tmp_path, event, log) == []


def test_only_the_newest_version_of_another_definition_counts(tmp_path: Path) -> None:
    log = published(("other", "1", False), event=OTHER_KEY)
    newer = published(("other", "2", False))
    for sha, content in newer.contents.items():
        log.contents[sha] = content
    log.versions |= newer.versions
    log.names |= newer.names
    assert against(tmp_path, EVENT, log) == []


def test_a_source_without_a_catalog_file_contradicts_nothing() -> None:
    source = Source(Path("definition.yaml"), None)
    each = Checked(source, None, None, ())
    assert contradicting_published([each], Snapshot(), change=False) == [each]
