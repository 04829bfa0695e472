"""JSON Schemas, as far as expressions and their checks read them: types, and what several have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.definition.schema_shape import Shape, one_of, shape_of, types_of

Schema = Mapping[str, Any]

ANYTHING: Schema = {}
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}


def json_types(schema: Schema) -> frozenset[str]:
    """The JSON types that `schema` allows; empty when it does not say."""
    return types_of(shape_of(schema))


def may_be_null(schema: Schema) -> bool:
    """Whether `schema` says that a value may be null."""
    return "null" in json_types(schema)


def common(schemas: Sequence[Schema]) -> Shape:
    """What can be said of a value that follows one of `schemas`: their properties, typed where all say the same of
    them. Anything where one of them is no object with declared properties."""
    shapes = [shape_of(schema) for schema in schemas]
    if len(shapes) > 1 and not all(types_of(shape) == {"object"} and shape.get("properties") for shape in shapes):
        return shape_of(ANYTHING)
    return one_of(shapes)
