"""Publishing events that are bound to subjects of a registry: found once, tried, and held against what was before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from streamflow.definition.catalog import Binding
from streamflow.errors import StreamflowError
from streamflow.kafka.publication import Published, publish
from streamflow.settings import Registry, Settings
from tests.servers.memory_registry import MemoryRegistry, memory_registry
from tests.unit.kafka.logs import MemoryLog

SHIPPED = {"type": "record", "name": "Shipped", "fields": [{"name": "id", "type": "string"}]}
JSON_SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        yield running


def wider(default: Any = None) -> str:
    extra = {"name": "n", "type": "int"} | ({} if default is None else {"default": default})
    return json.dumps(SHIPPED | {"fields": [*SHIPPED["fields"], extra]})


def published(
    registry: MemoryRegistry | None, release: str = "1", schema: Any = JSON_SCHEMA, **subject: Any
) -> Published:
    entry: dict[str, Any] = {"name": "shipped", "topics": ["parcels"], "schema": schema}
    if subject:
        entry["registry"] = subject
    settings = Settings() if registry is None else Settings(registry=Registry(url=registry.url))
    return publish(settings, name="ship", version=release, content=release.encode(), events={"shipped": entry})


def code(*arguments: Any, **fields: Any) -> str:
    with pytest.raises(StreamflowError) as caught:
        published(*arguments, **fields)
    return caught.value.code


def test_the_schema_is_found_at_publication_and_kept(memory_log: MemoryLog, registry: MemoryRegistry) -> None:
    schema_id = registry.register("parcels-value", json.dumps(SHIPPED))

    done = published(registry, subject="parcels-value")

    binding = memory_log.snapshot.bindings["shipped"]
    assert binding.registry is not None
    assert binding.written is not None
    assert (binding.written.id, binding.written.version, binding.written.type) == (schema_id, 1, "AVRO")
    assert json.loads(binding.written.text) == SHIPPED
    assert binding.written.uri == f"{registry.url}/schemas/ids/{schema_id}"
    assert done.rewritten == {"shipped": f"version 1 of parcels-value (id {schema_id}, AVRO)"}
    assert done.rebound == ()
    assert "registry" not in memory_log.snapshot.events["shipped"]


def test_a_newer_version_is_taken_when_it_is_published_again(memory_log: MemoryLog, registry: MemoryRegistry) -> None:
    registry.register("parcels-value", json.dumps(SHIPPED))
    published(registry, subject="parcels-value")
    registry.register("parcels-value", wider(default=0))

    again = published(registry, subject="parcels-value")

    written = memory_log.snapshot.bindings["shipped"].written
    assert written is not None
    assert written.version == 2
    assert again.already
    assert again.rebound == ()
    assert list(again.rewritten) == ["shipped"]
    assert published(registry, subject="parcels-value", version=1).rewritten
    assert published(registry, subject="parcels-value", version=1).rewritten == {}
    assert published(registry).rewritten == {"shipped": "JSON"}
    assert memory_log.snapshot.bindings["shipped"].written is None


def test_an_incompatible_version_is_refused(memory_log: MemoryLog, registry: MemoryRegistry) -> None:
    registry.register("parcels-value", json.dumps(SHIPPED))
    published(registry, subject="parcels-value")
    before = memory_log.snapshot.bindings["shipped"]
    registry._levels["parcels-value"] = "NONE"
    registry.register(
        "parcels-value",
        json.dumps(SHIPPED | {"fields": [{"name": "id", "type": "string"}, {"name": "n", "type": ["int", "null"]}]}),
    )
    registry._levels["parcels-value"] = "BACKWARD"
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "n": {"type": "integer", "maximum": 9}},
        "required": ["id", "n"],
    }

    assert code(registry, schema=schema, subject="parcels-value") == "schema_incompatible"
    assert memory_log.snapshot.bindings["shipped"] is before


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "string"}}, "required": ["id", "n"]},
        {"type": "array"},
    ],
)
def test_a_schema_that_cannot_hold_what_the_catalog_allows_is_refused(
    memory_log: MemoryLog, registry: MemoryRegistry, schema: Any
) -> None:
    registry.register("parcels-value", json.dumps(SHIPPED))
    assert code(registry, schema=schema, subject="parcels-value") == "schema_misfit"
    assert memory_log.written == []


def test_a_registry_that_does_not_answer_publishes_nothing(memory_log: MemoryLog, registry: MemoryRegistry) -> None:
    assert code(None, subject="parcels-value") == "registry_unset"
    assert code(registry, subject="parcels-value") == "subject_unknown"
    registry.status = 503
    assert code(registry, subject="parcels-value") == "registry_unavailable"
    registry.status = 401
    assert code(registry, subject="parcels-value") == "registry_refused"
    assert memory_log.written == []


def test_without_a_subject_a_binding_is_what_it_was_before_there_were_any(memory_log: MemoryLog) -> None:
    published(None)
    kept = memory_log.snapshot.bindings["shipped"].model_dump(exclude_none=True)
    assert kept.keys() == {"topics", "start", "bound_ms", "ends"}
    assert (
        Binding.model_validate(msgspec.json.decode(msgspec.json.encode(kept)))
        == memory_log.snapshot.bindings["shipped"]
    )


def test_a_schema_that_no_record_can_hold_is_refused(memory_log: MemoryLog, registry: MemoryRegistry) -> None:
    registry.register("parcels-value", json.dumps(SHIPPED | {"doc": "x" * 500_000}))
    assert code(registry, subject="parcels-value") == "definition_too_large"
    assert memory_log.written == []
