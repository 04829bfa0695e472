"""The Avro schemas of our own records: they hold every record, and what a released version wrote can still be read."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import avro.compatibility
import avro.schema
import fastavro
import pytest
from msgspec import Struct

from streamflow.engine.commands import AdvanceWatermark, Command, CompleteAttempt, DefinitionRef, Event
from streamflow.engine.transitions import FACTS, RunCompleted, RunStarted, Transition, ValuesSet, WaitStarted
from streamflow.wire.avro_schemas import JSON_TEXT, avro_schemas
from tests.builders import a_delivery, an_event

FOLDER = Path(__file__).parents[3] / "schemas"
RELEASED = sorted((FOLDER / "released").glob("*/*.avsc"))
STARTED = RunStarted(
    trigger="t", event=Event(name="placed", id="e1", time_ms=1, data={"a": [1]}), sha="ab", revision="7"
)


def reads(reader: Any, writer: Any) -> bool:
    """Whether what was written with one schema can be read with the other, by Avro's own rules."""
    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = checker.get_compatibility(avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer)))
    return bool(found.compatibility is avro.compatibility.SchemaCompatibilityType.compatible)


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_a_released_version_wrote_can_be_read(path: Path) -> None:
    assert reads(avro_schemas()[path.name], json.loads(path.read_text())), (
        f"{path.name} cannot read what {path.parent.name} wrote: give new fields a default, and keep the old ones"
    )


def test_every_schema_has_a_released_copy() -> None:
    assert {path.name for path in RELEASED} == avro_schemas().keys()


@pytest.mark.parametrize("name", sorted(avro_schemas()))
def test_a_change_that_breaks_readers_is_found(name: str) -> None:
    released = avro_schemas()[name]
    assert reads(released, released)
    worse = copy.deepcopy(released)
    worse["fields"].append({"name": "new", "type": "string"})
    assert not reads(worse, released)
    worse["fields"][-1]["default"] = ""
    assert reads(worse, released)
    worse["fields"][0]["type"] = "boolean"
    assert not reads(worse, released)


def test_every_command_and_every_fact_is_in_them() -> None:
    command = avro_schemas()["commands.avsc"]["fields"][0]["type"]
    assert [branch["name"] for branch in command] == [kind.__name__ for kind in get_args(Command)]
    data = next(field for field in avro_schemas()["runs.avsc"]["fields"] if field["name"] == "data")
    assert [branch["name"] for branch in data["type"]] == list(FACTS)


def written(value: Any, schema: Any, named: Mapping[str, Any]) -> Any:
    """A record of ours as fastavro writes it."""
    if isinstance(schema, str):
        schema = named.get(f"streamflow.{schema}", named.get(schema, schema))
    if isinstance(schema, list):
        if isinstance(value, Struct):
            return f"streamflow.{type(value).__name__}", written(value, f"streamflow.{type(value).__name__}", named)
        other = [branch for branch in schema if branch != "null"]
        return None if value is None and len(other) < len(schema) else written(value, other[0], named)
    if isinstance(schema, str):
        return value
    if schema == JSON_TEXT:
        return json.dumps(value)
    if schema["type"] == "array":
        return [written(one, schema["items"], named) for one in value]
    if schema["type"] == "record":
        return {
            field["name"]: written(getattr(value, field["name"]), field["type"], named) for field in schema["fields"]
        }
    return dict(value)


def there_and_back(name: str, record: Any, wrapped: str | None = None) -> Any:
    named: dict[str, Any] = {}
    parsed: Any = fastavro.parse_schema(copy.deepcopy(avro_schemas()[name]), named_schemas=named)
    stream = io.BytesIO()
    if wrapped is None:
        data = written(record, parsed, named)
    else:
        data = {wrapped: written(record, parsed["fields"][0]["type"], named)}
    fastavro.schemaless_writer(stream, parsed, data)
    stream.seek(0)
    return fastavro.schemaless_reader(stream, parsed, None)


@pytest.mark.parametrize(
    "data",
    [
        STARTED,
        WaitStarted(events=("a", "b"), due_ms=None),
        ValuesSet(values={"x": {"y": 1.5}}),
        RunCompleted(ended=("a",), output=[1]),
    ],
)
def test_a_transition_fits_the_schema_of_runs(data: Any) -> None:
    found = there_and_back(
        "runs.avsc",
        Transition(
            run="0-1", definition="orders", version="1", key="o1", seq=1, at_ms=5, cause="c1", data=data, step="s"
        ),
    )

    assert (found["run"], found["seq"], found["step"], found["scope"]) == ("0-1", 1, "s", "")
    if data is STARTED:
        assert json.loads(found["data"]["event"]["data"]) == {"a": [1]}
    if isinstance(data, ValuesSet):
        assert json.loads(found["data"]["values"]) == {"x": {"y": 1.5}}


def test_a_command_fits_the_schema_of_commands() -> None:
    commands: list[Any] = [
        a_delivery(an_event(data={"total": 5}), start=DefinitionRef("ab", 5)),
        CompleteAttempt(id="c", run="0-1", address="s", attempt=1, output={"a": 1}),
        AdvanceWatermark(id="c", topic="t", partitions=2, at_ms={"0": 5}, feeds={"placed": ("t", "u")}),
    ]
    for command in commands:
        found = there_and_back("commands.avsc", command, "command")["command"]
        assert found["id"] == command.id
    assert found["feeds"] == {"placed": ["t", "u"]}
