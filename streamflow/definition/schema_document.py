"""A JSON Schema as a document: where the schemas within it stand, and what a reference in it names.

Drafts 4 to 2020-12. A reference names a schema by a JSON pointer (RFC 6901), by the `$id` of a schema within the
document, or by an `$anchor`; what is not in the document is not found, and nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

ONE = (  # keywords whose value is a schema
    *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
    *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
)
MANY = ("allOf", "anyOf", "items", "oneOf", "prefixItems")  # a list of schemas
NAMED = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")  # by name
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")
_DEPTH = 200  # schemas within each other that are looked through; the readers of texts allow fewer


def parts(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The schemas directly within `schema`, with the keys and indexes that lead to them."""
    for keyword in ONE:
        if isinstance(schema.get(keyword), Mapping | bool):
            yield (keyword,), schema[keyword]
    for keyword in MANY:
        if isinstance(schema.get(keyword), list):
            yield from (((keyword, str(index)), part) for index, part in enumerate(schema[keyword]))
    for keyword in NAMED:
        if isinstance(schema.get(keyword), Mapping):
            yield from (
                ((keyword, str(name)), part)
                for name, part in schema[keyword].items()
                if isinstance(part, Mapping | bool)
            )


def schemas_in(schema: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """`schema` and every schema in it, as deep as schemas are looked through."""
    yield schema
    for _, part in parts(schema):
        if isinstance(part, Mapping) and depth < _DEPTH:
            yield from schemas_in(part, depth + 1)


def rewritten(schema: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """`schema` with every schema in it, and then itself, given to `change`. Raises RecursionError if it is too deep."""
    copy = dict(schema)
    for path, part in parts(schema):
        if isinstance(part, Mapping):
            keyword, *key = path
            if not key:
                copy[keyword] = rewritten(part, change)
            else:
                if copy[keyword] is schema[keyword]:
                    copy[keyword] = copy[keyword].copy()
                copy[keyword][int(key[0]) if keyword in MANY and isinstance(copy[keyword], list) else key[0]] = (
                    rewritten(part, change)
                )
    return change(copy)


class Document:
    """A schema with everything in it that references may name."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._bases: dict[int, str] = {}  # id of a schema -> the address that its references are relative to
        self._old: dict[int, bool] = {}
        self._named: dict[str, Mapping[str, Any]] = {"": root}  # address, with its anchor -> schema
        self._dynamic: dict[str, list[Mapping[str, Any]]] = {}  # name of a dynamic anchor -> its schemas
        self._look_through(root, "", old=False, depth=0)

    def ignores_siblings(self, schema: Mapping[str, Any]) -> bool:
        """Whether what stands beside `$ref` in `schema` counts for nothing, as it does up to draft 7."""
        return self._old.get(id(schema), self._old[id(self._root)])

    def target(self, schema: Mapping[str, Any], keyword: str) -> Mapping[str, Any] | bool | None:
        """What the reference `keyword` of `schema` names; None when that is not in the document, or depends on how the
        value came to be looked at."""
        reference = schema.get(keyword)
        if not isinstance(reference, str):
            return None
        address, fragment = urldefrag(joined(self._bases.get(id(schema), self._bases[id(self._root)]), reference))
        if keyword != "$ref":
            return self._dynamically(address, fragment)
        found = self._named.get(f"{address}#{fragment}" if fragment and not fragment.startswith("/") else address)
        return _pointed(found, fragment) if found is not None and fragment.startswith("/") else found

    def _dynamically(self, address: str, fragment: str) -> Mapping[str, Any] | None:
        """A dynamic reference, where only one schema can be meant."""
        if fragment.startswith("/"):
            found = _pointed(self._named.get(address), fragment)
            return found if isinstance(found, Mapping) else None
        if not fragment:  # $recursiveRef: the document itself, if nothing in it has an address of its own
            return self._root if len(set(self._bases.values())) == 1 else None
        first = self._named.get(f"{address}#{fragment}")
        choices = self._dynamic.get(fragment, [])
        if not any(one is first for one in choices):
            return first  # an anchor that is not dynamic
        return first if len(choices) == 1 else None

    def _look_through(self, schema: Mapping[str, Any], base: str, *, old: bool, depth: int) -> None:
        if id(schema) in self._bases or depth > _DEPTH:
            return
        draft = schema.get("$schema")
        old = any(name in draft for name in OLD_DRAFTS) if isinstance(draft, str) else old
        own = schema.get("$id", schema.get("id") if old else None)
        if isinstance(own, str) and not (old and "$ref" in schema and depth):
            if own.startswith("#"):
                self._named.setdefault(base + own, schema)
            else:
                base = urldefrag(joined(base, own))[0]
                self._named.setdefault(base, schema)
        self._bases[id(schema)], self._old[id(schema)] = base, old
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(keyword), str):
                self._named.setdefault(f"{base}#{schema[keyword]}", schema)
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        for _, part in parts(schema):
            if isinstance(part, Mapping):
                self._look_through(part, base, old=old, depth=depth + 1)


def joined(base: str, reference: str) -> str:
    """The address that `reference` names within a document at `base`."""
    if reference.startswith("#"):
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:  # no address at all
        return reference


def _pointed(within: Any, fragment: str) -> Mapping[str, Any] | bool | None:
    """What the JSON pointer `fragment` names in `within`."""
    found = within
    for part in unquote(fragment).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and len(name) < 7 and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found if isinstance(found, Mapping | bool) else None
