"""Public schemas, of GitHub's webhooks and Google's CloudEvents, as catalogs, and their examples as events."""

from __future__ import annotations

import json
import posixpath
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.check import check
from streamflow.definition.expression import compile_expression
from streamflow.definition.schema_fields import Fields, declared_fields
from streamflow.definition.schema_shape import shape_of
from streamflow.definition.schema_types import typed_environment, with_fields
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.definition.validation import schema_fault
from streamflow.importing.catalog import CatalogImport, import_catalog
from streamflow.simulation.scenarios import Scenario
from streamflow.simulation.stage import play
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader
from tests.conftest import TEST_ALL, only_full
from tests.shared_data import archive, json_files, missing

GITHUB, GOOGLE = "github-webhooks", "google-cloudevents"
needs_github = pytest.mark.skipif(not archive(GITHUB).exists(), reason=missing(GITHUB))
needs_google = pytest.mark.skipif(not archive(GOOGLE).exists(), reason=missing(GOOGLE))

EVERY = 1 if TEST_ALL else 24  # `make test-full` looks at every event
# Examples that their own schema refuses, and the place of it.
WRONG_EXAMPLES = {
    f"payload-examples/api.github.com/check_run/{name}.payload.json": (
        '/check_run/app/created_at: the value is not a "date-time"; '  # it has no offset
        '/check_run/app/updated_at: the value is not a "date-time"; '
        '/check_run/check_suite/app/created_at: the value is not a "date-time"; '
        '/check_run/check_suite/app/updated_at: the value is not a "date-time". Correct the record or the schema.'
    )
    for name in ("rerequested", "rerequested.with-organization")
}


@lru_cache(maxsize=2)
def imported(name: str) -> CatalogImport:
    folder = {GITHUB: "payload-schemas/", GOOGLE: ""}[name]
    files = {path: value for path, value in json_files(name).items() if path.startswith(folder)}
    return import_catalog(files, topic="events")


@lru_cache(maxsize=2)
def catalog(name: str) -> Catalog:
    return parse_catalog(imported(name).text())


def examples(name: str) -> Iterator[tuple[str, EventSpec, Any, dict[str, str]]]:
    """The example payloads: their path, the event that each is, what is in it, and the headers that come with it."""
    for path, data in json_files(name).items():
        if name == GITHUB and path.startswith("payload-examples/"):
            event = path.split("/")[-2]
            action = data.get("action")
            called = (
                f"github.{event}.{action}"
                if action and catalog(name).event(f"github.{event}.{action}")
                else f"github.{event}"
            )
            headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": f"d-{path}"}
        elif name == GOOGLE and path.startswith("testdata/"):
            schema = (
                posixpath.dirname(path).replace("testdata/", "jsonschema/", 1) + "/" + path.split("/")[-1].split("-")[0]
            )
            called = next(one.name for one in imported(name).imported if one.file == f"{schema}.json")
            headers = {"ce_id": path, "ce_source": "//example", "ce_specversion": "1.0", "ce_type": called}
        else:
            continue
        spec = catalog(name).event(called)
        assert spec is not None, path
        yield path, spec, data, headers


@pytest.mark.parametrize(
    ("name", "events", "share"),
    [
        pytest.param(GITHUB, 224, 98.0, marks=[needs_github, only_full]),
        pytest.param(GOOGLE, 376, 79.0, marks=needs_google),
    ],
)
def test_every_schema_is_an_event_that_passes_the_check(name: str, events: int, share: float) -> None:
    done = imported(name)
    assert {one.reason for one in done.skipped} <= {"it is no JSON Schema", "it is part of other schemas"}
    assert len(done.events) == len(catalog(name).events) == events
    some = slice(None, None, EVERY)
    assert [spec.name for spec in catalog(name).events[some] if schema_fault(spec.schema_) is not None] == []
    fields = sum((one.fields for one in done.imported), Fields())
    assert 100 * fields.typed / (fields.typed + fields.open) >= share
    alone = [declared_fields(shape_of(spec.schema_)) for spec in catalog(name).events[some]]
    assert alone == [one.fields for one in done.imported[some]]


@needs_google
def test_of_the_fields_that_google_declares_with_one_type_nearly_all_are_typed_as_declared() -> None:
    fields, declared = Fields(), Counter[bool]()
    for value in json_files(GOOGLE).values():
        if isinstance(value, dict) and "cloudeventTypes" in value:
            fields += declared_fields(shape_of(value))
            declared.update(types is not None and len(types) == 1 for _, types in leaves(value, value, (), 0))
    assert fields.typed + fields.open > 3000
    assert fields.typed / (fields.typed + fields.open) >= 0.89  # of all, also of texts that may be numbers
    assert fields.typed / declared[True] >= 0.95


@pytest.mark.parametrize("name", [pytest.param(GITHUB, marks=needs_github), pytest.param(GOOGLE, marks=needs_google)])
def test_declared_fields_are_counted_as_expressions_have_them(name: str) -> None:
    for spec in catalog(name).events[::40]:
        environment, _ = typed_environment({"event": spec.schema_})
        counted: Counter[bool] = Counter()
        for path, _ in leaves(spec.schema_, spec.schema_, ("event",), 0):
            counted[environment.compile(with_fields(path)).return_type().name() == "DYN"] += 1
        fields = declared_fields(shape_of(spec.schema_))
        assert counted[False] + counted[True] > 0
        assert abs(counted[True] - fields.open) <= 0.02 * (fields.open + fields.typed) + 1, spec.name


def leaves(schema: Any, root: Any, at: tuple[str, ...], depth: int) -> Iterator[tuple[str, set[str] | None]]:
    """The declared fields of `schema` that have no fields themselves, by the plainest reading of it: the expression
    that reads each, and its types where `type` says them."""
    while isinstance(schema, Mapping) and "$ref" in schema:
        target = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        schema = target
    if depth > 30:
        return
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", ())) or None
    found: dict[str, Any] = {}
    for part in (schema, *schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        while "$ref" in part:
            target = root
            for step in part["$ref"].split("/")[1:]:
                target = target[step]
            part = target
        for name, inner in part.get("properties", {}).items():
            found.setdefault(name, inner)
        if part.get("type") == "array" and isinstance(part.get("items"), Mapping) and not found:
            yield from leaves(part["items"], root, (*at, "[0]"), depth + 1)
            return
    for name, inner in found.items():
        yield from leaves(inner, root, (*at, f'["{name}"]'), depth + 1)
    if not found:
        yield "".join(at), kinds


@pytest.mark.parametrize("name", [pytest.param(GITHUB, marks=needs_github), pytest.param(GOOGLE, marks=needs_google)])
def test_every_example_is_its_event_and_is_read(name: str) -> None:
    specs = catalog(name).events
    reader = TopicReader(enumerate(specs), compile_expression)
    read, refused = 0, {}
    for offset, (path, spec, data, headers) in enumerate(examples(name)):
        sent = tuple((header, text.encode()) for header, text in headers.items())
        occurrences, refusals = reader.read(Record("events", 0, offset, 1, None, json.dumps(data).encode(), sent), "T")
        if refusals:
            refused[path] = refusals[0].message.split(" but ", 1)[1]
            continue
        assert [specs[one.spec].name for one in occurrences] == [spec.name], path
        event = occurrences[0].event
        assert event.data == data
        assert event.id == (headers.get("X-GitHub-Delivery") or headers.get("ce_id"))
        field = next(iter(data))
        expression = compile_expression(f'event["{field}"]', {"event": spec.schema_})
        assert expression.value({"event": event.data}) is not None or data[field] is None
        read += 1
    assert refused == {path: why for path, why in WRONG_EXAMPLES.items() if path in json_files(name)}
    assert read >= {GITHUB: 130, GOOGLE: 15}[name]


@needs_github
def test_a_definition_of_several_webhooks_is_checked_and_played() -> None:
    definition = parse_definition(
        json.dumps(
            {
                "streamflow": "1",
                "name": "triage",
                "version": "1",
                "on": [
                    {"id": "opened", "event": "github.issues.opened", "where": "event.issue.state == 'open'"},
                ],
                "steps": [
                    {
                        "id": "labeled",
                        "wait": {"events": [{"id": "label", "event": "github.issues.labeled"}], "within": "7d"},
                    },
                    {
                        "id": "said",
                        "needs": ["labeled.label"],
                        "print": {
                            "text": "'%s in %s by %s'.format([trigger.issue.title, trigger.repository.full_name, "
                            "trigger.sender.login])"
                        },
                    },
                ],
            }
        )
    )
    of = {spec.name: data for _, spec, data, _ in examples(GITHUB)}
    began = time.process_time()
    assert [one for one in check(definition, catalog(GITHUB)) if one.severity == "error"] == []
    assert time.process_time() - began < 5
    scenario = Scenario.model_validate(
        {
            "name": "labelled in time",
            "do": [
                {"send": {"event": "github.issues.opened", "data": of["github.issues.opened"]}},
                {"send": {"event": "github.issues.labeled", "data": of["github.issues.labeled"]}},
            ],
            "expect": {"path": ["labeled.label", "said"]},
        }
    )
    events = [spec.model_copy(update={"id": None}) for spec in catalog(GITHUB).events]  # ids of the scenario's own
    played = play(scenario, definition, Catalog(events=events))
    assert played.differences == ()
