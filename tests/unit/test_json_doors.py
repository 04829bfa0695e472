"""The same JSON at every door: it is read alike, and refused with the same code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.cli import events_send
from streamflow.cli.runs_start import payload
from streamflow.definition.catalog import EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import read_answer
from streamflow.operations.egress import Answer
from streamflow.operations.http import read_body
from streamflow.operations.objects import _given
from streamflow.settings import Settings, Topics
from streamflow.sidecar.app import create_app
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog

WAYS = ["topic", "structured", "option", "file", "answer", "http", "object", "sidecar"]
Door = Callable[[bytes], Any]


@pytest.fixture(scope="module")
def sidecar() -> TestClient:
    settings = Settings(topics=Topics(partitions=2))
    app = create_app(settings, MemoryLog(settings), MemoryAccess(), HistoryReader(settings))
    return TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False)


@pytest.fixture
def door(request: pytest.FixtureRequest, sidecar: TestClient, tmp_path: Path) -> Door:
    """A function of the bytes of one JSON value: the value as the door reads it, or `code` in the text of a
    Refused."""
    reader = TopicReader(
        [(0, EventSpec.model_validate({"name": "e", "topics": ["t"], "match": {"expr": "true"}}))], compile_expression
    )
    typed = TopicReader([(0, EventSpec.model_validate({"name": "e", "topics": ["t"]}))], compile_expression)

    def read(by: TopicReader, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> Any:
        found, refusals = by.read(Record("t", 0, 0, 0, b"k", value, headers), "T")
        if refusals:
            raise Rejected(refusals[0].reason, refusals[0].message)
        return found[0].event.data

    def structured(value: bytes) -> Any:
        envelope = b'{"specversion":"1.0","id":"1","source":"/s","type":"e","data":%b}' % value
        return read(typed, envelope, (("content-type", b"application/cloudevents+json"),))

    def file(value: bytes) -> Any:
        lines = tmp_path / "lines.jsonl"
        lines.write_bytes(value + b"\n")
        return next(events_send._payloads(None, lines))

    def option(value: bytes) -> Any:
        given = tmp_path / "data.json"
        given.write_bytes(value)
        return payload(f"@{given}")

    def posted(value: bytes) -> Any:
        body = b'{"definition": "refund", "key": "k", "input": {"amount": 5, "note": %b}}' % value
        answer = sidecar.post("/runs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (202, 422), answer.text
        if answer.status_code == 422:
            raise Rejected(answer.json()["code"], answer.json()["detail"])
        return json.loads(value)

    doors: dict[str, Door] = {
        "topic": lambda value: read(reader, value),
        "structured": structured,
        "option": option,
        "file": file,
        "answer": lambda value: read_answer(b'{"output": %b}' % value),
        "http": lambda value: read_body(Answer(200, {"content-type": "application/json"}, value)),
        "object": lambda value: _given(value, "json"),
        "sidecar": posted,
    }
    return doors[request.param]


@pytest.mark.parametrize("door", WAYS, indirect=True)
@pytest.mark.parametrize(
    "value",
    [
        b'"\\ud83d\\udc4b"',
        b'"\xf0\x9f\x91\x8b"',
        b"123456789012345678901234567890",
        b'{"a": 1, "a": 2}',
        b"[1e3, 10.0]",
        b'"a\\u0000b"',
    ],
)
def test_every_door_reads_the_same_value(door: Door, value: bytes) -> None:
    assert repr(door(value)) == repr(json.loads(value))


@pytest.mark.parametrize("door", WAYS, indirect=True)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"NaN", "not_json"),
        (b"[-Infinity]", "not_json"),
        (b'"\xff"', "not_json"),
        (b'{"\xed\xa0\x80": 1}', "not_json"),
        (b'"\\ud83d"', "lone_surrogate"),
        (b'["\\udc4b"]', "lone_surrogate"),
        (b"1e400", "out_of_range"),
        (b"9" * 5000, "out_of_range"),
        (b"[" * 70 + b"]" * 70, "too_deep"),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "too_deep"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_every_door_refuses_the_same_bytes(door: Door, value: bytes, code: str) -> None:
    with pytest.raises((Rejected, OperationError)) as caught:
        door(value)
    assert code in f"{caught.value.code} {caught.value.message}"


@pytest.mark.parametrize(
    "door", [way for way in WAYS if way in ("topic", "option", "file", "http", "object")], indirect=True
)
def test_a_byte_order_mark_is_passed_over(door: Door) -> None:
    assert door(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_body_may_begin_with_a_byte_order_mark(sidecar: TestClient) -> None:
    body = b'\xef\xbb\xbf{"definition": "refund", "key": "k", "input": {"amount": 5}}'
    assert sidecar.post("/runs", content=body, headers={"content-type": "application/json"}).status_code == 202
    assert read_answer(b'\xef\xbb\xbf{"output": 1}') == 1
