"""Tools that a model is offered: their schemas, the check of what it called, and schemas in the strict form. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from streamflow.definition.schema_faults import FoundFaults
from streamflow.definition.syntax import nearest
from streamflow.definition.validation import CompiledSchema, compiled
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

_MOST_SHOWN = 3
_LONGEST_SHOWN = 300
# What strict modes take, of OpenAI's "Structured outputs" and Anthropic's "Strict tool use"; the rest stays with us.
_STRICT_KEEPS = frozenset({"type", "description", "enum", "const", "title", "format", "pattern"})


@dataclass(frozen=True)
class Tool:
    """A tool: its name (letters, digits, `_`, `-`), what it does, and the JSON schema of its arguments (an object)."""

    name: str
    description: str
    schema: Mapping[str, Any]

    @cached_property
    def validator(self) -> CompiledSchema:
        """The compiled schema."""
        return compiled(self.schema)

    @cached_property
    def strict_schema(self) -> dict[str, Any] | None:
        """The schema in the form that strict modes take, or None when it has no such form."""
        return strict(self.schema)


def ordered(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """`tools` by name: providers cache a prefix only if it stays the same."""
    return tuple(sorted(tools, key=lambda tool: tool.name))


def checked(name: str, raw: str, tools: Iterable[Tool], *, nulls_are_absent: bool) -> tuple[dict[str, Any], str | None]:
    """The arguments of a call as data, or none and the problem with it: an unknown tool, no JSON, not an object, or
    arguments that do not fit. With `nulls_are_absent`, fields that a strict schema made nullable are left out."""
    known = {tool.name: tool for tool in tools}
    tool = known.get(name)
    if tool is None:
        near = nearest(name[:100], known)
        hint = f" Did you mean {near}?" if near else ""
        return {}, f"There is no tool {name[:100]!r}. Call one of {', '.join(sorted(known)) or 'none'}.{hint}"
    try:
        arguments = read_json(raw.encode("utf-8", "surrogatepass") or b"{}")
    except DecodeError as error:
        return {}, f"The arguments of {name} cannot be read. {error.message}"
    if not isinstance(arguments, dict):
        return {}, f"The arguments of {name} are {_kind(arguments)}. Send one JSON object."
    if nulls_are_absent:
        arguments = without_absent(arguments, tool.schema)
    try:
        fits = tool.validator.is_valid(arguments)
        faults = [] if fits else sorted(FoundFaults(tool.validator.table, arguments).faults)
    except (ValueError, RecursionError) as error:
        return {}, f"The arguments of {name} cannot be checked ({str(error)[:_LONGEST_SHOWN]}). Send simpler ones."
    if not fits:
        shown = "; ".join(f"{place or '/'}: {words[:_LONGEST_SHOWN]}" for place, words in faults[:_MOST_SHOWN])
        more = f" and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        return {}, f"The arguments of {name} do not fit its schema: {shown}{more}. Correct them."
    return arguments, None


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """`schema` as strict modes want it: closed objects, every property required, optional ones nullable. None when
    it cannot be said so: open objects, dynamic names, references, `allOf`, conditions. Bounds such as `minimum` are
    left out; `checked` still holds them."""
    made = _strict(schema)
    return made if made is not None and made.get("type") == "object" else None


def without_absent(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` without the nulls that stand for absent properties where `schema` does not allow null."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        kept = {}
        for name, item in value.items():
            inner = properties.get(name, {})
            if item is None and name not in required and not _nullable(inner):
                continue
            kept[name] = without_absent(item, inner)
        return kept
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [without_absent(item, schema["items"]) for item in value]
    for inner in schema.get("anyOf", ()):
        if isinstance(value, dict) and inner.get("type") == "object":
            return without_absent(value, inner)
    return value


def _strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    made: dict[str, Any] = {name: value for name, value in schema.items() if name in _STRICT_KEEPS}
    choices = schema.get("anyOf") or schema.get("oneOf")
    if any(name in schema for name in ("$ref", "allOf", "not", "if", "patternProperties")):
        return None
    if choices:
        inner = [_strict(choice) for choice in choices]
        if any(choice is None for choice in inner):
            return None
        return made | {"anyOf": inner}
    kind = schema.get("type")
    if kind == "object":
        return _strict_object(schema, made)
    if kind == "array":
        items = schema.get("items")
        inner_items = _strict(items) if isinstance(items, Mapping) else None
        return None if inner_items is None else made | {"items": inner_items}
    if kind is None and "enum" not in schema and "const" not in schema:
        return None
    return made


def _strict_object(schema: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any] | None:
    if schema.get("additionalProperties") is not False:
        return None
    properties: dict[str, Any] = {}
    required = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        one = _strict(inner)
        if one is None:
            return None
        properties[name] = one if name in required or _nullable(inner) else {"anyOf": [one, {"type": "null"}]}
    return made | {"properties": properties, "required": list(properties), "additionalProperties": False}


def _nullable(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return True
    if "enum" in schema:
        return None in schema["enum"]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return any(_nullable(choice) for choice in choices)
    return kind is None and "const" not in schema


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(type(value), "a number")
