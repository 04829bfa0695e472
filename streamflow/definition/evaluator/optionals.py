"""Optional values: what may be absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator.budget import Frame
from streamflow.definition.evaluator.lists import find
from streamflow.definition.evaluator.values import NONE, Duration, OptionalValue, no_overload
from streamflow.definition.plan import ExpressionError


def optional_of(frame: Frame, value: Any) -> OptionalValue:
    """`optional.of(value)`."""
    return OptionalValue(True, value)


def optional_none(frame: Frame) -> OptionalValue:
    """`optional.none()`."""
    return NONE


def of_non_zero(frame: Frame, value: Any) -> OptionalValue:
    """`optional.ofNonZeroValue(value)`: none for null, false, 0, and what is empty."""
    is_zero = value == Duration(0) if value.__class__ is Duration else value is None or value in (False, 0, "", b"")
    if value.__class__ in (list, dict):
        is_zero = not value
    return NONE if is_zero else OptionalValue(True, value)


def _optional(value: Any) -> OptionalValue:
    if isinstance(value, OptionalValue):
        return value
    raise no_overload()


def value_of(frame: Frame, optional: Any) -> Any:
    """`optional.value()`. Raises ExpressionError for none."""
    found = _optional(optional)
    if not found.present:
        raise ExpressionError("missing_field")
    return found.value


def has_value(frame: Frame, optional: Any) -> bool:
    """`optional.hasValue()`."""
    return _optional(optional).present


def select_optional(frame: Frame, value: Any, field: Any) -> OptionalValue:
    """`value.?field`, or `value[?place]`."""
    return find(frame, value, field)


def first(frame: Frame, value: Any) -> OptionalValue:
    """`list.first()`."""
    if value.__class__ is not list:
        raise no_overload()
    return OptionalValue(True, value[0]) if value else NONE


def last(frame: Frame, value: Any) -> OptionalValue:
    """`list.last()`."""
    if value.__class__ is not list:
        raise no_overload()
    return OptionalValue(True, value[-1]) if value else NONE


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "optional.of": optional_of,
    "optional.none": optional_none,
    "optional.ofNonZeroValue": of_non_zero,
    "value": value_of,
    "hasValue": has_value,
    "_?._": select_optional,
    "_[?_]": select_optional,
    "first": first,
    "last": last,
}
