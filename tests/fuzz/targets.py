"""What is fuzzed: a function of bytes for each target, and what it may raise.

Imported once plainly, by the unit tests that play the corpus, and once instrumented, by the fuzzer.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, apply
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.content import read_content
from streamflow.definition.duration import parse_ms
from streamflow.definition.evaluator.times import parse_timestamp
from streamflow.definition.expression import compile_expression
from streamflow.definition.plan import ExpressionError
from streamflow.definition.syntax import load_text, parse_catalog, parse_definition
from streamflow.errors import DefinitionError, OperationError, Rejected
from streamflow.history.projection import Changes, RecordedTransition, project_runs
from streamflow.history.trouble import project_letter
from streamflow.importing.workflow import import_workflow
from streamflow.operations.callbacks import read_answer, read_token
from streamflow.operations.egress_policy import parse_url
from streamflow.operations.plugin import read_record
from streamflow.registry.json_schemas import described
from streamflow.registry.readers import PayloadReader, payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.simulation.scenarios import parse_scenarios
from streamflow.wire.codec import DecodeError, decode_command
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader
from streamflow.wire.frame import head
from streamflow.wire.json_text import read_json
from streamflow.wire.lane_position import decode_position
from streamflow.wire.run_log import decode_line
from streamflow.wire.tasks import decode_task, read_source
from streamflow.wire.transitions import decode_transition
from streamflow.wire.unclaimed import TYPE, decode_unclaimed
from streamflow.wire.unreadable import UNREADABLE

FOUND = Path(__file__).with_name("found")  # a folder for each target
_REFUSALS = (DefinitionError, Rejected, OperationError, DecodeError)
_EVENT = {"id": "o-7", "n": 3, "x": 1.5, "at": "2026-01-31T08:30:00Z", "tags": ["a", "b"], "who": {"name": "Ada"}}
_DRAFT = """
name: a
version: "1"
on: [{id: made, event: a}]
steps:
  - id: look # at it
    approval: {text: "'x'", who: [b], within: 1h}
  - {id: go, needs: [look.approved], emit: {event: b}}
"""
_CATALOG = """
events:
  - {name: a, topics: [t], match: {path: type, equals: a}, id: {path: id}, time: {path: at}, key: {path: k}}
  - {name: b, topics: [t], match: {header: kind, equals: b}, id: {header: x-id}}
  - {name: c, topics: [t], match: {expr: has(event.k) && event.k == 'c'}}
  - {name: d.happened, topics: [t], schema: {type: object, required: [n], properties: {n: {type: integer}}}}
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of strangers' bytes."""

    name: str  # also the folder of its seeds
    play: Callable[[bytes], Any]
    may_raise: tuple[type[BaseException], ...]
    share: int  # of all inputs, in hundredths
    longest: int = 4096  # bytes of one input

    def survives(self, data: bytes) -> None:
        """Plays one input. Raises what the target may not raise."""
        try:
            self.play(data)
        except self.may_raise:
            pass


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@cache
def _reader() -> TopicReader:
    return TopicReader(enumerate(parse_catalog(_CATALOG).events), compile_expression)


def _source_record(data: bytes) -> None:
    """Lines `name: value` are headers, up to an empty line; the key is the header `key`; what follows is the value."""
    head, _, value = data.partition(b"\n\n")
    headers = [
        (name.decode("latin-1"), text)
        for name, colon, text in (line.partition(b": ") for line in head.split(b"\n"))
        if colon
    ]
    record = Record("t", 0, 7, 1_770_000_000_000, dict(headers).get("key"), value or None, tuple(headers))
    occurrences, refusals = _reader().read(record, "topic-id")
    assert all(isinstance(refusal.reason, str) and refusal.reason for refusal in refusals)
    assert all(isinstance(occurrence, tuple) for occurrence in occurrences)


AVRO = """
{"type": "record", "name": "Node", "fields": [
  {"name": "id", "type": "string"}, {"name": "n", "type": ["null", "long"]}, {"name": "x", "type": "double"},
  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
  {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
  {"name": "parts", "type": {"type": "array", "items": "Node"}},
  {"name": "more", "type": {"type": "map", "values": "int"}}
]}
"""
_FLAT = AVRO.replace('"items": "Node"', '"items": "float"')


@cache
def _payload_readers() -> tuple[PayloadReader, ...]:
    """Of Avro within itself and without, and of Protobuf: the schema of schemas."""
    protobuf = base64.b64encode(descriptor_pb2.DESCRIPTOR.serialized_pb).decode()
    return (
        payload_reader(RegisteredSchema(id=1, type="AVRO", text=AVRO)),
        payload_reader(RegisteredSchema(id=1, type="AVRO", text=_FLAT)),
        payload_reader(RegisteredSchema(id=1, type="PROTOBUF", text=protobuf)),
    )


def _framed(data: bytes) -> None:
    """A payload in each format; what is read can be written as JSON."""
    for reader in _payload_readers():
        reader.name(head(1) + data)
        try:
            msgspec.json.encode(reader.read(head(1) + data))
        except DecodeError:
            pass


def _registered(data: bytes) -> None:
    """A schema of a registry, and a payload after an empty line. What can be described can be read with."""
    text, _, payload = data.partition(b"\n\n")
    schema = RegisteredSchema(id=1, type="AVRO", text=_text(text))
    described(schema)
    payload_reader(schema).read(head(1) + payload)


def _definition(data: bytes) -> None:
    check(parse_definition(_text(data)), parse_catalog(_CATALOG))


_EDIT = [
    {"op": "set_field", "field": "title", "value": "Another: title"},
    {"op": "add_step", "step": {"id": "made_by_the_fuzzer", "print": {"text": "'x'"}}},
]


def _draft(data: bytes) -> None:
    """Any text of a definition is edited in place, or the edit is refused."""
    draft = Draft.parse(_text(data))
    found = apply(draft, _EDIT, Catalog(), known=())
    assert isinstance(found, Refusal) or found.draft.content["title"] == "Another: title"


def _operations(data: bytes) -> None:
    apply(Draft.parse(_DRAFT), load_text(_text(data)), Catalog(), known=())


def _expression(data: bytes) -> None:
    expression, variables = compile_expression(_text(data)), {"event": _EVENT, "trigger": _EVENT}
    try:
        expression.evaluate(variables)
    except ExpressionError as error:
        expression.diagnosis(variables, error)


def _plugin(data: bytes) -> None:
    value = read_json(data)
    if isinstance(value, dict):
        read_record(value)


def _transition(data: bytes) -> None:
    kind, _, value = data.partition(b"\n")
    decode_transition(value, [("ce_type", kind), ("ce_id", b"r/1")])


def _history(data: bytes) -> None:
    """Several records of `runs`, as the history projects them, and one of `dead-letters`."""
    transitions = []
    for record in data.split(b"\n\n"):
        kind, _, value = record.partition(b"\n")
        transition = decode_transition(value, [("ce_type", kind)])
        transitions.append(RecordedTransition(transition=transition, value=value, place="runs/0/1"))
    project_runs(transitions, {}, lambda sha: {"a": "trigger.a.b"}, Changes())
    headers = (("streamflow.dlq.id", data[:40]), ("streamflow.dlq.reason", data[40:60]), ("ce_id", data[60:]))
    project_letter(Record("dead-letters", 0, 1, 0, data, data, headers), Changes())


def _small(data: bytes) -> None:
    """Short texts that people and servers send: each reader gets the same one."""
    text = _text(data)
    parse_timestamp(text)
    read_source(text)
    decode_position(7, text)
    for read in (parse_ms, parse_url, lambda token: read_token("a-secret-of-ours-0123456789abcdef", token, 0)):
        try:
            read(text)
        except (ValueError, *_REFUSALS):
            pass


TARGETS: tuple[Target, ...] = (
    Target(name="source-record", play=_source_record, may_raise=(), share=13),
    Target(name="framed", play=_framed, may_raise=(), share=4),
    Target(name="registered-schema", play=_registered, may_raise=_REFUSALS, share=2),
    Target(name="command", play=decode_command, may_raise=(DecodeError,), share=10),
    Target(name="task", play=decode_task, may_raise=(DecodeError,), share=5),
    Target(name="transition", play=_transition, may_raise=(DecodeError,), share=5),
    Target(
        name="unclaimed",
        play=lambda data: decode_unclaimed(data, [("ce_type", TYPE.encode())]),
        may_raise=(DecodeError,),
        share=5,
    ),
    Target(name="history", play=_history, may_raise=UNREADABLE, share=5),
    Target(name="log-line", play=decode_line, may_raise=(DecodeError,), share=2),
    Target(name="answer", play=read_answer, may_raise=_REFUSALS, share=5),
    Target(name="short-text", play=_small, may_raise=(), share=10, longest=256),
    Target(name="expression", play=_expression, may_raise=(DefinitionError, ExpressionError), share=8, longest=512),
    Target(name="draft", play=_draft, may_raise=(DefinitionError,), share=3),
    Target(name="operations", play=_operations, may_raise=(DefinitionError,), share=3),
    Target(name="definition", play=_definition, may_raise=(DefinitionError,), share=5),
    Target(name="catalog", play=lambda data: parse_catalog(_text(data)), may_raise=(DefinitionError,), share=3),
    Target(name="content", play=read_content, may_raise=UNREADABLE, share=4),
    Target(name="scenarios", play=lambda data: parse_scenarios(_text(data)), may_raise=(DefinitionError,), share=2),
    Target(name="workflow", play=lambda data: import_workflow(_text(data)), may_raise=(DefinitionError,), share=4),
    Target(name="plugin", play=_plugin, may_raise=(*_REFUSALS, ValueError), share=2),
)
