"""The topics of an environment: where its file is found, what it changes, and how its faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamflow.cli.bindings import bound
from streamflow.cli.definition_files import Checked, Source, read_bindings
from streamflow.definition.content import canonical
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError, Rejected

DEFINITION = """
name: order
version: "1"
on: [{id: placed, event: order.placed}]
steps: [{id: tell, emit: {event: order.seen}}]
"""
CATALOG = """
events:
  - {name: order.placed, topics: [shop.orders, shop.old]}
  - {name: order.seen, topics: [shop.orders], start: earliest}
"""


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    folder = tmp_path / "definitions" / "order"
    folder.mkdir(parents=True)
    (folder / "definition.yaml").write_text(DEFINITION)
    (folder / "catalog.yaml").write_text(CATALOG)
    source = Source(folder / "definition.yaml", folder / "catalog.yaml")
    return Checked(source, parse_definition(DEFINITION), parse_catalog(CATALOG), ())


def written(folder: Path, name: str, text: str) -> Path:
    (folder / "environments").mkdir(exist_ok=True)
    file = folder / "environments" / f"{name}.yaml"
    file.write_text(text)
    return file


def topics(checked: Checked, environment: str, given: Path | None = None) -> dict[str, tuple[list[str], str]]:
    (answer,) = bound([checked], environment, given)
    assert answer.catalog is not None
    return {spec.name: (list(spec.topics), spec.start) for spec in answer.catalog.events}


@pytest.mark.parametrize(
    ("text", "placed", "seen"),
    [
        ("topics: {}", (["shop.orders", "shop.old"], "now"), (["shop.orders"], "earliest")),
        ("topics: {shop.orders: p.orders}", (["p.orders", "shop.old"], "now"), (["p.orders"], "earliest")),
        ("topics: {shop.old: shop.orders}", (["shop.orders"], "now"), (["shop.orders"], "earliest")),
        ("events: {order.seen: {topics: [p.seen]}}", (["shop.orders", "shop.old"], "now"), (["p.seen"], "earliest")),
        (
            "{topics: {shop.orders: p.orders}, events: {order.seen: {topics: [p.seen], start: now}}}",
            (["p.orders", "shop.old"], "now"),
            (["p.seen"], "now"),
        ),
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_an_environment_has_topics_of_its_own_and_the_same_content(
    checked: Checked, text: str, placed: object, seen: object, above: bool
) -> None:
    folder = checked.source.definition.parent
    written(folder.parent if above else folder, "prod", text)

    assert topics(checked, "prod") == {"order.placed": placed, "order.seen": seen}

    (answer,) = bound([checked], "prod", None)
    for each in (answer, checked):
        assert each.definition is not None
        assert each.catalog is not None
    assert canonical(answer.definition, answer.catalog) == canonical(checked.definition, checked.catalog)  # type: ignore[arg-type]


def test_without_such_files_the_topics_are_those_of_the_catalog(checked: Checked) -> None:
    assert bound([checked], "prod", None) == [checked]


def test_an_environment_that_was_forgotten_is_not_bound_to_the_topics_of_another(checked: Checked) -> None:
    written(checked.source.definition.parent, "prod", "topics: {}")
    with pytest.raises(Rejected, match=r"There is no .*environments/test\.yaml") as caught:
        bound([checked], "test", None)
    assert caught.value.code == "bindings_missing"
    assert bound([checked], "main", None) == [checked]  # of the environment that nobody named


def test_a_file_that_is_named_comes_before_the_one_of_the_name(checked: Checked, tmp_path: Path) -> None:
    written(checked.source.definition.parent, "prod", "topics: {shop.orders: p.orders}")
    other = written(tmp_path, "other", "topics: {shop.orders: other.orders}")
    assert topics(checked, "prod", other)["order.seen"][0] == ["other.orders"]


def test_names_that_no_catalog_has_are_warned_of(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    written(checked.source.definition.parent, "prod", "{topics: {shop.order: x}, events: {order.sen: {topics: [x]}}}")
    bound([checked], "prod", None)
    err = " ".join(capsys.readouterr().err.split())
    assert err.count("warning: ") == 2
    assert "the event order.sen, which no catalog" in err
    assert "the topic shop.order, which no catalog" in err


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("topics:\n  shop.orders: 'bad topic'\n", "2:3: error SF104 at /topics/shop.orders"),
        ("events:\n  order.seen:\n    topics: []\n", "3:5: error SF106 at /events/order.seen/topics"),
        ("events:\n  order.seen: {topic: [x]}\n", "error SF101 at /events/order.seen/topic: there is no field `topic`"),
        ("topics: [x\n", "SF100"),
        ("- x\n", "SF103"),
    ],
)
def test_a_fault_is_told_with_file_line_and_column_and_not_as_one_of_a_definition(
    tmp_path: Path, text: str, place: str
) -> None:
    file = written(tmp_path, "prod", text)
    with pytest.raises(DefinitionError) as caught:
        read_bindings(file)
    assert caught.value.code == "bindings_invalid"
    assert caught.value.message.startswith(f"The file {file} cannot be used, because of ")
    assert f"{file}:" in caught.value.message.partition("\n")[2]
    assert place in caught.value.message
    assert "definition that can run" not in str(caught.value)
