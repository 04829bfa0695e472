"""The reference of operations is what their contracts say, and its examples can be published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streamflow.cli.operations_docs import EXAMPLES, markdown
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.operations.registry import BUILT_IN, Registry
from streamflow.settings import Connection, Settings

PAGE = Path(__file__).parents[3] / "docs" / "operations-reference.md"
EVENT = """
events:
  - name: order.placed
    topics: [orders]
    key: {path: id}
    schema: {type: object, required: [id, amount], properties: {id: {type: string}, amount: {type: number}}}
"""


def test_the_reference_is_what_the_contracts_say() -> None:
    assert PAGE.read_text() == markdown(), "do run: make docs"


def test_every_built_in_operation_has_an_example() -> None:
    built_in = {one.spec.name for one in Registry(Settings()).registered() if one.source == "built in"}
    assert set(EXAMPLES) == built_in
    assert len(built_in) >= len(BUILT_IN)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_can_be_published(name: str) -> None:
    steps = "\n".join(f"  {line}" for line in EXAMPLES[name].strip().splitlines())
    text = f'name: example\nversion: "1"\non: [{{id: placed, event: order.placed}}]\nsteps:\n{steps}\n'
    registry = Registry(Settings())
    catalog = Catalog(events=parse_catalog(EVENT).events, operations=[one.spec for one in registry.registered()])
    assert f"operation: {name}" in text
    assert [str(problem) for problem in check(parse_definition(text), catalog)] == []


def test_every_error_and_every_field_says_what_it_is() -> None:
    for one in Registry(Settings()).registered():
        spec = one.spec
        assert all(error.title for error in spec.errors), spec.name
        if spec.name.split(".")[0] in ("postgres", "object", "nats", "kafka"):
            assert all("description" in field for field in spec.input["properties"].values()), spec.name


def test_the_connections_of_the_reference_are_settings() -> None:
    block = re.search(r"```yaml\n(tasks:\n.*?)```", markdown(), re.S)
    assert block is not None
    connections = YAML(typ="safe").load(block[1])["tasks"]["connections"]
    assert {Connection.model_validate(one).kind for one in connections.values()} == {"postgres", "s3", "folder", "nats"}
