"""Fields: reading a chain of them, and asking whether one is there."""

from __future__ import annotations

from typing import Any

from streamflow.definition.evaluator.budget import Closure, Frame
from streamflow.definition.evaluator.values import NONE, OptionalValue
from streamflow.definition.plan import ExpressionError, NoFields


def variable(name: str, fields: tuple[str, ...]) -> Closure:
    """Reads `fields` of a variable of the expression, one within the other. The commonest expression there is."""
    if len(fields) == 1:
        (field,) = fields

        def one(f: Frame) -> Any:
            try:
                return f[0][name][field]
            except KeyError:
                raise ExpressionError("missing_field") from None
            except TypeError:
                return _within(f[0][name], fields)

        return one

    if len(fields) == 2:
        outer, inner = fields

        def two(f: Frame) -> Any:
            try:
                return f[0][name][outer][inner]
            except KeyError:
                raise ExpressionError("missing_field") from None
            except TypeError:
                return _within(f[0][name], fields)

        return two

    def many(f: Frame) -> Any:
        try:
            value = f[0][name]
        except KeyError:
            raise ExpressionError("missing_field") from None
        return _within(value, fields)

    return many


def select(start: Closure, fields: tuple[str, ...]) -> Closure:
    """Reads `fields` of what `start` gives, one within the other."""
    if len(fields) == 1:
        (field,) = fields

        def one(f: Frame) -> Any:
            value = start(f)
            try:
                return value[field]
            except KeyError:
                raise ExpressionError("missing_field") from None
            except TypeError:
                return _within(value, fields)

        return one
    return lambda f: _within(start(f), fields)


def has(start: Closure, fields: tuple[str, ...], last: str) -> Closure:
    """Whether there is a field `last` in what `fields` of `start` give."""

    def test(f: Frame) -> bool:
        value = _within(start(f), fields)
        if value.__class__ is dict:
            return last in value
        if value.__class__ is OptionalValue:
            return value.present and _field(value.value, last).present
        raise NoFields

    return test


def _within(value: Any, fields: tuple[str, ...]) -> Any:
    for field in fields:
        if value.__class__ is dict:
            try:
                value = value[field]
            except KeyError:
                raise ExpressionError("missing_field") from None
        elif value.__class__ is OptionalValue:
            value = _field(value.value, field) if value.present else NONE
        else:
            raise NoFields
    return value


def _field(value: Any, field: str) -> OptionalValue:
    if value.__class__ is not dict:
        raise NoFields
    return OptionalValue(True, value[field]) if field in value else NONE
