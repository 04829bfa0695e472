"""One record to commands and dead letters: every outcome, and exactly one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.match import Published
from streamflow.errors import DefinitionError
from streamflow.runtime.intake import Intake, Taken, readable
from streamflow.settings import Limits
from streamflow.wire.codec import decode_command
from streamflow.wire.decoding import Record


def published(name: str = "loan", where: str | None = None, schema: dict[str, Any] | None = None) -> Published:
    spec = {
        "name": "submitted",
        "topics": ["orders"],
        "match": {"path": "kind", "equals": "s"},
        "key": {"path": "order"},
        "schema": schema or {},
    }
    catalog = Catalog.model_validate({"events": [spec]})
    steps = [{"id": "p", "print": {"text": "'x'"}}]
    definition = Definition.model_validate(
        {"name": name, "version": "1", "on": [{"id": "t", "event": "submitted", "where": where}], "steps": steps}
    )
    return Published(
        plan=compile_plan(definition, catalog, "sha"), specs={"submitted": catalog.events[0]}, at=1, newest=True
    )


def take(intake: Intake, value: Any, topic: str = "orders") -> Taken:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return intake.take(Record(topic, 0, 7, 1_700_000_000_000, b"k", data), "T", 5)


def reasons(taken: Taken) -> list[str]:
    return [dict(letter.headers)["streamflow.dlq.reason"].decode() for letter in taken.dead_letters]


def test_a_matching_record_becomes_an_encoded_command_with_its_key() -> None:
    taken = take(Intake([published()], Limits()), {"kind": "s", "order": "a"})
    ((key, value),) = taken.commands
    assert (key, decode_command(value).id.split("/")[:3], reasons(taken)) == ("a", ["T", "0", "7"], [])


@pytest.mark.parametrize(("value", "topic"), [({"kind": "x"}, "orders"), ({"kind": "s", "order": "a"}, "elsewhere")])
def test_a_record_that_nobody_wants_is_nothing(value: Any, topic: str) -> None:
    assert take(Intake([published()], Limits()), value, topic) == Taken([], [])


def test_an_event_whose_trigger_does_not_hold_is_nothing() -> None:
    assert take(
        Intake([published(where="event.amount > 5")], Limits()), {"kind": "s", "order": "a", "amount": 1}
    ) == Taken([], [])


def test_each_bad_record_has_its_reason() -> None:
    intake = Intake(
        [published(where="event.amount > 5", schema={"required": ["kind"], "properties": {"n": {"type": "string"}}})],
        Limits(),
    )
    assert reasons(take(intake, b"\xff")) == ["not_json"]
    assert reasons(take(intake, {"kind": "s", "order": "a", "n": 1})) == ["schema_mismatch"]
    assert reasons(take(intake, {"kind": "s", "amount": 6})) == ["missing_key"]
    assert reasons(take(intake, {"kind": "s", "order": "a", "amount": "x"})) == ["expression_failed"]


def test_an_event_over_the_limit_is_kept_in_part_whoever_would_want_it() -> None:
    intake = Intake([published()], Limits(event_bytes=1000))
    taken = take(intake, b"x" * 200_000)
    assert reasons(taken) == ["event_too_large"]
    assert len(taken.dead_letters[0].value or b"") == 65_536


def test_a_command_that_grows_over_the_limit_is_a_dead_letter() -> None:
    intake = Intake([published()], Limits(event_bytes=1000, record_bytes=1000))
    assert reasons(take(intake, {"kind": "s", "order": "a", "text": "x" * 900})) == ["event_too_large"]


def test_a_definition_that_fails_leaves_the_others_their_commands() -> None:
    intake = Intake([published("a", where="event.amount > 5"), published("b")], Limits())
    taken = take(intake, {"kind": "s", "order": "k", "amount": "x"})
    assert (len(taken.commands), reasons(taken)) == (1, ["expression_failed"])


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": {"type": "nonsense"}},
        {"schema": {"$ref": "https://example.com/a.json"}},
        {"match": {"expr": "event."}},
    ],
)
def test_a_catalog_that_cannot_be_used_is_told_before_it_is_used(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, DefinitionError)):
        readable([EventSpec.model_validate({"name": "a", "topics": ["orders"], **fields})])


def test_a_fault_of_ours_is_a_dead_letter_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Intake([published()], Limits())
    monkeypatch.setattr(intake.matcher, "match", lambda *_: 1 / 0)
    assert reasons(take(intake, {"kind": "s", "order": "k"})) == ["matching_failed"]
