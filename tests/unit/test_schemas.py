"""The schemas in `schemas/` are those of the code, and the example definitions fit them."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from ruamel.yaml import YAML

from streamflow.engine.commands import Event
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.wire.schemas import render, schemas
from streamflow.wire.transitions import encode_transition

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_file_is_what_the_code_says(name: str) -> None:
    assert (ROOT / "schemas" / name).read_text() == render(schemas()[name]), "run `make docs`"


@pytest.mark.parametrize("folder", sorted((ROOT / "definitions").iterdir()), ids=lambda folder: folder.name)
@pytest.mark.parametrize("part", ["definition", "catalog"])
def test_example_definitions_fit_their_schemas(folder: Path, part: str) -> None:
    validator = jsonschema_rs.validator_for(schemas()[f"{part}.json"])
    validator.validate(YAML(typ="safe", pure=True).load((folder / f"{part}.yaml").read_text()))


def test_a_transition_as_it_is_sent_fits_its_schema() -> None:
    started = RunStarted(
        trigger="placed",
        event=Event(name="order.placed", id="e1", time_ms=1, data={"id": "o1"}),
        sha="ab",
        revision="1",
    )
    _, value, _ = encode_transition(
        Transition(run="0-1", definition="orders", version="1", key="o1", seq=1, at_ms=5, cause="c1", data=started),
        None,
    )
    validator = jsonschema_rs.validator_for(schemas()["transition.json"])
    validator.validate(msgspec.json.decode(value))
    assert not validator.is_valid({"run": "0-1"})
