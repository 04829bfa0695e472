"""The Avro schemas of our own records: they hold every record, and what a released version wrote can still be read."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any, get_args

import avro.compatibility
import avro.schema
import fastavro
import pytest

from streamflow.engine.commands import AdvanceWatermark, Command, CompleteAttempt, DefinitionRef, Event
from streamflow.engine.transitions import FACTS, RunCompleted, RunStarted, Transition, ValuesSet, WaitStarted
from streamflow.wire.avro_records import _fields, command_value, dead_letter_value, run_value
from streamflow.wire.avro_schemas import avro_schemas
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Headers, Record
from streamflow.wire.settlement import Settlement, encode_settlement
from streamflow.wire.transitions import encode_transition
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


def read_back(name: str, value: Any) -> Any:
    """What a reader of Avro gets."""
    parsed: Any = fastavro.parse_schema(copy.deepcopy(avro_schemas()[name]))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, value)
    stream.seek(0)
    return fastavro.schemaless_reader(stream, parsed, None)


def record(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
    return Record(topic, 0, 7, 5, key, value, headers)


@pytest.mark.parametrize(
    "data",
    [
        STARTED,
        WaitStarted(events=("a", "b"), due_ms=None),
        ValuesSet(values={"x": {"y": 1.5}}),
        RunCompleted(ended=("a",), output=[1]),
    ],
)
def test_a_transition_is_written_with_the_schema_of_runs(data: Any) -> None:
    transition = Transition(
        run="00000000-main-1",
        definition="orders",
        version="1",
        key="o1",
        seq=1,
        at_ms=5,
        cause="c1",
        data=data,
        step="s",
    )
    found = read_back("runs.avsc", run_value(record("runs", *encode_transition(transition, None))))

    assert (found["run"], found["seq"], found["step"], found["scope"]) == ("00000000-main-1", 1, "s", "")
    if data is STARTED:
        assert json.loads(found["data"]["event"]["data"]) == {"a": [1]}
    if isinstance(data, ValuesSet):
        assert json.loads(found["data"]["values"]) == {"x": {"y": 1.5}}


def test_a_command_is_written_with_the_schema_of_commands() -> None:
    commands: list[Any] = [
        a_delivery(an_event(data={"total": 5}), start=DefinitionRef("ab", 5)),
        CompleteAttempt(id="c", run="0-1", address="s", attempt=1, output={"a": 1}),
        AdvanceWatermark(id="c", topic="t", partitions=2, at_ms={"0": 5}, feeds={"placed": ("t", "u")}),
    ]
    for command in commands:
        value = command_value(record("commands", b"k", encode_command(command), ()))
        found = read_back("commands.avsc", value)["command"]
        assert found["id"] == command.id
    assert found["feeds"] == {"placed": ["t", "u"]}


def test_every_kind_of_record_has_conversions_for_its_fields() -> None:
    for kind in (Transition, *FACTS.values(), *get_args(Command)):
        assert [name for name, _, _ in _fields(kind)] == list(kind.__struct_encode_fields__)


def test_a_letter_has_the_record_that_it_is_about() -> None:
    headers = (("a", b"1"), ("streamflow.dlq.id", b"forged"))
    letter = dead_letter(
        record("orders", b"k", b"\xff", headers), "not_json", "No JSON.", "ingress", topic_id="T", event="placed"
    )

    found = read_back("dead-letters.avsc", dead_letter_value(record("dead-letters", *letter)))

    assert (found["reason"], found["stage"], found["topic"], found["offset"]) == ("not_json", "ingress", "orders", 7)
    assert (found["key"], found["value"]) == (b"k", b"\xff")
    assert found["facts"] == {"event": "placed", "topic_id": "T"}
    assert found["headers"] == [
        {"name": "a", "value": b"1"},
        {"name": "streamflow.dlq.id", "value": b"forged"},
    ]
    assert found["settles"] is None


def test_a_letter_that_was_cut_has_what_was_kept() -> None:
    letter = dead_letter(record("orders", b"k", b"x" * 200_000, ()), "r", "m", "engine", limit_bytes=100_000)

    found = read_back("dead-letters.avsc", dead_letter_value(record("dead-letters", *letter)))

    assert (len(found["value"]), found["facts"]["truncated"], found["facts"]["size"]) == (65_536, "true", "200000")


def test_a_settlement_names_its_letter() -> None:
    settled = encode_settlement(Settlement(letter="T/0/7/ab", state="dropped", why="not needed"))

    found = read_back("dead-letters.avsc", dead_letter_value(record("dead-letters", *settled)))

    assert (found["settles"], found["reason"], found["message"]) == ("T/0/7/ab", "dropped", "not needed")


@pytest.mark.parametrize(
    ("convert", "code"),
    [(run_value, "bad_transition"), (command_value, "bad_command"), (dead_letter_value, "bad_letter")],
)
def test_what_others_wrote_is_refused(convert: Any, code: str) -> None:
    with pytest.raises(DecodeError) as refused:
        convert(record("runs", b"k", b"{}", ()))
    assert refused.value.code == code
