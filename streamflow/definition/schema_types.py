"""JSON Schemas as CEL types, so that a misspelt field is a mistake before anything runs. Only `check` needs them.

An object with declared properties becomes a message type, and reading any other field of it is a problem, also where
the schema leaves `additionalProperties` open: what is not declared is far more often misspelt than meant. A JSON number
may be whole or not, so it is `google.protobuf.Value`, which compares with both. What a schema leaves open (oneOf,
anyOf, no type, several types) is `dyn`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, struct_pb2, wrappers_pb2

from streamflow.definition.expression_environment import DECIMAL, environment, pool
from streamflow.definition.json_schema import ANYTHING, TEXT, WHOLE, Schema, common, json_types
from streamflow.definition.schema_shape import Shape, shape_of
from streamflow.definition.validation import schema_fault

__all__ = ["ANYTHING", "TEXT", "WHOLE", "Kind", "Schema", "Types", "common", "json_types", "schema_fault"]

_FIELD = descriptor_pb2.FieldDescriptorProto
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset({"in", "true", "false", "null"})
_MESSAGES = 2000  # objects that are typed in one check; no schema may make it slow


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a field: a protobuf scalar, or a message by name; perhaps many of them."""

    scalar: int = 0
    message: str = ""
    many: bool = False


_DYN = Kind(message="google.protobuf.Value")
_LIST = Kind(message="google.protobuf.ListValue")
_OBJECT = Kind(message="google.protobuf.Struct")
_SCALARS = {"string": Kind(_FIELD.TYPE_STRING), "integer": Kind(_FIELD.TYPE_INT64), "boolean": Kind(_FIELD.TYPE_BOOL)}
_NULLABLE = {"string": "StringValue", "integer": "Int64Value", "boolean": "BoolValue"}


def field_name(name: str) -> str:
    """The name that a property has as a field of a message: itself, or an encoding if it is no identifier."""
    return name if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS else "x_" + name.encode().hex()


def list_of(kind: Kind) -> Kind:
    """The type of a list of `kind`; of lists, one of anything."""
    return Kind(kind.scalar, kind.message, many=True) if not kind.many else Kind(message=_LIST.message, many=True)


class Types:
    """Message types made from schemas, in a separate descriptor pool. Grows as types are added; one per check."""

    def __init__(self) -> None:
        self.pool = pool()
        for module in (struct_pb2, wrappers_pb2):
            known = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(known)
            self.pool.Add(known)
        self.properties: dict[str, tuple[str, ...]] = {}  # message name -> the property names of its object
        self._kinds: dict[int, tuple[Shape, Kind]] = {}  # by the id of a shape, which is kept here

    def kind(self, schema: Schema) -> Kind:
        """The field type for values that follow `schema`."""
        shape = shape_of(schema)
        known = self._kinds.get(id(shape))
        if known is None:
            known = self._kinds[id(shape)] = (shape, self._kind(shape))
        return known[1]

    def message(self, fields: Iterable[tuple[str, Kind]]) -> Kind:
        """A new message type with `fields` by property name."""
        fields = list({field_name(name): (name, kind) for name, kind in fields}.values())
        name = f"streamflow.T{len(self.properties)}"
        file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="streamflow", syntax="proto2")
        file.dependency.extend(["google/protobuf/struct.proto", "google/protobuf/wrappers.proto"])
        file.dependency.extend(
            dict.fromkeys(f"{kind.message}.proto" for _, kind in fields if kind.message.startswith("streamflow."))
        )
        message = file.message_type.add(name=name.removeprefix("streamflow."))
        message.options.deprecated_legacy_json_field_conflicts = True  # `a_b` may stand beside `aB`
        for number, (field, kind) in enumerate(fields, 1):
            declared: Any = message.field.add(
                name=field_name(field), number=number if number < 19000 else number + 1000, json_name=f"f{number}"
            )
            declared.label = _FIELD.LABEL_REPEATED if kind.many else _FIELD.LABEL_OPTIONAL
            declared.type = _FIELD.TYPE_MESSAGE if kind.message else kind.scalar
            if kind.message:
                declared.type_name = "." + kind.message
        self.pool.Add(file)
        self.properties[name] = tuple(field for field, _ in fields)
        return Kind(message=name)

    def element(self, returned: cel.Type) -> Kind:
        """The field type of the items of a list whose CEL type is `returned`."""
        name = returned.name()
        return self.result_named(name[5:-1]) if name.startswith("LIST<") else _DYN

    def result(self, returned: cel.Type) -> Kind:
        """The field type for the plain JSON data of a value whose CEL type is `returned`."""
        name = returned.name()
        if name in self.properties:
            return Kind(message=name)
        if name in ("STRING", "TIMESTAMP", "DURATION", "BYTES", DECIMAL):
            return _SCALARS["string"]
        if name.startswith("LIST<"):
            return list_of(self.result_named(name[5:-1]))
        return self.result_named(name)

    def result_named(self, name: str) -> Kind:
        """As `result`, for the name of a type; a double is dyn because the whole numbers it is compared with are no
        doubles."""
        if name in self.properties:
            return Kind(message=name)
        if name.startswith("MAP<"):
            return _OBJECT
        if name.startswith("LIST<"):
            return Kind(message=_DYN.message, many=True)
        known = {
            "STRING": "string",
            "TIMESTAMP": "string",
            "DURATION": "string",
            "BYTES": "string",
            DECIMAL: "string",
            "INT": "integer",
            "UINT": "integer",
            "BOOL": "boolean",
        }
        return _SCALARS[known[name]] if name in known else _DYN

    def environment(self, variables: Mapping[str, Kind]) -> cel.Env:
        """The environment in which `variables` have these types; `now` is a timestamp whatever is given for it."""
        declared = {name: cel.Type.TIMESTAMP if name == "now" else _variable(kind) for name, kind in variables.items()}
        return environment(self.pool, declared)

    def _kind(self, shape: Shape) -> Kind:
        types = json_types(shape)
        nullable = "null" in types
        single = next(iter(types - {"null"})) if len(types - {"null"}) == 1 else ""
        if single in _SCALARS:
            return Kind(message=f"google.protobuf.{_NULLABLE[single]}") if nullable else _SCALARS[single]
        if single == "object":
            properties = shape.get("properties")
            if properties and not shape.get("open") and len(self.properties) < _MESSAGES:
                return self.message([(name, self.kind(part)) for name, part in properties.items()])
            return _OBJECT if not nullable else _DYN
        if single == "array" and not nullable:
            return list_of(self.kind(shape["items"])) if "items" in shape else _LIST
        return _DYN


def _variable(kind: Kind) -> cel.Type:
    if kind == _OBJECT:
        return cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    if kind.message.startswith("streamflow.") and not kind.many:
        return cel.Type(kind.message)
    scalars: dict[int, cel.Type] = {
        _FIELD.TYPE_STRING: cel.Type.STRING,
        _FIELD.TYPE_INT64: cel.Type.INT,
        _FIELD.TYPE_BOOL: cel.Type.BOOL,
    }
    return scalars.get(kind.scalar, cel.Type.DYN) if not kind.many else cel.Type.DYN


def typed_environment(variables: Mapping[str, Schema]) -> tuple[cel.Env, Types]:
    """The environment in which each variable follows its JSON Schema, and the types made for it. `now` is a
    timestamp."""
    types = Types()
    return types.environment({name: types.kind(schema) for name, schema in variables.items()}), types


_TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>(?:[rR][bB]?|[bB][rR])(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\[\s\S]|[^\\])*?\"{3}|'{3}(?:\\[\s\S]|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<quoted>`[^`\n]*`)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.X,
)
_NAME = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\\n])*)\1""")
_ESCAPE = re.compile(r"""\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))""")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unescaped(text: str) -> str:
    """What the inside of a text literal says; octal escapes are left as they are."""
    return _ESCAPE.sub(
        lambda found: _ESCAPED.get(found[4], found[4]) if found[4] else chr(int(found[1] or found[2] or found[3], 16)),
        text,
    )


def with_fields(source: str) -> str:
    """`source` with `x["name"]` written as the field `x.name`, which is how message types are read. For checking only:
    a map is read the same way by both. As long as before where the name is an identifier, so places in messages stay
    right."""
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKENS.finditer(source)]
    written: list[str] = []
    operand, at = False, 0
    while at < len(tokens):
        group, text = tokens[at]
        ahead = [
            token for token in range(at + 1, min(at + 8, len(tokens))) if tokens[token][0] not in ("space", "comment")
        ][:3]
        optional = bool(ahead) and tokens[ahead[0]][1] == "?"
        ahead = ahead[1:] if optional else ahead[:2]
        literal = (
            _NAME.fullmatch(tokens[ahead[0]][1])
            if group == "other" and text == "[" and operand and len(ahead) == 2
            else None
        )
        if literal is not None and tokens[ahead[1]][1] == "]":
            replaced = (".?" if optional else ".") + field_name(_unescaped(literal[2]))
            written.append(replaced.ljust(sum(len(token[1]) for token in tokens[at : ahead[1] + 1])))
            at = ahead[1] + 1
            operand = True
            continue
        if group == "quoted":
            text = field_name(text[1:-1])
        written.append(text)
        if group not in ("space", "comment"):
            operand = (group == "word" and text != "in") or group == "quoted" or text in (")", "]")
        at += 1
    return "".join(written)
