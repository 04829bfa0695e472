"""Sample events fit their schemas, belong together, and lead a run along every branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamflow.authoring.boundaries import boundaries
from streamflow.authoring.drafter.drafter import draft
from streamflow.authoring.sample_values import NoSample, sample_value
from streamflow.authoring.samples import make_samples
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_definition
from streamflow.definition.validation import compiled
from streamflow.ops.samples import player
from tests.unit.authoring.sentences import ROOT, catalog
from tests.unit.authoring.test_drafter import ANALYST, definition_of

SCHEMAS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "string", "pattern": "^[A-Z]{2}$"},
    {"type": "string", "pattern": r"^(ORD|INV)-\d{4}(-[a-f0-9]+)?$"},
    {"type": "string", "minLength": 40, "maxLength": 50},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "integer", "minimum": 3, "maximum": 3},
    {"type": "integer", "minimum": -5, "maximum": -1},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "integer", "multipleOf": 25, "minimum": 10},
    {"type": ["null", "boolean"]},
    {"enum": ["a", 1, None]},
    {"const": {"deep": [1]}},
    {"type": "array", "minItems": 3, "items": {"type": "integer"}},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]},
    {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "n": {"const": 1}}}}},
    {
        "type": "object",
        "required": ["x"],
        "properties": {"x": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"type": "number"}},
    },
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_fits_its_schema_and_follows_from_the_seed(schema: dict[str, Any]) -> None:
    values = [sample_value(schema, f"seed {number}") for number in range(5)]

    assert all(compiled(schema).is_valid(value) for value in values)
    assert values == [sample_value(schema, f"seed {number}") for number in range(5)]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(?=x)y$"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"not": {}},
        {"$ref": "https://example.com/other"},
    ],
    ids=str,
)
def test_a_schema_that_nothing_was_found_for_is_said_so(schema: dict[str, Any]) -> None:
    with pytest.raises(NoSample):
        sample_value(schema, "1")


def test_conditions_turn_at_the_values_that_they_name() -> None:
    definition = definition_of(draft(ANALYST, catalog("fraud-detection")))

    assert boundaries(definition) == {"on/authorised": {("event", "amount_cents"): [50000, 50001, 49999]}}


def example(name: str) -> Definition:
    return parse_definition(Path(ROOT / "definitions" / name / "definition.yaml").read_text())


@pytest.mark.parametrize("name", ["fraud-detection", "order-fulfilment"])
def test_every_branch_of_an_example_is_taken(name: str) -> None:
    definition = example(name)
    found = make_samples(definition, catalog(name), 1, player(definition, catalog(name)))

    assert found.untaken == ()
    assert len({story.path for story in found.stories}) == len(found.stories)


def test_a_draft_is_played_on_both_sides_of_its_conditions() -> None:
    definition = definition_of(draft(ANALYST, catalog("fraud-detection")))
    found = make_samples(definition, catalog("fraud-detection"), 7, player(definition, catalog("fraud-detection")))
    amounts = {story.path: story.do[0]["send"]["data"]["amount_cents"] for story in found.stories}

    assert found.untaken == ()
    assert amounts.keys() == {
        (),
        ("ask_analyst.approved",),
        ("ask_analyst.rejected",),
        ("ask_analyst.timeout", "block"),
    }
    assert all((amount > 50000) == bool(path) for path, amount in amounts.items())


def test_events_of_one_story_have_one_key_and_ids_of_their_own() -> None:
    definition = example("order-fulfilment")
    known = catalog("order-fulfilment")
    found = make_samples(definition, known, 3, player(definition, known))
    paid = next(story for story in found.stories if any("paid" in part for part in story.path))
    sent = [action["send"]["data"] for action in paid.do if "send" in action]

    assert len(sent) > 1
    assert len({data["order"] for data in sent}) == 1
    assert len({data["id"] for data in sent}) == len(sent)


def test_another_seed_gives_other_events_and_the_same_seed_the_same() -> None:
    definition = definition_of(draft(ANALYST, catalog("fraud-detection")))
    play = player(definition, catalog("fraud-detection"))
    one, same, other = (make_samples(definition, catalog("fraud-detection"), seed, play, 2) for seed in (1, 1, 2))

    assert one == same
    assert one.stories != other.stories
