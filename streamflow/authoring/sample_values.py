"""Values that fit a JSON Schema, made from a seed: the same seed gives the same value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamflow.authoring.dice import Dice
from streamflow.authoring.sample_text import text_like
from streamflow.definition.validation import SchemaFault, compiled

_DEPTH = 5  # objects within each other in which fields are filled that need not be there
_DEEPEST = 30
_TRIES = 20
_SPAN = 1000  # between the smallest and the largest number, where the schema leaves it open
_LIST = 2  # items of a list, unless the schema wants more
_FORMATS = {
    "date-time": "2026-01-{day:02d}T08:{minute:02d}:00Z",
    "date": "2026-01-{day:02d}",
    "time": "08:{minute:02d}:00Z",
    "email": "{name}{number}@example.com",
    "uri": "https://example.com/{name}/{number}",
    "uuid": "00000000-0000-4000-8000-{number:012d}",
    "hostname": "{name}{number}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "duration": "PT{minute}M",
}


class NoSample(Exception):
    """No value was found that fits a schema; the text says of what, and why."""


def sample_value(schema: Mapping[str, Any], seed: str, name: str = "value") -> Any:
    """A value that fits `schema`. `name` is what texts are made of where the schema says nothing of them.

    Raises NoSample when none is found, which happens for schemas that say much by patterns, `not` or conditions."""
    try:
        validator = compiled(schema)
    except SchemaFault as fault:
        raise NoSample(f"the schema of `{name}` cannot be used: {fault}") from None
    for number in range(_TRIES):
        maker = _Maker(schema, f"{seed}/{number}" if number else seed)
        try:
            value = maker.value(schema, (name,), 0)
        except NoSample:
            continue
        if validator.is_valid(value):
            return value
    raise NoSample(f"no value was found that fits the schema of `{name}`")


class _Maker:
    def __init__(self, root: Mapping[str, Any], seed: str) -> None:
        self._root, self._seed = root, seed

    def value(self, schema: Any, path: tuple[str, ...], depth: int) -> Any:
        if depth > _DEEPEST:
            raise NoSample("the schema is inside itself")
        if not isinstance(schema, Mapping):
            return self._name(path)
        schema = self._merged(schema, path, depth)
        if "const" in schema:
            return schema["const"]
        dice = Dice("/".join((self._seed, *path)))
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return dice.choice([value for value in schema["enum"] if value is not None] or [None])
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, depth)
        if kind in ("integer", "number"):
            return _number(schema, dice, whole=kind == "integer")
        if kind == "boolean":
            return dice.below(2) == 1
        return None if kind == "null" else self._text(schema, path, dice)

    def _merged(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Mapping[str, Any]:
        """`schema` with what it refers to, all that it wants at once, and one of its alternatives."""
        parts: list[Any] = []
        reference = schema.get("$ref")
        if isinstance(reference, str):
            parts.append(self._referred(reference))
        parts += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
        for keyword in ("oneOf", "anyOf"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                dice = Dice("/".join((self._seed, *path, keyword)))
                parts.append(dice.choice(schema[keyword]))
        if not parts:
            return schema
        found: dict[str, Any] = {
            key: value for key, value in schema.items() if key not in ("$ref", "allOf", "oneOf", "anyOf")
        }
        if depth > _DEEPEST:
            raise NoSample("the schema is inside itself")
        for part in parts:
            if isinstance(part, Mapping):
                found = _both(found, self._merged(part, path, depth + 1))
        return found

    def _referred(self, reference: str) -> Any:
        """What a reference within the schema names."""
        if not reference.startswith("#"):
            raise NoSample(f"the schema refers to {reference}")
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _object(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        declared = schema.get("properties")
        properties: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}
        wanted = [name for name in schema.get("required", ()) if isinstance(name, str)]
        names = dict.fromkeys([*properties, *wanted]) if depth < _DEPTH else dict.fromkeys(wanted)
        found: dict[str, Any] = {}
        for name in names:
            try:
                found[name] = self.value(properties.get(name, True), (*path, name), depth + 1)
            except NoSample:
                if name in wanted:
                    raise
        return found

    def _array(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        count = max(least, min(_LIST if depth < _DEPTH else 0, int(schema.get("maxItems", _LIST))))
        if count > 1000:
            raise NoSample("the list has to be too long")
        first = schema.get("prefixItems", schema.get("items"))
        prefix: list[Any] = first if isinstance(first, list) else []
        items = schema.get("items") if not isinstance(schema.get("items"), list) else True
        return [
            self.value(prefix[at] if at < len(prefix) else items, (*path, str(at)), depth + 1) for at in range(count)
        ]

    def _text(self, schema: Mapping[str, Any], path: tuple[str, ...], dice: Dice) -> str:
        if isinstance(schema.get("pattern"), str):
            found = text_like(schema["pattern"], dice)
            if found is None:
                raise NoSample("the pattern cannot be followed")
            return found
        form = _FORMATS.get(str(schema.get("format")))
        if form is not None:
            name = re.sub(r"[^a-z]", "", path[-1].lower()) or "a"
            return form.format(
                day=dice.between(1, 28), minute=dice.between(0, 59), number=dice.between(1, 999), name=name
            )
        text = f"{self._name(path)}-{dice.between(1, 999)}"
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        text = text + "x" * (least - len(text))
        return text[: int(most)] if most is not None else text

    def _name(self, path: tuple[str, ...]) -> str:
        named = [part for part in path if not part.isdigit()]
        return named[-1] if named else "value"


def _kind(schema: Mapping[str, Any]) -> str:
    types = schema.get("type")
    if isinstance(types, str):
        return types
    if isinstance(types, list) and types:
        return next((one for one in types if one != "null"), "null")
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema:
        return "array"
    numeric = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    return "number" if numeric & schema.keys() else "string"


def _number(schema: Mapping[str, Any], dice: Dice, *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else 0.01)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is True:  # draft 4 has it beside `minimum`
        above, low = low, None
    if below is True:
        below, high = high, None
    least = max((bound for bound in (low, None if above is None else above + step) if bound is not None), default=None)
    most = min((bound for bound in (high, None if below is None else below - step) if bound is not None), default=None)
    if least is None:
        least = 1 if most is None or most > 1 else most - _SPAN
    if most is None or most - least > _SPAN:
        most = least + _SPAN
    first = -(-least // step) * step if schema.get("multipleOf") else least
    value = first + dice.between(0, max(int((most - first) / step), 0)) * step
    return int(value) if whole or float(value).is_integer() else round(value, 2)


def _both(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """What is said by either of two schemas."""
    found = {**two, **one}
    properties = [part["properties"] for part in (two, one) if isinstance(part.get("properties"), Mapping)]
    if properties:
        found["properties"] = {name: part for each in properties for name, part in each.items()}
    required = [part["required"] for part in (one, two) if isinstance(part.get("required"), list)]
    if required:
        found["required"] = list(dict.fromkeys(name for each in required for name in each))
    return found
