"""What a JSON Schema says of values, without references and alternatives: the form that checks read.

A shape says no more than what holds for every value that its schema allows; what it does not say is open. It has
some of these keys, with the meaning that they have in a schema: `type` (a sorted list), `properties`, `required`,
`items` (of every item), `enum`, and `additionalProperties` (false, or true where it is written). Beside them

- `open`: there may be properties that are not in `properties`, of which the schema knows more than is said here;
- `loose`: what is said holds in some cases only, so that the properties are declared and nothing else is known.

A property that the schema declares anywhere is declared in its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from streamflow.definition.schema_document import REFERENCES, Document

_DEPTH = 60  # schemas within each other that are read; catalogs are no deeper
_WORK = 100_000  # schemas and pairs of them that are looked at for one shape; no schema may make it slow
_TYPE_NAMES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    list: "array",
    dict: "object",
}
_IN_CASES = ("if", "then", "else", "not")


class Shape(dict[str, Any]):
    """The shape of a schema. Never changed; the same object may stand in several places of another."""


ANY = Shape()
_OPEN = Shape(open=True)  # a schema that cannot be read further


def shape_of(schema: Any) -> Shape:
    """The shape of the values that follow `schema`; of a shape, itself. Takes time that is bounded by the size of the
    schema, and never fails for a schema that can be used."""
    if isinstance(schema, Shape):
        return schema
    return _Reader(schema).of(schema, 0) if isinstance(schema, Mapping) and schema else ANY


def object_of(schemas: Mapping[str, Any]) -> Shape:
    """The shape of an object with these properties, by their schemas or shapes."""
    return Shape(type=["object"], properties={name: shape_of(schema) for name, schema in schemas.items()})


def one_of(schemas: Iterable[Any]) -> Shape:
    """The shape of values that follow one of `schemas`: all properties, typed where all say the same of them."""
    return reduce(Joining().union, map(shape_of, schemas))


def types_of(shape: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that `shape` allows; empty when it does not say."""
    if "type" in shape:
        return frozenset(shape["type"])
    return frozenset({"object"}) if "properties" in shape and not shape.get("loose") else frozenset()


class Joining:
    """Shapes joined with others, each pair once. Bounded in all that it does, so made for one task."""

    def __init__(self) -> None:
        self.left = _WORK
        self._known: dict[tuple[str, int, int], Shape] = {}
        self._kept: list[Shape] = []  # so that no id is given twice

    def both(self, one: Shape, two: Shape) -> Shape:
        """What holds where both hold."""
        if one is two or not two:
            return one
        return two if not one else self._once("both", one, two)

    def union(self, one: Shape, two: Shape) -> Shape:
        """What holds where one of them holds."""
        return one if one is two else self._once("union", one, two)

    def loosened(self, shape: Shape) -> Shape:
        """The properties that `shape` declares, and nothing else."""
        if not shape.keys() & {"properties", "items", "open"}:
            return ANY
        return shape if shape.get("loose") and "type" not in shape else self._once("loose", shape, shape)

    def _once(self, how: str, one: Shape, two: Shape) -> Shape:
        key = (how, id(one), id(two))
        if key not in self._known:
            self.left -= 1
            self._kept += [one, two]
            if self.left < 0:
                return _OPEN
            joined = {"both": self._both, "union": self._union, "loose": self._loose}[how](one, two)
            self._kept.append(joined)
            self._known[key] = joined
        return self._known[key]

    def _both(self, one: Shape, two: Shape) -> Shape:
        found = Shape(two | one)
        if "type" in one and "type" in two:
            types = _narrowed(frozenset(one["type"]), frozenset(two["type"]))
            if types == {"null"}:  # described by the wider of the two, of which it is one value
                types = max((frozenset(one["type"]), frozenset(two["type"])), key=len)
            found["type"] = sorted(types)
            if not types:  # no value at all, so whatever is declared may be read
                return Shape(open=True, loose=True, properties=_names(one) | _names(two))
        if "properties" in one and "properties" in two:
            left, right = one["properties"], two["properties"]
            found["properties"] = {
                name: self.both(left.get(name, ANY), right.get(name, ANY)) for name in {**left, **right}
            }
        if "items" in one and "items" in two:
            found["items"] = self.both(one["items"], two["items"])
        if "required" in one and "required" in two:
            found["required"] = sorted({*one["required"], *two["required"]})
        if "enum" in one and "enum" in two:
            found["enum"] = [value for value in one["enum"] if value in two["enum"]] or one["enum"]
        if False in (one.get("additionalProperties"), two.get("additionalProperties")):
            found["additionalProperties"] = False
        if found.pop("loose", False) and not (_certain(one) or _certain(two)):
            found["loose"] = True
        return found

    def _union(self, one: Shape, two: Shape) -> Shape:
        found = Shape()
        types = types_of(one), types_of(two)
        if all(types):
            joined = types[0] | types[1]
            found["type"] = sorted(joined - {"integer"} if "number" in joined else joined)
        else:
            found["loose"] = True
        properties: dict[str, Shape] = {}
        for name in dict.fromkeys([*one.get("properties", ()), *two.get("properties", ())]):
            left, right = (_property(shape, name, known) for shape, known in zip((one, two), types, strict=True))
            if left is not None and right is not None:
                properties[name] = self.union(left, right)
            else:
                properties[name] = left or right or ANY
                if properties[name] and not (self._lacks(one, name) or self._lacks(two, name)):
                    properties[name] = self.loosened(properties[name])
        if properties:
            found["properties"] = properties
        if one.get("open") or two.get("open") or _free(one, two) or _free(two, one):
            found["open"] = True
        holders = [shape for shape, known in zip((one, two), types, strict=True) if not known or "object" in known]
        if holders and all("required" in shape for shape in holders):
            found["required"] = sorted(
                frozenset[str].intersection(*(frozenset(shape["required"]) for shape in holders))
            )
        if "enum" in one and "enum" in two:
            found["enum"] = [*one["enum"], *(value for value in two["enum"] if value not in one["enum"])]
        lists = [shape for shape, known in zip((one, two), types, strict=True) if not known or "array" in known]
        if lists and all("items" in shape for shape in lists):
            found["items"] = reduce(self.union, (shape["items"] for shape in lists))
        closed = [shape.get("additionalProperties") for shape in holders]
        if closed and None not in closed:
            found["additionalProperties"] = any(closed)
        return found

    def _lacks(self, shape: Shape, name: str) -> bool:
        """Whether no value of `shape` has the property `name`."""
        types = types_of(shape)
        closed = shape.get("additionalProperties") is False and not shape.get("open")
        return bool(types and "object" not in types) or (closed and name not in shape.get("properties", ()))

    def _loose(self, shape: Shape, _: Shape) -> Shape:
        found = Shape(loose=True)
        if "properties" in shape:
            found["properties"] = {name: self.loosened(part) for name, part in shape["properties"].items()}
        if "items" in shape:
            found["items"] = self.loosened(shape["items"])
        if shape.get("open"):
            found["open"] = True
        return found


class _Reader:
    """Reads the shapes of one document, each of its schemas once."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._document = Document(root)
        self._joining = Joining()
        self._known: dict[int, Shape] = {}
        self._begun: set[int] = set()

    def of(self, schema: Any, depth: int) -> Shape:
        if isinstance(schema, Shape):
            return schema
        if not isinstance(schema, Mapping) or not schema:
            return ANY
        place = id(schema)
        if place not in self._known:
            self._joining.left -= 1
            if place in self._begun or depth > _DEPTH or self._joining.left < 0:
                return _OPEN  # inside itself, or too much of it
            self._begun.add(place)
            self._known[place] = self._read(schema, depth + 1)
            self._begun.discard(place)
        return self._known[place]

    def _read(self, schema: Mapping[str, Any], depth: int) -> Shape:
        both, union, loosened = self._joining.both, self._joining.union, self._joining.loosened
        found = self._own(schema, depth)
        referring = [keyword for keyword in REFERENCES if isinstance(schema.get(keyword), str)]
        for keyword in ("anyOf", "oneOf"):
            branches = [self.of(part, depth) for part in _list(schema, keyword) if part is not False]
            if branches:
                found = both(found, reduce(union, branches))
        for part in _list(schema, "allOf"):
            found = both(found, self.of(part, depth))
        cases = [schema[keyword] for keyword in _IN_CASES if keyword in schema]
        for keyword in ("dependentSchemas", "dependencies"):
            cases += _named(schema, keyword).values()
        for case in cases:
            found = both(found, loosened(self.of(case, depth)))
        if referring and self._document.ignores_siblings(schema):
            found = loosened(found)
        for keyword in referring:
            target = self._document.target(schema, keyword)
            found = both(found, _OPEN if target is None else self.of(target, depth))
        return found

    def _own(self, schema: Mapping[str, Any], depth: int) -> Shape:
        """What the keywords about types, properties and items say."""
        found = Shape()
        types = _types(schema)
        if types:
            found["type"] = sorted(types)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list) and values:
            found["enum"] = [*values, None] if "null" in types and None not in values else values
        if isinstance(schema.get("properties"), Mapping):
            found["properties"] = {str(name): self.of(part, depth) for name, part in schema["properties"].items()}
        required = schema.get("required")
        if isinstance(required, list):
            found["required"] = sorted({name for name in required if isinstance(name, str)})
        if found.get("properties"):  # what must be there is declared
            found["properties"] = dict.fromkeys(_must(schema), ANY) | found["properties"]
        more = schema.get("additionalProperties")
        if more is not None:
            found["additionalProperties"] = more is not False
        if any(isinstance(part, Mapping) and part for part in (more, schema.get("unevaluatedProperties"))):
            found["open"] = True
        if _named(schema, "patternProperties"):
            found["open"] = True
            found["additionalProperties"] = True
        items = self._items(schema, depth)
        if items is not None:
            found["items"] = items
        return found

    def _items(self, schema: Mapping[str, Any], depth: int) -> Shape | None:
        """The shape of every item, as far as one is known."""
        prefix = _list(schema, "prefixItems") or _list(schema, "items")
        rest = schema.get("items") if not isinstance(schema.get("items"), list) else schema.get("additionalItems")
        found: Shape | None = self.of(rest, depth) if isinstance(rest, Mapping) else None
        if prefix and (found is not None or rest is False):
            of_all = [self.of(part, depth) for part in prefix]
            found = reduce(self._joining.union, of_all if found is None else [*of_all, found])
        if found is not None and isinstance(schema.get("contains"), Mapping):
            found = self._joining.both(found, self._joining.loosened(self.of(schema["contains"], depth)))
        return found


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The types that `type`, `const` and `enum` of a schema allow; empty when they do not say."""
    declared = schema.get("type")
    types = frozenset(
        {declared} if isinstance(declared, str) else map(str, declared if isinstance(declared, list) else ())
    )
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        of_values = frozenset(_TYPE_NAMES.get(type(value), "object") for value in values)
        types = (_narrowed(types, of_values) or types) if types else of_values
    # OpenAPI 3.0: beside one type
    return types | {"null"} if schema.get("nullable") is True and isinstance(declared, str) else types


def _narrowed(one: frozenset[str], two: frozenset[str]) -> frozenset[str]:
    """The types that both allow; a whole number is a number."""
    whole = {"integer"} if any("integer" in a and "number" in b for a, b in ((one, two), (two, one))) else set()
    return (one & two) | whole


def _free(one: Shape, two: Shape) -> bool:
    """Whether `one` is an object of which nothing is known, beside one of which something is."""
    return (
        "object" in one.get("type", ())
        and not one.get("properties")
        and bool(two.get("properties"))
        and (one.get("additionalProperties") is not False)
    )


def _certain(shape: Shape) -> bool:
    """Whether what `shape` says holds in every case."""
    return not shape.get("loose") and bool(shape.keys() & {"type", "properties"})


def _property(shape: Shape, name: str, types: frozenset[str]) -> Shape | None:
    return shape.get("properties", {}).get(name) if not types or "object" in types else None


def _must(schema: Mapping[str, Any]) -> list[str]:
    """The properties that the schema says must be there, always or beside others."""
    lists = [schema.get("required")]
    for keyword in ("dependentRequired", "dependencies"):
        if isinstance(schema.get(keyword), Mapping):
            lists += schema[keyword].values()
    return [name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]


def _names(shape: Shape) -> dict[str, Shape]:
    return dict.fromkeys(shape.get("properties", ()), ANY)


def _list(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def _named(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    found = schema.get(keyword)
    return (
        {name: part for name, part in found.items() if not isinstance(part, list)} if isinstance(found, Mapping) else {}
    )
