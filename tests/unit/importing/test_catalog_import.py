"""Catalogs from other people's schemas: what is derived, what is shared, what is skipped and why."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.definition.json_schema import json_types
from streamflow.definition.schema_fields import Fields, declared_fields
from streamflow.definition.schema_shape import shape_of
from streamflow.definition.syntax import parse_catalog
from streamflow.definition.validation import schema_fault
from streamflow.importing.catalog import CatalogImport, import_catalog, is_schema

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
SEVEN = "http://json-schema.org/draft-07/schema"
OBJECT: dict[str, Any] = {"type": "object"}


def events(done: CatalogImport) -> dict[str, Any]:
    """The events of the catalog file by name, as the product reads it."""
    found = parse_catalog(done.text()).events
    assert [spec.name for spec in found if schema_fault(spec.schema_) is not None] == []
    return {spec.name: spec for spec in found}


def webhook(event: str, action: str, **properties: Any) -> dict[str, Any]:
    always = {"action": {"type": "string", "enum": [action]}, **properties}
    return {"$schema": SEVEN, "$id": f"{event}${action}", **OBJECT, "required": list(always), "properties": always}


USER = {"$schema": SEVEN, "$id": "common/user.schema.json", **OBJECT, "properties": {"login": TEXT}}
ISSUE = {
    "$schema": SEVEN,
    "$id": "common/issue.schema.json",
    **OBJECT,
    "required": ["id"],
    "properties": {"id": WHOLE, "user": {"$ref": "user.schema.json"}, "note": {"description": "x", **TEXT}},
}


def test_webhooks_are_told_by_header_and_action() -> None:
    files = {
        "issues/opened.schema.json": webhook("issues", "opened", issue={"$ref": "common/issue.schema.json"}),
        "issues/closed.schema.json": webhook("issues", "closed", issue={"$ref": "common/issue.schema.json"}),
        "push/event.schema.json": {"$schema": SEVEN, "$id": "push$event", **OBJECT, "properties": {"ref": TEXT}},
        "common/issue.schema.json": ISSUE,
        "common/user.schema.json": USER,
    }
    done = import_catalog(files, topic="github")
    found = events(done)
    assert list(found) == ["github.issues.closed", "github.issues.opened", "github.push"]
    opened = found["github.issues.opened"]
    assert opened.match.header == "X-GitHub-Event"
    assert (opened.match.equals, opened.match.expr) == ("issues", "event.action == 'opened'")
    assert opened.id.header == "X-GitHub-Delivery"
    assert opened.key.path == "issue.id"
    assert opened.source == "github"
    assert found["github.push"].match.expr is None
    assert found["github.push"].key is None
    assert json_types(shape_of(opened.schema_)["properties"]["issue"]["properties"]["user"]["properties"]["login"]) == {
        "string"
    }
    assert sorted(done.shared) == ["issue", "user"]
    assert "description" not in done.text()
    assert {one.reason for one in done.skipped} == {"it is part of other schemas"}


def test_only_wanted_events_and_what_they_need_are_taken() -> None:
    files = {
        "issues/opened.json": webhook("issues", "opened", issue={"$ref": "common/issue.schema.json"}),
        "star/created.json": webhook("star", "created", sender={"$ref": "common/user.schema.json"}),
        "common/issue.json": ISSUE,
        "common/user.json": USER,
    }
    done = import_catalog(files, topic="t", wanted=["github.star.*"])
    assert list(events(done)) == ["github.star.created"]
    assert list(done.shared) == ["user"]


def test_cloudevents_are_named_by_their_types_and_have_their_schema_in_common() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "$id": "https://a.example/Data.json",
        "name": "Data",
        "cloudeventTypes": ["a.made.v1", "a.gone.v1", "bad type"],
        "$ref": "#/definitions/Data",
        "definitions": {
            "Data": {
                **OBJECT,
                "properties": {
                    "name": TEXT,
                    "size": WHOLE,
                    "n": {"enum": ["NULL_VALUE", 0], "oneOf": [TEXT, WHOLE]},
                    "of": {"$ref": "#/definitions/Data"},
                },
            }
        },
    }
    done = import_catalog({"x/Data.json": schema}, topic="t")
    found = events(done)
    assert list(found) == ["a.made.v1", "a.gone.v1"]
    assert found["a.made.v1"].match is None
    assert list(done.shared) == ["Data"]
    shape = shape_of(found["a.gone.v1"].schema_)
    assert json_types(shape["properties"]["name"]) == {"string"}
    assert json_types(shape["properties"]["size"]) == {"integer", "string"}
    assert "null" in json_types(shape["properties"]["n"])
    assert [one.reason.partition(":")[0] for one in done.skipped] == ["it is no event"]


@pytest.mark.parametrize(
    ("schema", "field", "expected"),
    [
        ({"type": {"const": "order.placed"}}, "match", {"path": "type", "equals": "order.placed"}),
        ({"kind": {"enum": ["placed"]}}, "match", {"path": "kind", "equals": "placed"}),
        ({"kind": {"enum": ["placed", "gone"]}}, "match", None),
        ({"event_id": TEXT}, "id", {"path": "event_id"}),
        ({"id": TEXT}, "id", None),
        ({"occurred_at": TEXT}, "time", {"path": "occurred_at"}),
        ({"time": OBJECT}, "time", None),
    ],
)
def test_of_a_plain_schema_only_what_is_beyond_doubt_is_derived(
    schema: dict[str, Any], field: str, expected: dict[str, Any] | None
) -> None:
    plain = {**OBJECT, "properties": schema, "required": list(schema)}
    event = import_catalog({"order-placed.schema.json": plain}, topic="orders").events[0]
    assert event["name"] == "order-placed"
    assert event.get(field) == expected
    optional = import_catalog({"order-placed.schema.json": {**OBJECT, "properties": schema}}, topic="orders").events[0]
    assert field not in optional


@pytest.mark.parametrize(
    ("reference", "there"),
    [
        ("./parts/address.json", "parts/address.json"),
        ("parts/address.json#", "parts/address.json"),
        ("parts/address.json#/properties/city", "parts/address.json"),
        ("https://a.example/address", "elsewhere.json"),
        ("../schemas/address%20b.json", "address b.json"),
    ],
)
def test_files_name_each_other_by_path_or_id(reference: str, there: str) -> None:
    address = {
        "$id": "https://a.example/address",
        **OBJECT,
        "properties": {"city": {"$ref": "#/$defs/c"}},
        "$defs": {"c": TEXT},
    }
    files = {
        "schemas/order.json": {
            **OBJECT,
            "properties": {"to": {"$ref": reference}, "n": {"$ref": "#/properties/m"}, "m": WHOLE},
        },
        f"schemas/{there}": address if there == "elsewhere.json" else {**address, "$id": ""},
    }
    done = import_catalog(files, topic="orders")
    schema = events(done)["order"].schema_
    shape = shape_of(schema)
    to = shape["properties"]["to"]
    assert json_types(to["properties"]["city"] if "properties" in to else to) == {"string"}
    assert json_types(shape["properties"]["n"]) == {"integer"}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"a.json": {**OBJECT, "properties": {"p": {"$ref": "https://b.example/gone.json"}}}},
            "is not among the files",
        ),
        ({"a.json": {**OBJECT, "properties": {"p": {"$ref": "b.json"}}}}, "is not among the files"),
        ({"a.json": {**OBJECT, "properties": {"p": {"$ref": "../../../etc/passwd"}}}}, "is not among the files"),
        (
            {"a.json": {**OBJECT, "properties": {"p": {"$ref": "b.json#x"}}}, "b.json": OBJECT | {"items": {}}},
            "an anchor of",
        ),
        ({"a.json": {**OBJECT, "properties": {"p": {"$ref": "#/gone"}}}}, "leads to '/gone'"),
        ({"a.json": {**OBJECT, "properties": {"p": {"type": "text"}}}}, "its schema cannot be used"),
        ({"a.json": {"hello": "world"}}, "no JSON Schema"),
        ({"a.json": [1, 2]}, "no JSON Schema"),
        (
            {"a.json": {"$schema": "https://json.schemastore.org/catalog", "type": "object", "properties": {}}},
            "no JSON",
        ),
        (
            {
                "a.json": {"$schema": SEVEN, **OBJECT, "properties": {"p": {"$ref": "b.json"}}},
                "b.json": {"$schema": "https://json-schema.org/draft/2020-12/schema", **OBJECT},
            },
            "another draft",
        ),
    ],
)
def test_what_cannot_be_an_event_is_skipped_with_the_reason(files: dict[str, Any], reason: str) -> None:
    done = import_catalog(files, topic="t")
    assert "a" not in events(done)
    told = [one for one in done.skipped if one.file == "a.json"]
    assert len(told) == 1
    assert reason in told[0].reason


def test_every_file_is_accounted_for() -> None:
    files = {
        "a.json": {**OBJECT, "properties": {"p": {"$ref": "b.json"}}},
        "b.json": {**OBJECT, "properties": {}},
        "c.json": 5,
        "d/a.json": {**OBJECT, "properties": {"q": TEXT}},
    }
    done = import_catalog(files, topic="t")
    assert {one.file for one in done.imported} | {one.file for one in done.skipped} == set(files)
    assert [one.reason for one in done.skipped if one.file == "d/a.json"] == ["an event a is there already"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "object", "properties": {}}, True),
        ({"$schema": SEVEN}, True),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/x"}, True),
        ({"type": "order.placed", "properties": {}}, False),
        ({"type": "object"}, False),
        ({"name": "a", "type": "string", "items": 5}, False),
        ("text", False),
    ],
)
def test_what_is_a_schema(value: Any, expected: bool) -> None:
    assert is_schema(value) is expected


def test_fields_are_counted_where_they_are_typed_and_where_they_are_open() -> None:
    closed = {**OBJECT, "properties": {"a": TEXT, "n": {"type": "number"}}}
    opened = {**closed, "patternProperties": {"^x": TEXT}}
    schema = {
        "properties": {"c": closed, "o": opened, "l": {"type": "array", "items": closed}, "any": {}, "map": OBJECT}
    }
    assert declared_fields(shape_of({**OBJECT, **schema})) == Fields(typed=3, open=5)


def written(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


PLACED = {**OBJECT, "properties": {"id": TEXT, "total": {"type": "number"}}, "required": ["id"]}


def test_the_command_writes_a_catalog_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "schemas", placed=PLACED, note={"some": "data"}, broken="{")
    out = tmp_path / "new" / "catalog.yaml"
    line = ["catalog", "import", str(folder), "--topic", "orders", "--out", str(out)]
    assert main(line) == 0
    shown = capsys.readouterr()
    assert "1 events, 0 shared schemas, 50.0 % of 2 fields typed; 2 files skipped" in shown.out
    assert "skipped broken.json: it is not readable JSON (not_json)" in shown.out
    assert parse_catalog(out.read_text()).events[0].name == "placed"
    before = out.read_text()
    assert main([*line, "--source", "shop"]) == 3
    assert "file_exists" in capsys.readouterr().err
    assert out.read_text() == before
    assert main([*line, "--source", "shop", "--force"]) == 0
    assert parse_catalog(out.read_text()).events[0].source == "shop"


def test_the_command_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "schemas", placed=PLACED, note={"some": "data"})
    assert main(["catalog", "import", str(folder), "--topic", "orders", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["events"] == [{"name": "placed", "file": "placed.json", "fields_typed": 1, "fields_open": 1}]
    assert answer["skipped"] == [{"file": "note.json", "reason": "it is no JSON Schema"}]
    assert answer["written"] is None
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "schemas", placed=PLACED, large=" " * 1_000_001, deep="[" * 100_000)
    os.mkfifo(folder / "pipe.json")
    (folder / "link.json").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder)
    assert main(["catalog", "import", str(folder), "--topic", "orders"]) == 0
    shown = capsys.readouterr().out
    assert "skipped large.json: it has 1000001 bytes, more than 1000000" in shown
    assert shown.count("it is not a regular file") == 2
    assert "skipped deep.json: it is not readable JSON (too_deep)" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "exit_"),
    [
        (["{}/gone.json", "--topic", "t"], "file_unreadable", 3),
        (["{}", "--topic", "t"], "no_schemas", 3),
        (["{}", "--topic", "streamflow.runs"], "topic_reserved", 3),
        (["{}", "--topic", "no topic"], "bad_topic", 3),
        (["{}"], "usage", 3),
    ],
)
def test_what_the_command_cannot_do_is_told(
    arguments: list[str], code: str, exit_: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [one.replace("{}", str(tmp_path)) for one in arguments]
    assert main(["catalog", "import", *line, "--json"]) == exit_
    assert code in capsys.readouterr().err
