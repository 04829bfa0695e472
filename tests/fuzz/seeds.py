"""What the fuzzer starts from: valid inputs of every target, made by the code that writes them or found in the docs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import fastavro
from google.protobuf import descriptor_pb2, timestamp_pb2
from ruamel.yaml import YAML

from streamflow.cli import definition_files
from streamflow.definition.content import canonical
from streamflow.engine.commands import AdvanceWatermark, CancelRun, DefinitionRef, Deliver, Event, Origin, StartRun
from streamflow.engine.effects import Unclaimed
from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.trace import Trace
from streamflow.wire.codec import encode_command
from streamflow.wire.tasks import encode_task
from streamflow.wire.unclaimed import encode_unclaimed
from tests.fuzz.targets import AVRO

PROJECT = Path(__file__).parents[2]
_EVENT = Event(name="a", id="e-1", time_ms=1_700_000_000_000, data={"b": 1, "a": {"d": None, "c": [1.5, "x"]}})
_RECORDS = (
    b'key: A-1\n\n{"type":"a","id":"7","at":"2026-01-31T08:30:00Z","k":"A-1"}',
    b'kind: b\nx-id: 7\n\n{"n":1}',
    b"ce_specversion: 1.0\nce_type: d.happened\nce_source: /s\nce_id: 1\nce_time: 2026-01-31T08:30:00Z\n"
    b'content-type: application/json\n\n{"n":1}',
    b"content-type: application/cloudevents+json\n\n"
    b'{"specversion":"1.0","type":"d.happened","source":"/s","id":"1","data":{"n":1}}',
    b"content-type: application/cloudevents-batch+json\n\n"
    b'[{"specversion":"1.0","type":"d.happened","source":"/s","id":"1","data_base64":"eyJuIjoxfQ=="}]',
    b'\n\n{"type":"a","id":1e3,"at":1770000000000,"k":10.0}',
)
_TEXTS = (
    *("2026-01-31T08:30:00.123456789+01:00", "1h30m", "7d", "http://a.example:8080/x?y#z", "http://[::1]/"),
    *("aGVsbG8.d29ybGQ", "AAAAAAAAAAAAAAAAAAAAAA/8/591", "3,7,0"),
)
_TASK = Task(
    id="r/s/1",
    idempotency_key="r/s",
    run="r",
    definition="order",
    version="1",
    key="k",
    step="s",
    attempt=1,
    operation="pay",
    input={"b": 1, "a": [None, 2.5, "x"]},
    timeout_ms=1000,
    queue_ms=2000,
)
_UNCLAIMED = Unclaimed(
    definition="order",
    key="A-1",
    event="paid",
    source="shop",
    id="p1",
    outcome="unclaimed",
    reason="no_wait",
    run="0000002a-main-1",
    step="pay",
    offset=7,
    arrived_ms=1_767_225_600_000,
    ended_ms=1_767_225_600_001,
)


def seeds(target: str) -> list[bytes]:
    """The inputs with which the fuzzing of `target` begins."""
    return list(_SEEDS[target]())


def _commands() -> Iterator[bytes]:
    ref, origin = DefinitionRef("sha", 4), Origin(topic_id="topic-id", partition=3, offset=7, committed=5)
    yield encode_command(
        StartRun(
            id="c-1",
            definition="loan",
            key="k",
            start=ref,
            event=_EVENT,
            trace=Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b", True),
        )
    )
    yield encode_command(
        Deliver(id="c-2", definition="loan", key="k", event=_EVENT, origin=origin, start=ref, trigger="t", keep_ms=9)
    )
    yield encode_command(AdvanceWatermark(id="c-3", topic="src", partitions=2, at_ms={"0": 1, "1": 2}))
    yield encode_command(CancelRun(id="c-4", run="0000002a-main-1", reason="why"))


def _files(name: str) -> Iterator[bytes]:
    for file in sorted((PROJECT / "definitions").glob(f"*/{name}")):
        yield file.read_bytes()


def _contents() -> Iterator[bytes]:
    for folder in sorted(path.parent for path in (PROJECT / "definitions").glob("*/definition.yaml")):
        yield canonical(definition_files.read_definition(folder), definition_files.read_catalog(folder))


def _expressions() -> Iterator[bytes]:
    page = (PROJECT / "docs" / "expressions.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```cel\n(.*?)^```", page, re.S | re.M):
        for line in block.splitlines():
            yield line.split(" => ")[0].encode()


def _workflows() -> Iterator[bytes]:
    page = (PROJECT / "docs" / "importing.md").read_text(encoding="utf-8")
    yield re.findall(r"workflow\.json <<'END'\n(.*?)\nEND", page, re.S)[0].encode()


def _operations() -> Iterator[bytes]:
    page = (PROJECT / "docs" / "authoring.md").read_text(encoding="utf-8")
    yield from (block.encode() for block in re.findall(r"\.json <<'END'\n(.*?)\nEND", page, re.S))
    yield b"[{op: add_step, step: {id: x, print: {text: a}}}, {op: remove_step, step: look, orphans: remove}]"
    yield b"- {op: insert_between, step: {id: x, print: {text: a}}, after: look.approved, before: go}"
    yield b"- {op: replace_step, step: go, with: {id: go, print: {text: a}}}\n- {op: set_trigger, replaces: made}"


def _plugins() -> Iterator[bytes]:
    for file in sorted((PROJECT / "definitions").glob("*/*.plugin.yaml")):
        registration = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
        del registration["samples"]  # for `operations test` alone
        yield json.dumps(registration).encode()


def _framed() -> Iterator[bytes]:
    data = {"id": "a", "n": 5, "x": 1.5, "at": 7, "price": Decimal("1.50"), "kind": "A", "more": {"k": 1}}
    schema = fastavro.parse_schema(json.loads(AVRO))
    inner = data | {"parts": []}
    for node in (inner, data | {"parts": [inner, inner]}):
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, schema, node)
        yield stream.getvalue()
    yield b"\0" + descriptor_pb2.DESCRIPTOR.serialized_pb[:400]
    yield b"\2\2" + timestamp_pb2.DESCRIPTOR.serialized_pb


_SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "source-record": lambda: _RECORDS,
    "framed": _framed,
    "registered-schema": lambda: (
        AVRO.encode() + b"\n\n" + next(iter(_framed())),
        b'["null", {"type": "array", "items": "int"}]\n\n\2\2\2\0',
        b'{"type": "fixed", "name": "F", "size": 2}\n\nab',
    ),
    "command": _commands,
    "task": lambda: (encode_task(_TASK), encode_task(CancelTask("r/s/1", "k"))),
    "transition": lambda: (
        b'streamflow.RunStarted\n{"run":"r","definition":"d","version":"1","key":"k","seq":1,"at_ms":5,"cause":"c",'
        b'"data":{"trigger":"t","sha":"s","revision":"4","event":{"name":"a","id":"1","time_ms":5,"data":{}}}}',
        b'streamflow.RunCompleted\n{"run":"r","definition":"d","version":"1","key":"k","seq":9,"at_ms":5,"data":{"ended":[]}}',
    ),
    "unclaimed": lambda: (encode_unclaimed(_UNCLAIMED, "main", "topic-id", 3)[1],),
    "history": lambda: (
        b'streamflow.RunStarted\n{"run":"r","definition":"d","version":"1","key":"k","seq":1,"at_ms":5,"cause":"c",'
        b'"data":{"trigger":"t","sha":"s","revision":"4","event":{"name":"a","id":"1","time_ms":5,"data":{"a":{"b":1}}}}}'
        b'\n\nstreamflow.StepParked\n{"run":"r","definition":"d","version":"1","key":"k","seq":2,"at_ms":6,"cause":"c",'
        b'"step":"s","data":{"code":"x","at":"call"}}'
        b'\n\nstreamflow.RunFailed\n{"run":"r","definition":"d","version":"1","key":"k","seq":3,"at_ms":7,"cause":"c",'
        b'"data":{"reason":"no"}}',
    ),
    "log-line": lambda: (
        b'{"run":"00000000-main-00000000000000000000","at_ms":5,"role":"tasks","level":"info","event":"e","fields":{"a":1}}',
    ),
    "answer": lambda: (b'{"output":{"a":1}}', b'{"error":{"code":"a","message":"b","retryable":true}}'),
    "short-text": lambda: (text.encode() for text in _TEXTS),
    "expression": _expressions,
    "draft": lambda: _files("definition.yaml"),
    "operations": _operations,
    "definition": lambda: _files("definition.yaml"),
    "catalog": lambda: _files("catalog.yaml"),
    "content": _contents,
    "scenarios": lambda: _files("scenarios.yaml"),
    "workflow": _workflows,
    "plugin": _plugins,
}
