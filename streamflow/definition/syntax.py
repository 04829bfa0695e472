"""YAML or JSON text to a definition or a catalog, and back. All faults of shape are reported at once, in words for the
author."""

from __future__ import annotations

import difflib
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from streamflow.definition import catalog, duration, model
from streamflow.definition.catalog import Catalog, CatalogFile
from streamflow.definition.json_pointer import pointer
from streamflow.definition.literals import FIX, looks_like_expression
from streamflow.definition.model import Definition
from streamflow.definition.spelling import as_list, spelled
from streamflow.definition.yaml_text import YAML, PlainConstructor
from streamflow.errors import DefinitionError, Problem

_Model = TypeVar("_Model", bound=BaseModel)

_FORMS = {
    str(get_args(model.Id)[1].pattern): "small letters, digits and _, beginning with a letter, at most 64",
    str(get_args(model.Name)[1].pattern): "small letters, digits and -, beginning with a letter, at most 100",
    str(get_args(model.EventName)[1].pattern): "letters, digits and . _ -, beginning with a letter",
    str(get_args(model.Version)[1].pattern): 'letters, digits, . and -, at most 40, in quotes, such as "1.0.0"',
    str(get_args(model.Need)[1].pattern): "the id of a step, or of a step and its outcome, such as paid.timeout",
    str(
        get_args(model.OperationName)[1].pattern
    ): "the name of an operation, such as http.get: small letters, digits, _ and -, in up to four parts with a . "
    "between",
    str(get_args(model.Lane)[1].pattern): "small letters, digits and -, beginning with a letter, at most 50",
    catalog.TOPIC: "the name of a topic: letters, digits and . _ -, at most 249, but not . or ..",
    duration.PATTERN: "a length of time such as 30s, 24h, 1h30m or 7d",
}
_TEXT = 1_000_000  # characters; a definition may take 400 kB as content, and YAML is wider
_VALUES = 100_000
_LEVELS = 60
_SHOWN_BITS = 1000  # of a whole number in a message
_COMPARED_LENGTH, _COMPARED = 200, 500
_TYPES = {
    "string_type": "a text",
    "list_type": "a list",
    "model_type": "a group of fields",
    "model_attributes_type": "a group of fields",
    "dict_type": "a group of fields",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
}


def parse_definition(text: str) -> Definition:
    """The definition that `text` (YAML 1.2 or JSON) holds. Raises DefinitionError with every problem of its shape."""
    return parse_as(Definition, text)


def parse_catalog(text: str) -> Catalog:
    """The catalog that `text` (YAML 1.2 or JSON) holds. Raises DefinitionError with every problem of its shape."""
    return parse_as(CatalogFile, text).complete()


def parse_as(kind: type[_Model], text: str) -> _Model:
    """What `text` (YAML 1.2 or JSON) holds, of the shape `kind`. Raises DefinitionError with every problem of its
    shape."""
    return validated(kind, load_text(text))


def to_yaml(definition: Definition) -> str:
    """`definition` as YAML that `parse_definition` reads back to an equal one; what has its default is left out."""
    writer = YAML(typ="rt", pure=True)
    writer.default_flow_style = False
    writer.width = 1000
    writer.indent(mapping=2, sequence=4, offset=2)
    value = definition.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    target = io.StringIO()
    writer.dump({"streamflow": definition.streamflow, **value}, target)
    return target.getvalue()


class _Constructor(PlainConstructor):
    """Two escapes for the halves of one character, as JSON writes it, are that character."""

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        return _joined(value) if isinstance(value, str) and not value.isprintable() else value


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def load_text(text: str) -> Any:
    """The data that `text` (YAML 1.2 or JSON) holds: what JSON can say. Raises DefinitionError."""
    return load_nodes(text)[0]


def load_nodes(text: str) -> tuple[Any, Any]:
    """The data that `text` holds, as `load_text` gives it, and the YAML node of its root, which says where its parts
    stand; None for strict JSON, which is read without nodes. Raises DefinitionError."""
    if len(text) > _TEXT:
        _refuse("SF231", f"expected a text of at most {_TEXT} characters but found {len(text)}.", "Split it up.")
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    reader.version = "1.2"
    root = None
    try:
        value = _as_json(text)
        if value is None:
            root = reader.compose(text)
            value = reader.constructor.construct_document(root) if root is not None else None
    except DuplicateKeyError as error:
        key = re.search(r'duplicate key "([^"]*)"', str(error.problem))
        _refuse(
            "SF107",
            f"expected each key once but found {key[1] if key else 'a key'} twice {_place(error)}.",
            "Remove one of the two.",
        )
    except MarkedYAMLError as error:
        _refuse(
            "SF100",
            f"the text cannot be read {_place(error)}: {error.problem or error.context}.",
            "Check the indentation, quotes and colons there; within braces, an expression with a comma or a bracket "
            "has to be in quotes.",
        )
    except RecursionError:
        _refuse("SF100", "the text cannot be read: it is nested too deep.", "Write it flatter.")
    except (YAMLError, ValueError) as error:
        _refuse("SF100", f"the text cannot be read: {str(error).splitlines()[0]}.", "Write plain YAML or JSON.")
    problems: list[Problem] = []
    _look_through(value, (), problems, [_VALUES])
    if problems:
        raise DefinitionError(problems)
    return value, root


def _as_json(text: str) -> Any:
    """The value of a text that is strict JSON, which is read a hundred times as fast as YAML; None for others, and for
    those in which a fault has to be reported."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that is written twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _look_through(value: Any, path: tuple[str | int, ...], problems: list[Problem], left: list[int]) -> None:
    """Report what YAML can say and JSON cannot. `left` counts down the values still allowed, so that aliases of aliases
    stay harmless."""
    left[0] -= 1
    if left[0] < 0 or len(path) > _LEVELS:
        _refuse(
            "SF231",
            f"expected at most {_VALUES} values, {_LEVELS} deep, but found more.",
            "Split the text up, and write aliases out.",
        )
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                problems.append(
                    Problem(
                        "SF103",
                        pointer((*path, str(key))),
                        f"expected a text as the name of a field but found {_found(key)}.",
                        "Put quotes around it.",
                    )
                )
            elif not key.isprintable():
                _look_through(key, path, problems, left)
            _look_through(item, (*path, str(key)), problems, left)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _look_through(item, (*path, index), problems, left)
    elif isinstance(value, str):
        if not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
            problems.append(
                Problem(
                    "SF100",
                    pointer(path),
                    "the text holds half of a character (a lone surrogate).",
                    "Write the character itself.",
                )
            )
    elif not (value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))):
        problems.append(
            Problem(
                "SF103",
                pointer(path),
                f"expected a text, a number, true, false or a list but found {_found(value)}.",
                "Put quotes around it.",
            )
        )


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "somewhere"


def _refuse(code: str, message: str, fix: str) -> NoReturn:
    raise DefinitionError([Problem(code, "", message, fix)]) from None


def validated(kind: type[_Model], value: Any) -> _Model:
    """`value`, which `load_text` gave, as one of the shape `kind`. Raises DefinitionError with every problem of its
    shape."""
    if not isinstance(value, Mapping):
        _refuse(
            "SF103",
            f"expected fields such as {', '.join(list(kind.model_fields)[:3])} but found {_found(value)}.",
            "Write one field a line: name: value.",
        )
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        faults = [dict[str, Any](fault) for fault in error.errors(include_url=False)]
        found = [_problem(kind, fault | {"loc": _path(value, tuple(fault["loc"]))}) for fault in faults]
        raise DefinitionError(tuple(dict.fromkeys(found))) from None


def _path(value: Any, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The place of a fault in `value`, without the names of alternatives that pydantic puts between."""
    path: list[str | int] = []
    for number, part in enumerate(loc):
        there = isinstance(value, Sequence) if isinstance(part, int) else isinstance(value, Mapping) and part in value
        if there or number == len(loc) - 1:
            path.append(part)
            value = value[part] if there and not isinstance(value, str) else None
    return tuple(path)


def nearest(name: str, names: Iterable[str]) -> str:
    """Of `names` the one that `name` is most likely meant to be, or empty (see `nearest_names`)."""
    return next(iter(nearest_names(name, names, count=1)), "")


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Of `names` at most `count` that `name` is most likely meant to be, the most likely first. Long ones, and those
    beyond the first hundreds, are not compared: that takes the product of their lengths."""
    if len(name) > _COMPARED_LENGTH:
        return []
    compared = [one for one in islice(names, _COMPARED) if len(one) <= _COMPARED_LENGTH]
    return difflib.get_close_matches(name, compared, n=count, cutoff=0.6)


def _problem(kind: type[BaseModel], fault: dict[str, Any]) -> Problem:
    path, what, context = tuple(fault["loc"]), str(fault["type"]), fault.get("ctx", {})
    place, name = pointer(path), str(path[-1]) if path else ""
    if what == "extra_forbidden":
        fields = _fields_at(kind, path[:-1])
        near = nearest(name, fields)
        fix = f"Did you mean `{near}`?" if near else f"The fields are {', '.join(fields)}."
        if not re.fullmatch(r"[\w-]+", name):
            fix = "Put the text before it in quotes: between { and } a comma ends a value."
        return Problem("SF101", place, f"there is no field `{name}` here.", fix)
    if what == "missing":
        return Problem("SF102", place, f"the field `{name}` is missing.", f"Add `{name}`.")
    if what == "string_pattern_mismatch":
        form = _FORMS.get(context.get("pattern", ""), f"a text like {context.get('pattern')}")
        fix = _literal_fix(fault["input"]) or spelled(fault["input"], str(context.get("pattern")))
        return Problem("SF104", place, f"expected {form} but found {_found(fault['input'])}.", fix)
    if what == "literal_error":
        allowed = str(context.get("expected", ""))
        near = nearest(str(fault["input"]), re.findall(r"'([^']*)'", allowed))
        return Problem(
            "SF105",
            place,
            f"expected {allowed} but found {_found(fault['input'])}.",
            f"Did you mean {near}?" if near else _literal_fix(fault["input"]),
        )
    if what in ("too_short", "too_long", "string_too_short", "string_too_long"):
        limit = context.get("min_length", context.get("max_length"))
        measure = "characters" if what.startswith("string") else "items"
        return Problem(
            "SF106",
            place,
            f"expected at {'least' if what.endswith('short') else 'most'} {limit} {measure} in `{name}`.",
        )
    if what in ("greater_than_equal", "less_than_equal"):
        limit = f"least {context['ge']}" if "ge" in context else f"most {context['le']}"
        return Problem("SF106", place, f"expected at {limit} in `{name}` but found {_found(fault['input'])}.")
    if what in _TYPES:
        quoted = what == "string_type" and isinstance(fault["input"], int | float)
        fix = "Put quotes around it." if quoted else _literal_fix(fault["input"])
        if what == "list_type":
            fix = as_list(name, fault["input"]) or fix
        return Problem("SF103", place, f"expected {_TYPES[what]} but found {_found(fault['input'])}.", fix)
    message = str(fault["msg"]).removeprefix("Value error, ")
    return Problem("SF109", place, f"{message[:1].lower()}{message[1:]}.")


def _literal_fix(value: Any) -> str:
    """What to do about an expression where a value is wanted; empty when `value` is none."""
    return FIX if isinstance(value, str) and looks_like_expression(value) else ""


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a group of fields"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return "a number with hundreds of digits"
    text = (
        f'"{value[:60]}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(kind: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The names of the fields that the model at `path` has."""
    current: Any = kind
    for part in path:
        if isinstance(part, int):
            continue
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        field = next((item for name, item in fields.items() if part in (name, item.alias)), None)
        current = _model_in(field.annotation) if field is not None else None
    return [item.alias or name for name, item in current.model_fields.items()] if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
