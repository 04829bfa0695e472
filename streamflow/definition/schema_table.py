"""A JSON Schema as a table of the schemas in it, each of which can be checked alone.

Whether a value fits takes the engine no time. To say what is wrong, it collects the errors of every branch of `oneOf`
and `anyOf`, and every error of a list, each with a copy of the value that it is about: with a recursive schema that is
exponential in the depth of a value, with names or items it is quadratic. So places are found by asking whether parts
fit (`schema_faults`), and the engine reports only keywords that have one error each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema_rs

from streamflow.definition.json_kinds import json_kind
from streamflow.definition.json_pointer import pointer
from streamflow.definition.schema_document import REFERENCES, Document, parts

Part = int | bool
"""A schema of the table by its number, or one that allows everything or nothing."""

# Keywords whose values are schemas, by what depends on each other: the value itself is looked at by those of the first
# row, what is in it by those of the second.
GROUPS: dict[str, tuple[str, ...]] = {
    **{keyword: (keyword,) for keyword in ("allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies")},
    "if": ("if", "then", "else"),
    "propertyNames": ("propertyNames",),
    "properties": ("properties", "patternProperties", "additionalProperties"),
    "items": ("prefixItems", "items", "additionalItems"),
}
_INNER = (*GROUPS["properties"], *GROUPS["items"])
_NAMING = ("required", "dependentRequired", "dependencies")  # one error for each of the names that the schema has
_CONTAINS = ("contains", "minContains", "maxContains")
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_SKIPPED = ("$defs", "definitions", "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor")
_ANYTHING: Mapping[str, Any] = {}  # a schema of every draft, which booleans are not
_SCHEMA_CHARS = 300  # of a schema that is quoted


class Unlinked(ValueError):
    """A schema where what a reference names depends on the way to it, or with several dialects."""


class SchemaTable:
    """The schemas of one document; its root has the number 0."""

    def __init__(self, schema: Mapping[str, Any], mask: str | None) -> None:
        """`mask` is what stands for values in messages. Raises Unlinked."""
        self._mask = mask
        self._document = Document(schema)
        self._dialect = {"$schema": schema["$schema"]} if "$schema" in schema else {}
        self._numbers: dict[int, int] = {}  # id of a schema -> its number
        self._originals: list[Mapping[str, Any]] = []
        self._made: dict[tuple[Any, ...], Any] = {}  # validators
        self._link(schema)
        self._linked: list[dict[str, Any]] = []
        for original in self._originals:  # it grows by the schemas that each refers to
            self._linked.append(self._entry(original))
        self._definitions = {str(number): linked for number, linked in enumerate(self._linked)}
        self._fits = self._compiled({"properties": dict(self._questions())}).is_valid

    def fits(self, part: Part, value: Any) -> bool:
        """Whether `value` fits a schema of the table."""
        return part if isinstance(part, bool) else bool(self._fits({str(part): value}))

    def group_fits(self, number: int, group: str, value: Any) -> bool:
        """Whether `value` fits what the schema `number` says by the keywords of `group`."""
        return bool(self._fits({f"{number}/{group}": value}))

    def matches(self, pattern: str, name: str) -> bool:
        """Whether `pattern`, of a `patternProperties`, is in `name`."""
        return bool(self._fits({f"/{pattern}": name}))

    def groups(self, number: int) -> Iterator[str]:
        """The groups of which the schema `number` has keywords."""
        return (group for group in GROUPS if _of_group(self._linked[number], group))

    def part(self, number: int, keyword: str) -> Part | None:
        """The schema that is the value of `keyword`; None without one, and where it is a fault of the schema's own."""
        linked = self._linked[number]
        found = linked.get(keyword)
        return None if found is None or isinstance(found, list) or _closes(linked, keyword) else _part(found)

    def listed(self, number: int, keyword: str) -> list[Part]:
        """The schemas in the list of `keyword`."""
        found = self._linked[number].get(keyword)
        return [_part(one) for one in found] if isinstance(found, list) else []

    def named(self, number: int, keyword: str) -> dict[str, Part]:
        """The schemas of `keyword` by their names."""
        found = self._linked[number].get(keyword, {})
        return {name: _part(one) for name, one in found.items() if not isinstance(one, list)}

    def own_faults(self, number: int, value: Any, *, is_name: bool = False) -> Iterator[tuple[str, str]]:
        """What the schema `number` itself says of `value`, by keywords with one error each: the place in the value, and
        the words. The name of a field (`is_name`) is given, also if values are masked."""
        linked = self._linked[number]
        own = self._own(number, "own", lambda: _own_keywords(linked), is_name)
        for error in own.iter_errors(value) if own is not None else ():
            yield pointer(error.instance_path), self._words(error, number)
        if isinstance(value, dict):
            # Every error has a copy of the object; so it is one with no other names than the schema's.
            naming = self._own(number, "naming", lambda: _naming_keywords(linked), is_name)
            few = {name: None for name in _names(linked) if name in value}
            yield from (("", str(error.message)) for error in (naming.iter_errors(few) if naming is not None else ()))
        if any(keyword in linked for keyword in _UNEVALUATED):
            yield from self._unevaluated(number, value)

    def choice_words(self, group: str, fitting: int, value: Any) -> str:
        """The words for a value of which `fitting` branches of `anyOf` or `oneOf` take it."""
        branches = [_ANYTHING if number < fitting else {"not": _ANYTHING} for number in range(2)]
        return self._only_words((group, fitting), {group: branches}, value)

    def nothing_words(self, value: Any) -> str:
        """The words for a value where none may be."""
        return self._only_words(("false",), False, value)

    def _only_words(self, name: tuple[Any, ...], schema: Any, value: Any) -> str:
        if name not in self._made:
            self._made[name] = jsonschema_rs.validator_for(schema, mask=self._mask)
        return str(next(iter(self._made[name].iter_errors(value))).message)

    def _unevaluated(self, number: int, value: Any) -> Iterator[tuple[str, str]]:
        linked = self._linked[number]
        others = self._own(number, "evaluating", lambda: _evaluating_keywords(linked), False)
        if others is not None and not others.is_valid(value):
            return  # what does not fit evaluates nothing
        whole = self._own(
            number,
            "unevaluated",
            lambda: _evaluating_keywords(linked) | {name: linked[name] for name in _UNEVALUATED if name in linked},
            False,
        )
        # where the others fit, no branch of theirs has errors
        yield from ((pointer(error.instance_path), str(error.message)) for error in whole.iter_errors(value))

    def _own(self, number: int, what: str, keywords: Callable[[], dict[str, Any]], is_name: bool) -> Any:
        """The validator of some keywords of the schema `number`; None for none."""
        key = (number, what, is_name)
        if key not in self._made:
            found = keywords()
            self._made[key] = self._compiled(found, is_name) if found else None
        return self._made[key]

    def _words(self, error: Any, number: int) -> str:
        words = str(error.message)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Not):
            linked, original = (_text(one[number]["not"]) for one in (self._linked, self._originals))
            return original[:_SCHEMA_CHARS] + words.removeprefix(linked)
        if (
            isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Type)
            and self._mask
            and words.startswith(self._mask)
        ):
            words += f" but {json_kind(error.instance)}"
        return words

    def _compiled(self, schema: Mapping[str, Any], is_name: bool = False) -> Any:
        return jsonschema_rs.validator_for(
            {**self._dialect, "definitions": self._definitions, **schema},
            validate_formats=True,
            mask=None if is_name else self._mask,
        )

    def _questions(self) -> Iterator[tuple[str, Any]]:
        for number, linked in enumerate(self._linked):
            yield str(number), _reference(number)
            for group in GROUPS:
                if keywords := _of_group(linked, group):
                    yield f"{number}/{group}", keywords
            for pattern in linked.get("patternProperties", ()):
                yield f"/{pattern}", {"pattern": pattern}

    def _link(self, schema: Any) -> Any:
        """A reference to `schema` by its number."""
        if not isinstance(schema, Mapping):
            return schema
        if id(schema) not in self._numbers:
            self._numbers[id(schema)] = len(self._originals)
            self._originals.append(schema)
        return _reference(self._numbers[id(schema)])

    def _entry(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """`schema` where every schema in it, and every one that it refers to, is a reference by number."""
        if "$schema" in schema and schema["$schema"] != self._dialect.get("$schema"):
            raise Unlinked("it has several dialects")
        targets = [self._target(schema, keyword) for keyword in REFERENCES if keyword in schema]
        if targets and "$ref" in schema and self._document.ignores_siblings(schema):
            return {"allOf": targets}
        entry = {keyword: part for keyword, part in schema.items() if keyword not in (*_SKIPPED, *REFERENCES)}
        for path, part in parts(schema):
            keyword, *key = path
            if keyword in _SKIPPED:
                continue
            if not key:
                entry[keyword] = self._link(part)
                continue
            if entry[keyword] is schema[keyword]:
                entry[keyword] = entry[keyword].copy()
            entry[keyword][int(key[0]) if isinstance(entry[keyword], list) else key[0]] = self._link(part)
        if targets:
            entry["allOf"] = [*targets, *entry.get("allOf", ())]
        return entry

    def _target(self, schema: Mapping[str, Any], keyword: str) -> Any:
        target = self._document.target(schema, keyword)
        if target is None:
            raise Unlinked(f"what its {keyword} names depends on the way to it, or is elsewhere")
        return self._link(target)


def _text(schema: Any) -> str:
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _reference(number: int) -> dict[str, str]:
    return {"$ref": f"#/definitions/{number}"}


def _part(linked: Any) -> Part:
    return linked if isinstance(linked, bool) else int(linked["$ref"].rpartition("/")[2])


def _closes(linked: Mapping[str, Any], keyword: str) -> bool:
    """Whether `keyword` forbids all other names or items, which is one error for all of them."""
    if linked.get(keyword) is not False:
        return False
    return keyword == "additionalProperties" or (keyword == "additionalItems" and isinstance(linked.get("items"), list))


def _of_group(linked: Mapping[str, Any], group: str) -> dict[str, Any]:
    return {name: linked[name] for name in GROUPS[group] if name in linked and not _closes(linked, name)}


def _own_keywords(linked: Mapping[str, Any]) -> dict[str, Any]:
    grouped = {name for names in GROUPS.values() for name in names} | {*_NAMING, *_UNEVALUATED}
    own = {name: value for name, value in linked.items() if name not in grouped}
    if _closes(linked, "additionalProperties"):
        own |= _hollow(linked, ("properties", "patternProperties")) | {"additionalProperties": False}
    if _closes(linked, "additionalItems"):
        own |= _hollow(linked, ("items",)) | {"additionalItems": False}
    return own


def _evaluating_keywords(linked: Mapping[str, Any]) -> dict[str, Any]:
    """What evaluates names and items, whatever they have to be."""
    outer = {name for names in GROUPS.values() for name in names if name not in _INNER} | {*_CONTAINS}
    return {name: linked[name] for name in linked if name in outer} | _hollow(linked, _INNER)


def _hollow(linked: Mapping[str, Any], keywords: tuple[str, ...]) -> dict[str, Any]:
    """`keywords` with schemas that allow everything."""
    found: dict[str, Any] = {}
    for keyword in keywords:
        value = linked.get(keyword)
        if isinstance(value, list):
            found[keyword] = [_ANYTHING] * len(value)
        elif keyword in ("properties", "patternProperties") and value is not None:
            found[keyword] = dict.fromkeys(value, _ANYTHING)
        elif value is not None:
            found[keyword] = _ANYTHING
    return found


def _naming_keywords(linked: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: linked[name] for name in _NAMING if name in linked}
    if "dependencies" in found:
        found["dependencies"] = {name: one for name, one in found["dependencies"].items() if isinstance(one, list)}
    return found


def _names(linked: Mapping[str, Any]) -> set[str]:
    names = set(linked.get("required", ()))
    for keyword in ("dependentRequired", "dependencies"):
        for name, others in linked.get(keyword, {}).items():
            if isinstance(others, list):
                names |= {name, *others}
    return names
