"""CEL's own conformance tests: their text format, their values, and what our check and evaluator make of one test.

The files are those of `tests/simple/testdata` of google/cel-spec. They are no part of this repository:
see `tests/shared_data.py`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cel_expr_python import cel

from streamflow.definition.evaluator.budget import BYTES, STEPS
from streamflow.definition.evaluator.values import (
    SECOND,
    Duration,
    OptionalValue,
    Timestamp,
    TypeName,
    Uint,
    equal,
    map_key,
    type_of,
)
from streamflow.definition.expression import Expression
from streamflow.definition.expression_environment import environment, pool
from streamflow.definition.expression_faults import syntax_problems
from streamflow.definition.expression_tree import Tree
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError, Problem
from tests.shared_data import archive

Message = dict[str, list[Any]]  # field -> its values, in order

ARCHIVE = archive("cel-conformance")
_NEEDS_MESSAGES = re.compile(
    r"\w*Value\s*\{|TestAllTypes|NestedTestAllTypes|GlobalEnum|google\.protobuf\.(?!Timestamp\b|Duration\b)|google\.rpc|"
    r"proto\.(has|get)Ext|Timestamp\s*\{|Duration\s*\{|cel\.expr\.conformance"
)
_TOKENS = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<name>\[[^\]]*\]|[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<number>-?\s*(?:inf|infinity|nan|0x[0-9a-fA-F]+|[0-9.][0-9.eE+-]*)f?)
      | (?P<sign>[{}:<>;,\[\]])""",
    re.X | re.I,
)
_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: `name` with its file and section, and the message that describes it."""

    file: str
    name: str
    fields: Message

    def one(self, field: str, default: Any = None) -> Any:
        return self.fields.get(field, [default])[0]

    @property
    def needs_messages(self) -> bool:
        return _NEEDS_MESSAGES.search(repr(self.fields)) is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test: passed, refused (by the check, though a value is expected) or failed. `detail` says more:
    the code of what is refused."""

    kind: str
    detail: str = ""


def cases() -> list[Case]:
    """All tests of the archive."""
    found = []
    with tarfile.open(ARCHIVE) as archive:
        for member in sorted(archive.getnames()):
            content = archive.extractfile(member) if member.endswith(".textproto") else None
            if content is None:
                continue
            file = Path(member).stem
            for section in parse(content.read().decode())["section"] if file != "unknowns" else ():
                for test in section.get("test", ()):
                    name = f"{file}/{section['name'][0].decode()}/{test['name'][0].decode()}"
                    found.append(Case(file, name, test))
    return found


def parse(text: str) -> Message:
    """A message in protobuf's text format; texts and bytes both as bytes."""
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKENS.finditer(text) if match.lastgroup != "space"]
    message, _ = _message(tokens, 0)
    return message


def _message(tokens: list[tuple[str, str]], at: int) -> tuple[Message, int]:
    fields: Message = {}
    while at < len(tokens) and tokens[at][1] not in ("}", ">"):
        if tokens[at][1] in (",", ";"):
            at += 1
            continue
        name, at = tokens[at][1], at + 1
        if tokens[at][1] == ":":
            at += 1
        if tokens[at][1] in ("{", "<"):
            value, at = _message(tokens, at + 1)
            at += 1
        elif tokens[at][1] == "[":
            raise ValueError("a list of values is not read here")
        else:
            value, at = _scalar(tokens, at)
        fields.setdefault(name, []).append(value)
    return fields, at


def _scalar(tokens: list[tuple[str, str]], at: int) -> tuple[Any, int]:
    if tokens[at][0] == "string":
        value = b""
        while at < len(tokens) and tokens[at][0] == "string":
            value += _unescaped(tokens[at][1][1:-1])
            at += 1
        return value, at
    return tokens[at][1].replace(" ", ""), at + 1


def _unescaped(text: str) -> bytes:
    found = bytearray()
    pattern = r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))|([^\\]+)"
    for match in re.finditer(pattern, text, re.S):
        hex_, four, eight, octal, single, plain = match.groups()
        if plain is not None:
            found += plain.encode()
        elif hex_ is not None:
            found.append(int(hex_, 16))
        elif octal is not None:
            found.append(int(octal, 8))
        elif four is not None or eight is not None:
            found += chr(int(four or eight, 16)).encode()
        else:
            found += bytes([_ESCAPES[single]]) if single in _ESCAPES else single.encode()
    return bytes(found)


def _number(text: str) -> float:
    return float(text.rstrip("f") if text.lower().lstrip("-") not in ("inf", "infinity") else text)


def value_of(message: Message) -> Any:
    """A `cel.expr.Value` as the evaluator has it."""
    ((kind, (value,)),) = message.items()
    if kind == "null_value":
        return None
    if kind == "bool_value":
        return value == "true"
    if kind == "int64_value":
        return int(value)
    if kind == "uint64_value":
        return Uint(value)
    if kind == "double_value":
        return _number(value)
    if kind == "string_value":
        return value.decode()
    if kind == "bytes_value":
        return value
    if kind == "type_value":
        return TypeName(value.decode())
    if kind == "list_value":
        return [value_of(item) for item in value.get("values", ())]
    if kind == "map_value":
        return {map_key(value_of(entry["key"][0])): value_of(entry["value"][0]) for entry in value.get("entries", ())}
    if kind == "object_value":
        ((name, (parts,)),) = value.items()
        ns = int(parts.get("seconds", ["0"])[0]) * SECOND + int(parts.get("nanos", ["0"])[0])
        return {"Duration": Duration, "Timestamp": Timestamp}[name.rpartition(".")[2].rstrip("]")](ns)
    raise ValueError(f"a value of kind {kind} needs messages")


def _type(message: Message) -> cel.Type:
    ((kind, (value,)),) = message.items()
    if kind == "well_known":
        return {"DURATION": cel.Type.DURATION, "TIMESTAMP": cel.Type.TIMESTAMP}.get(value, cel.Type.DYN)
    if kind == "primitive":
        names = {
            "INT64": cel.Type.INT,
            "UINT64": cel.Type.UINT,
            "DOUBLE": cel.Type.DOUBLE,
            "STRING": cel.Type.STRING,
            "BOOL": cel.Type.BOOL,
            "BYTES": cel.Type.BYTES,
        }
        return names[value]
    if kind == "list_type":
        return cel.Type.List(_type(value["elem_type"][0]))
    if kind == "map_type":
        return cel.Type.Map(_type(value["key_type"][0]), _type(value["value_type"][0]))
    if kind == "type":
        return cel.Type.TYPE
    if kind == "null":
        return cel.Type.NULL
    return cel.Type.DYN


def run(case: Case) -> Outcome:
    """What our check and our evaluator make of `case`."""
    source = case.one("expr").decode()
    declared = {
        item["name"][0].decode(): _type(item["ident"][0]["type"][0])
        for item in case.fields.get("type_env", ())
        if "ident" in item
    }
    wants_error = "eval_error" in case.fields or "any_eval_errors" in case.fields
    container = case.one("container", b"").decode()
    try:
        checked = environment(pool(), declared, container).compile(source)
        expression = Expression(source, Tree(checked.serialize()), {})
    except DefinitionError as error:
        return _refused(error.problems, wants_error)
    except (RuntimeError, ValueError) as error:
        return _refused(syntax_problems(str(error), source), wants_error)
    if case.one("check_only") == "true":
        return Outcome("passed")
    variables = {
        binding["key"][0].decode(): value_of(binding["value"][0]["value"][0])
        for binding in case.fields.get("bindings", ())
    }
    try:
        found = expression.value(variables)
    except ExpressionError as error:
        return Outcome("passed" if wants_error else "failed", f"failed with {error.code}")
    if wants_error:
        return Outcome("failed", f"gave {found!r}, not an error")
    expected = case.one("value")
    if expected is None:
        typed = case.one("typed_result")
        expected = typed["result"][0] if typed is not None else {"bool_value": ["true"]}
    wanted = value_of(expected)
    return Outcome("passed" if same(found, wanted) else "failed", f"gave {found!r}, not {wanted!r}")


def _refused(problems: Sequence[Problem], wants_error: bool) -> Outcome:
    """The check refuses what fails anyway, or what has a value."""
    return Outcome("passed" if wants_error else "refused", problems[0].code)


def same(found: Any, wanted: Any) -> bool:
    """Whether two values are of one type, and equal; not a number is the same as itself."""
    if isinstance(found, OptionalValue) or type_of(found) != type_of(wanted):
        return False
    if isinstance(found, float):
        return bool(found == wanted) or (found != found and wanted != wanted)
    if isinstance(found, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(same(value, wanted[key]) for key, value in found.items())
    return equal([{}, STEPS, BYTES], found, wanted)


def by_file(tests: list[Case]) -> Iterator[tuple[str, list[Case]]]:
    """The tests of each file."""
    for file in sorted({case.file for case in tests}):
        yield file, [case for case in tests if case.file == file]
