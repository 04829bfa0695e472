"""Functions on lists and maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streamflow.definition.evaluator import decimals, text
from streamflow.definition.evaluator.budget import ENTRY_BYTES, ITEM_BYTES, Frame, claim, scan, spend
from streamflow.definition.evaluator.numbers import add
from streamflow.definition.evaluator.values import (
    INT_MAX,
    NONE,
    NUMBERS,
    WHOLE,
    OptionalValue,
    equal,
    identity,
    int64,
    map_key,
    new_key,
    no_overload,
    ordered,
)
from streamflow.definition.plan import ExpressionError


def _items(frame: Frame, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise no_overload()
    spend(frame, len(value))
    return value


def size(frame: Frame, value: Any) -> int:
    """`size(value)`: characters of a text, bytes, items of a list, fields of a map."""
    if value.__class__ in (str, list, dict, bytes):
        return len(value)
    raise no_overload()


def member(frame: Frame, value: Any, container: Any) -> bool:
    """`value in container`: an item of a list, or a key of a map."""
    if container.__class__ is dict:
        return map_key(value) in container
    items = _items(frame, container)
    if value.__class__ is str:
        spend(frame, len(items) * (len(value) // 64))
        return value in items
    return any(equal(frame, value, item) for item in items)


def index(frame: Frame, value: Any, place: Any) -> Any:
    """`value[place]`. Raises ExpressionError `missing_field` when there is nothing."""
    found = find(frame, value, place)
    if not found.present:
        raise ExpressionError("missing_field")
    return found.value


def find(frame: Frame, value: Any, place: Any) -> OptionalValue:
    """What is at `place` of a list or map, or none."""
    kind = value.__class__
    if kind is dict:
        key = map_key(place)
        return OptionalValue(True, value[key]) if key in value else NONE
    if kind is list:
        if place.__class__ is float and place.is_integer():
            place = int(place)
        if place.__class__ not in WHOLE:
            raise no_overload()
        return OptionalValue(True, value[place]) if 0 <= place < len(value) else NONE
    if kind is OptionalValue:
        return find(frame, value.value, place) if value.present else NONE
    raise no_overload()


def slice_(frame: Frame, value: Any, start: Any, end: Any) -> list[Any]:
    """`list.slice(start, end)`, without the item at `end`."""
    if value.__class__ is not list or start.__class__ is not int or end.__class__ is not int:
        raise no_overload()
    if not 0 <= start <= end <= len(value):
        raise ExpressionError("out_of_range")
    claim(frame, ITEM_BYTES * (end - start))
    return value[start:end]


def range_(frame: Frame, count: Any) -> list[int]:
    """`lists.range(count)`: 0, 1 and so on."""
    if count.__class__ is not int:
        raise no_overload()
    if count < 0:
        raise ExpressionError("out_of_range")
    claim(frame, 4 * ITEM_BYTES * count)
    return list(range(count))


def reverse(frame: Frame, value: Any) -> Any:
    """`reverse()` of a list or a text."""
    if value.__class__ is str:
        return text.reverse(frame, value)
    items = _items(frame, value)
    claim(frame, ITEM_BYTES * len(items))
    return items[::-1]


def distinct(frame: Frame, value: Any) -> list[Any]:
    """`list.distinct()`: the first of all that are equal."""
    items = _items(frame, value)
    claim(frame, ENTRY_BYTES * len(items))
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(identity(frame, item), item)
    return list(found.values())


def flatten(frame: Frame, value: Any, depth: Any = 1) -> list[Any]:
    """`list.flatten(depth)`: lists within it, down to `depth` levels, replaced by their items."""
    if depth.__class__ is not int:
        raise no_overload()
    if depth < 0:
        raise ExpressionError("out_of_range")
    found: list[Any] = []
    _flatten(frame, _items(frame, value), min(depth, INT_MAX), found)
    return found


def _flatten(frame: Frame, items: list[Any], depth: int, found: list[Any]) -> None:
    spend(frame, len(items))
    claim(frame, ITEM_BYTES * len(items))
    for item in items:
        if depth and item.__class__ is list:
            _flatten(frame, item, depth - 1, found)
        else:
            found.append(item)


def sort(frame: Frame, value: Any) -> list[Any]:
    """`list.sort()`: items of one kind that has an order."""
    return sort_by(frame, value, value)


def sort_by(frame: Frame, value: Any, by: Any) -> list[Any]:
    """The items of `value` in the order of their keys `by`; equal keys keep their order."""
    items, keys = _items(frame, value), _items(frame, by)
    if len(items) != len(keys):
        raise ExpressionError("failed")
    _one_kind(frame, keys)
    spend(frame, len(items) * max(len(items).bit_length(), 1))
    claim(frame, 2 * ITEM_BYTES * len(items))
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__)]


def _one_kind(frame: Frame, items: list[Any]) -> None:
    """Raises ExpressionError unless all items have one order."""
    if not items:
        return
    for item in items:
        ordered(item, items[0])
        if item != item:
            raise no_overload()  # not a number has no place in an order
        if item.__class__ is str:
            scan(frame, item)


def sum_(frame: Frame, value: Any) -> Any:
    """`list.sum()` of numbers, decimals or durations; 0 of none. Whole numbers beside doubles count as doubles, and a
    sum of doubles is rounded once."""
    items = _items(frame, value)
    kinds = {item.__class__ for item in items}
    if not kinds:
        return 0
    if kinds == {int}:
        return int64(sum(items))
    if float in kinds and kinds <= NUMBERS:
        return _sum_of_doubles(items)
    total = items[0]
    if total.__class__ is str or total.__class__ is list or total.__class__ is bytes:
        raise no_overload()
    for item in items[1:]:
        total = add(frame, total, item)
    if len(items) == 1:
        add(frame, total, total)  # a list of one must be of what can be added, too
    return total


def _sum_of_doubles(items: list[Any]) -> float:
    try:
        return math.fsum(items)
    except OverflowError:
        return math.inf if sum(map(float, items)) > 0 else -math.inf
    except ValueError:  # both infinities
        return math.nan


def average(frame: Frame, value: Any) -> Any:
    """`list.avg()`: of decimals a decimal, of other numbers a double. Raises ExpressionError for none."""
    items = _items(frame, value)
    if not items:
        raise ExpressionError("empty_list")
    kinds = {item.__class__ for item in items}
    if Decimal in kinds:
        return decimals.divide(frame, sum_(frame, items), len(items))
    if not kinds <= NUMBERS:
        raise no_overload()
    if float in kinds:
        return _sum_of_doubles(items) / len(items)
    try:
        return sum(items) / len(items)
    except OverflowError:
        raise ExpressionError("out_of_range") from None


def minimum(frame: Frame, value: Any) -> Any:
    """`list.min()`: the first of the smallest. Raises ExpressionError for none."""
    return _extreme(frame, value, min)


def maximum(frame: Frame, value: Any) -> Any:
    """`list.max()`: the first of the largest. Raises ExpressionError for none."""
    return _extreme(frame, value, max)


def _extreme(frame: Frame, value: Any, choose: Callable[[list[Any]], Any]) -> Any:
    items = _items(frame, value)
    if not items:
        raise ExpressionError("empty_list")
    _one_kind(frame, items)
    return choose(items)


def insert(frame: Frame, into: dict[Any, Any], key: Any, value: Any) -> None:
    """Adds a field to a map under construction. Raises ExpressionError when it is there already."""
    claim(frame, ENTRY_BYTES)
    key = new_key(key)
    if key in into:
        raise ExpressionError("failed")
    into[key] = value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": size,
    "@in": member,
    "_[_]": index,
    "slice": slice_,
    "lists.range": range_,
    "reverse": reverse,
    "distinct": distinct,
    "flatten": flatten,
    "sort": sort,
    "@sortByAssociatedKeys": sort_by,
    "sum": sum_,
    "avg": average,
    "min": minimum,
    "max": maximum,
}
