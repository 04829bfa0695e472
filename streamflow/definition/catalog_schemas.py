"""Schemas that several events and operations of a catalog share: `schemas` of a catalog file, which they name by
`$ref: "#/schemas/<name>"`. Each schema is completed with what it names, so that it stands alone wherever it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.schema_document import OLD_DRAFTS, rewritten, schemas_in

_SHARED = "#/schemas/"


class SharedSchemas:
    """The shared schemas of one catalog file. Each is rewritten once, and those that name it have it in common."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._named = {name: _names(schema) for name, schema in schemas.items()}
        self._ready: dict[tuple[str, str], dict[str, Any]] = {}  # by the keyword that holds them, and name

    def complete(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` with the shared schemas that it names, directly or by others, in its `$defs` (in `definitions` up to
        draft 7). What is not there stays as it is written, and fails the check."""
        wanted = sorted(self._reached(_names(schema)))
        if not wanted:
            return schema
        draft = schema.get("$schema")
        keyword = "definitions" if isinstance(draft, str) and any(one in draft for one in OLD_DRAFTS) else "$defs"
        own: Any = schema.get(keyword, {})
        taken = {name: f"schemas.{name}" for name in wanted if name in own}  # by a definition in the schema itself
        if taken:
            held = {taken.get(name, name): _pointed(self._schemas[name], keyword, taken) for name in wanted}
        else:
            held = {name: self._pointed_once(name, keyword) for name in wanted}
        complete = _pointed(schema, keyword, taken)
        return {**complete, keyword: {**complete.get(keyword, {}), **held}}

    def _pointed_once(self, name: str, keyword: str) -> dict[str, Any]:
        if (keyword, name) not in self._ready:
            self._ready[keyword, name] = _pointed(self._schemas[name], keyword, {})
        return self._ready[keyword, name]

    def _reached(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        left = names & self._schemas.keys()
        while left:
            name = left.pop()
            found.add(name)
            left |= (self._named[name] & self._schemas.keys()) - found
        return found


def _names(schema: Mapping[str, Any]) -> set[str]:
    """The shared schemas that `schema` names itself."""
    references = (part.get("$ref") for part in schemas_in(schema))
    return {
        one.removeprefix(_SHARED).partition("/")[0]
        for one in references
        if isinstance(one, str) and one.startswith(_SHARED)
    }


def _pointed(schema: Mapping[str, Any], keyword: str, taken: Mapping[str, str]) -> dict[str, Any]:
    def change(part: dict[str, Any]) -> dict[str, Any]:
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith(_SHARED):
            return part
        name, slash, rest = reference.removeprefix(_SHARED).partition("/")
        return {**part, "$ref": f"#/{keyword}/{taken.get(name, name)}{slash}{rest}"}

    return rewritten(schema, change)
