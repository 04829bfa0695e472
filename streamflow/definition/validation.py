"""Values against a JSON Schema: the one place at which schemas are compiled, for every door at which values come.

Nothing is ever fetched: a schema that refers to what is not in it cannot be used. `format` is checked in every draft,
also in those that leave it to the reader (2019-09 and 2020-12); a format that is not known says nothing. `nullable:
true` beside one `type` allows null, as in OpenAPI 3.0.

`check` finds what types alone show. What it cannot know (a value of unknown type, `enum`, `minimum`, a field that
is missing deep inside) is checked during a run, by a validator that is compiled once for each plan. The answer
depends on schema and value alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jsonschema_rs

from streamflow.definition.json_pointer import pointer
from streamflow.definition.schema_document import rewritten
from streamflow.definition.schema_faults import MASK, FoundFaults, schema_faults
from streamflow.definition.schema_table import SchemaTable, Unlinked

_POINTER_CHARS = 200  # of a place in the data, which may have names of any length
_MESSAGE_CHARS = 300
_DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/2019-09|draft/2020-12)/schema#?")
_ABSENT = re.compile(r"Resource '(.*?)' is not present")  # what the engine says of a reference that leads out


class SchemaFault(ValueError):
    """A schema that cannot be used; the text says why, and what to do."""


class CompiledSchema:
    """A schema, compiled: `is_valid` says whether a value fits, and raises ValueError, TypeError or RecursionError for
    one that no JSON can hold; `schema_faults` says why it does not. `schema` is in the words of JSON Schema alone."""

    __slots__ = ("_mask", "_table", "is_valid", "schema")

    def __init__(self, schema: dict[str, Any], is_valid: Callable[[Any], bool], mask: str | None) -> None:
        self.is_valid = is_valid
        self.schema = schema
        self._mask = mask
        self._table: SchemaTable | Unlinked | None = None

    @property
    def table(self) -> SchemaTable | None:
        """The schema as a table, made when the first value does not fit; None if it has none."""
        if self._table is None:
            try:
                self._table = SchemaTable(self.schema, self._mask)
            except Unlinked as unlinked:
                self._table = unlinked
        return self._table if isinstance(self._table, SchemaTable) else None


def compiled(schema: Mapping[str, Any], *, masked: bool = False) -> CompiledSchema:
    """The validator of `schema`; if it is `masked`, the text of its faults holds no value of the data.

    Raises SchemaFault."""
    dialect = schema.get("$schema", "")
    if isinstance(dialect, str) and dialect and not _DIALECT.fullmatch(dialect):
        raise SchemaFault(
            f"its `$schema` names a dialect that is not known, {_short(dialect)}. Name one of the drafts 4 to 2020-12, "
            "or leave `$schema` out"
        )
    elsewhere: list[str] = []

    def no_retrieval(uri: str) -> NoReturn:
        elsewhere.append(uri)
        raise LookupError("schemas of other places are not fetched")

    mask = MASK if masked else None
    try:
        written = rewritten(schema, _with_null)
        found = jsonschema_rs.validator_for(written, validate_formats=True, retriever=no_retrieval, mask=mask)
    except jsonschema_rs.ValidationError as error:
        if elsewhere:
            raise SchemaFault(_elsewhere(elsewhere[0])) from None
        raise SchemaFault(_reason(error)) from None
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
        raise SchemaFault(_elsewhere(elsewhere[0]) if elsewhere else _short(str(error))) from None
    return CompiledSchema(written, found.is_valid, mask)


def schema_fault(schema: Mapping[str, Any]) -> str | None:
    """Why `schema` cannot be used, without a full stop; None when it can."""
    try:
        compiled(schema)
    except SchemaFault as fault:
        return str(fault)
    return None


class Validator:
    """A JSON Schema, compiled."""

    __slots__ = ("_validator",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises SchemaFault, which checked definitions never do."""
        self._validator = compiled(schema, masked=True)

    def fault(self, value: Any) -> str | None:
        """The place at which `value` does not fit, as a JSON pointer (empty: the whole), or None when it fits. Of
        several places the first in the order of their texts, so that it does not depend on how the validator goes
        about it."""
        try:
            if self._validator.is_valid(value):
                return None
            faults = FoundFaults(self._validator.table, value).faults
            return min(place for place, _ in faults)[:_POINTER_CHARS]
        except (ValueError, TypeError, RecursionError):  # a value that the validator's own types cannot hold
            return ""

    def faults(self, value: Any) -> str:
        """How `value` does not fit, at several places (`schema_faults`) and without its content; empty when it fits."""
        try:
            return schema_faults(self._validator, value)
        except (ValueError, TypeError, RecursionError):
            return "it holds a value that cannot be checked"


def validator(schema: Mapping[str, Any]) -> Validator | None:
    """The validator of `schema`; None when it allows anything."""
    return Validator(schema) if schema else None


def _elsewhere(uri: str) -> str:
    return (
        f"it refers to {_short(uri)}, and schemas of other places are not fetched. Copy that schema into `$defs`, "
        "with the `$id` that the reference names"
    )


def _reason(error: Any) -> str:
    place = pointer(error.instance_path)
    message = str(error.message)
    if (found := _ABSENT.match(message)) is not None:
        return _elsewhere(found[1])
    if message.startswith("Pointer "):
        place = message.removeprefix("Pointer ").removesuffix(" does not exist")
        return _short(f"a reference leads to {place}, which is not there")
    return _short(f"{message} at {place}" if place else message)


def _short(text: str) -> str:
    return (text.splitlines() or [""])[0].rstrip(".")[:_MESSAGE_CHARS]


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema where `nullable` is written in the words of JSON Schema."""
    if schema.get("nullable") is not True or not isinstance(schema.get("type"), str):
        return schema
    values = schema.get("enum")
    nullable = {"enum": [*values, None]} if isinstance(values, list) and None not in values else {}
    return {**schema, "type": sorted({schema["type"], "null"}), **nullable}
