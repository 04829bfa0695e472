"""Schemas by id: asked for once, kept, and what happens when the registry does not say them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import timestamp_pb2
from pydantic import ValidationError

from streamflow.errors import OperationError
from streamflow.registry.client import registry_client
from streamflow.registry.readers import SchemaReaders, schema_readers
from streamflow.settings import Registry, Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Record
from streamflow.wire.frame import framed_schema, head
from tests.servers.memory_registry import MemoryRegistry
from tests.unit.registry.test_protobuf import line_file, text

ORDER = json.dumps({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]})


def framed(schema_id: int, data: Any, schema: str = ORDER) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema)), data)
    return head(schema_id) + stream.getvalue()


_opened: list[SchemaReaders] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def readers(registry: MemoryRegistry, *, keep: int = 10, clock: Any = lambda: 0.0, **options: Any) -> SchemaReaders:
    client = registry_client(Registry(url=registry.url, **options))
    _opened.append(SchemaReaders(client, keep=keep, unknown_s=30, clock=clock))
    return _opened[-1]


def code(call: Any, *arguments: Any) -> str:
    with pytest.raises(OperationError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_schema_is_asked_for_once(registry: MemoryRegistry) -> None:
    schema_id = registry.register("orders-value", ORDER)
    known = readers(registry)
    value = framed(schema_id, {"id": "o-1"})

    assert known.lacks(schema_id)
    assert [known.read_asking(value) for _ in range(3)] == [{"id": "o-1"}] * 3
    assert not known.lacks(schema_id)
    assert len(registry.asked) == 1


def test_an_id_that_is_unknown_is_remembered_for_a_while(registry: MemoryRegistry) -> None:
    now = [0.0]
    known = readers(registry, clock=lambda: now[0])
    value = framed(1, {"id": "o-1"})

    assert code(known.read_asking, value) == "schema_unknown"
    assert code(known.read_asking, value) == "schema_unknown"
    assert len(registry.asked) == 1
    registry.register("orders-value", ORDER)
    now[0] = 31.0
    assert known.read_asking(value) == {"id": "o-1"}


@pytest.mark.parametrize("status", [500, 502, 503, 429, 404])
def test_a_registry_that_is_away_is_no_answer(registry: MemoryRegistry, status: int) -> None:
    schema_id = registry.register("orders-value", ORDER)
    known = readers(registry)
    registry.status = status
    assert code(known.fetch, schema_id) == "registry_unavailable"
    registry.status = 0
    known.fetch(schema_id)
    assert known.read(framed(schema_id, {"id": "a"})) == {"id": "a"}


def test_what_is_no_registry_is_no_answer(registry: MemoryRegistry) -> None:
    known = readers(registry)
    for answer in (b"<html>", b"[]", b"7", b"{}", b"null", b'{"schema": 7}'):
        registry.answer = answer
        assert code(known.fetch, 1) == "registry_unavailable", answer
    registry.stop()
    with pytest.raises(OperationError) as caught:
        known.fetch(1)
    assert caught.value.code == "registry_unavailable"
    assert caught.value.retryable


def test_credentials_are_sent_and_read_again_when_they_are_refused(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_id = registry.register("orders-value", ORDER)
    registry.credentials = "flow:second-password"
    monkeypatch.setenv("REGISTRY_PASSWORD", "first-password")
    known = readers(registry, username="flow", password="env:REGISTRY_PASSWORD")

    monkeypatch.setenv("REGISTRY_PASSWORD", "second-password")
    with pytest.raises(OperationError) as caught:
        known.fetch(schema_id)
    assert caught.value.code == "registry_refused"
    assert "password" not in str(caught.value.message).replace("user, password", "")
    known.fetch(schema_id)
    assert not known.lacks(schema_id)


def test_a_token_is_sent(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    schema_id = registry.register("orders-value", ORDER)
    registry.credentials = "a-token-of-ours"
    monkeypatch.setenv("REGISTRY_TOKEN", "a-token-of-ours")
    readers(registry, token="env:REGISTRY_TOKEN").fetch(schema_id)
    readers(registry, token="env:REGISTRY_TOKEN", cluster="lsrc-1").fetch(schema_id)
    assert code(readers(registry).fetch, schema_id) == "registry_refused"


def test_a_secret_that_is_gone_is_told_until_it_is_there_again(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_id = registry.register("orders-value", ORDER)
    registry.credentials = "a-token-of-ours"
    monkeypatch.setenv("REGISTRY_TOKEN", "an-older-token")
    known = readers(registry, token="env:REGISTRY_TOKEN")
    monkeypatch.delenv("REGISTRY_TOKEN")
    assert [code(known.fetch, schema_id) for _ in range(3)] == ["secret_missing"] * 3
    monkeypatch.setenv("REGISTRY_TOKEN", "a-token-of-ours")
    assert code(known.fetch, schema_id) == "registry_refused"
    known.fetch(schema_id)


def test_an_answer_counts_for_what_waited_for_it(registry: MemoryRegistry) -> None:
    now_s = [0.0]
    known = readers(registry, clock=lambda: now_s[0])
    for schema_id in (7, 8, 9):
        known.fetch(schema_id)
        now_s[0] += 20
    assert known.missing([7, 8, 9]) == (7, 8)
    assert known.missing([7, 8, 9], 20.0) == (7,)
    assert known.missing([7, 8, 9, 7], 0.0) == ()
    assert known.missing([7, 8, 9, 7], known.now_s()) == (7, 8)


def test_the_schema_used_longest_ago_goes_first(registry: MemoryRegistry) -> None:
    ids = [registry.register(f"s{n}", json.dumps({"type": "fixed", "name": f"F{n}", "size": 1})) for n in range(3)]
    known = readers(registry, keep=2)
    for schema_id in ids[:2]:
        known.fetch(schema_id)
    assert known.missing([ids[0]]) == ()
    known.fetch(ids[2])
    assert [known.read(head(schema_id) + b"a") for schema_id in ids] == ["YQ=="] * 3  # until it is asked for the next

    assert known.missing([ids[2]]) == ()
    assert [known.lacks(schema_id) for schema_id in ids] == [False, True, False]


def test_a_schema_that_cannot_be_used_is_told_as_such(registry: MemoryRegistry) -> None:
    known = readers(registry)
    broken = registry.register("broken", '{"type": "nothing"}', type="JSON")
    assert known.read_asking(head(broken) + b'{"a": 1}') == {"a": 1}
    strange = registry.register("strange", "<xml/>", type="XML")
    assert code(known.read_asking, head(strange) + b"a") == "schema_unusable"
    missing = {"name": "shop.Line", "subject": "lines", "version": 4}
    lonely = registry.register("lonely", '{"type": "array", "items": "shop.Line"}', references=[missing])
    assert code(known.read_asking, head(lonely) + b"\0") == "schema_unusable"


def test_a_schema_is_read_with_those_that_it_builds_on(registry: MemoryRegistry) -> None:
    line = json.dumps({"type": "record", "name": "shop.Line", "fields": [{"name": "sku", "type": "string"}]})
    registry.register("lines", line)
    reference = {"name": "shop.Line", "subject": "lines", "version": 1}
    schema_id = registry.register("baskets", '{"type": "array", "items": "shop.Line"}', references=[reference])

    assert readers(registry).read_asking(head(schema_id) + b"\x02\x02a\0") == [{"sku": "a"}]


@pytest.fixture
def confluent(registry: MemoryRegistry) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry.url}) as client:
        yield client


def test_what_confluents_serializers_write_is_read(registry: MemoryRegistry, confluent: SchemaRegistryClient) -> None:
    context = SerializationContext("orders", MessageField.VALUE)
    avro = AvroSerializer(confluent, ORDER)({"id": "o-1"}, context)
    protobuf = ProtobufSerializer(timestamp_pb2.Timestamp, confluent, {"use.deprecated.format": False})(
        timestamp_pb2.Timestamp(seconds=1_764_405_000), SerializationContext("times", MessageField.VALUE)
    )
    known = readers(registry)

    assert known.read_asking(avro) == {"id": "o-1"}
    assert known.read_asking(protobuf) == "2025-11-29T08:30:00Z"


def test_a_json_value_that_is_none_is_refused(registry: MemoryRegistry) -> None:
    schema_id = registry.register("s", "{}", type="JSON")
    with pytest.raises(DecodeError) as caught:
        readers(registry).read_asking(head(schema_id) + b"{")
    assert caught.value.code == "not_json"


def test_subjects_and_their_versions(registry: MemoryRegistry) -> None:
    client = registry_client(Registry(url=registry.url))
    registry.register("b-value", ORDER)
    registry.register("a-value", ORDER)
    wider = json.loads(ORDER)
    wider["fields"].append({"name": "n", "type": "int", "default": 0})
    newest = registry.register("b-value", json.dumps(wider))

    assert client.subjects() == ["a-value", "b-value"]
    found = client.version("b-value")
    assert (found.id, found.version, found.subject, found.type) == (newest, 2, "b-value", "AVRO")
    assert client.version("b-value", 1).id != newest
    assert client.is_compatible("b-value", 2, 1)
    assert code(client.version, "c-value") == "subject_unknown"
    assert code(client.version, "b-value", 9) == "subject_unknown"
    client.close()


def test_without_an_address_no_registry_is_asked() -> None:
    assert schema_readers(Settings()) is None
    assert code(registry_client, Registry()) == "registry_unset"


@pytest.mark.parametrize(
    "section",
    [
        {"url": "ftp://x"},
        {"url": "http://user:secret@x"},
        {"url": "http://x", "username": "a"},
        {"url": "http://x", "username": "a", "password": "plain"},
        {"url": "http://x", "username": "a", "password": "env:A", "token": "env:B"},
        {"url": "https://x", "ssl_certificate": "/a.pem"},
        {"url": "http://x", "ssl_ca": "/a.pem"},
        {"timeout_s": 1},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Registry.model_validate(section)


def test_only_five_bytes_with_the_magic_one_are_a_frame() -> None:
    assert framed_schema(b"\0\0\0\1\2x") == 258
    for value in (None, b"", b"\0", b"\0\0\0\1", b'{"a": 1}', b"\1\0\0\0\1"):
        assert framed_schema(value) is None


def test_a_record_is_put_into_json_if_it_can_be_read(registry: MemoryRegistry) -> None:
    schema_id = registry.register("orders-value", ORDER)
    known = readers(registry)
    record = Record("t", 0, 7, 5, b"k", framed(schema_id, {"id": "o-1"}), (("content-type", b"a/b"), ("x", b"1")))

    assert known.as_json(record) == record._replace(
        value=b'{"id":"o-1"}',
        headers=(("x", b"1"), ("content-type", b"application/json"), ("streamflow.schema", b"Order")),
    )
    for value in (b"{}", None, head(999) + b"x"):
        assert known.as_json(record._replace(value=value)) == record._replace(value=value)


def test_what_a_schema_calls_a_value_is_known_once_it_is_asked_for(registry: MemoryRegistry) -> None:
    avro = registry.register("orders-value", ORDER)
    nameless = registry.register("texts-value", '"string"')
    titled = registry.register("titled", '{"title": "Paid"}', type="JSON")
    line = registry.register("lines", text(line_file()), type="PROTOBUF")
    known = readers(registry)
    values = {
        framed(avro, {"id": "a"}): "Order",
        framed(nameless, "a", '"string"'): "",
        head(titled) + b"{}": "Paid",
        head(line) + b"\0": "shop.Line",
        head(line) + b"\x02\x0e": "",
    }
    assert {code(known.name, value) for value in values} == {"schema_unknown"}
    for value in values:
        known.ask_for(Record("t", 0, 7, 5, None, value))
    assert {value: known.name(value) for value in values} == values
    assert code(known.name, head(99)) == "schema_unknown"
