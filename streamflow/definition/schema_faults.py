"""Where a value does not fit its JSON Schema, in words: several places at once, so that a sender corrects them at
once. What is looked at is bounded, whatever schema and value are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from streamflow.definition.json_pointer import pointer
from streamflow.definition.schema_table import Part, SchemaTable

MASK = "the value"  # what stands for a value in the messages of a masked validator
MOST_FAULTS = 5
_MOST_READ = 200  # of the faults of one value, which may have millions
_FAULT_CHARS = 300  # of one fault: names of fields may be of any length
_MOST_LOOKED = 4_000_000  # values that are looked at; one of many within others is so again and again
_INWARD = "something in it does not fit"

_Open = tuple[Part, Any, str, bool]
"""A schema, a value that does not fit it, its place, and whether it is the name of a field."""


def schema_faults(validator: Any, value: Any) -> str:
    """The first `MOST_FAULTS` faults of `value`, in the order of their places, and how many more there are; without a
    full stop, empty when it fits. `validator` is one of `validation.compiled`; if it is masked, the text holds no value
    of the data but names of its fields.

    Raises ValueError, TypeError or RecursionError for a value that the validator's own types cannot hold."""
    if validator.is_valid(value):
        return ""
    found = FoundFaults(validator.table, value)
    faults = sorted(found.faults)
    sentences = [(f"{place}: {words}" if place else words)[:_FAULT_CHARS] for place, words in faults[:MOST_FAULTS]]
    more = len(faults) - len(sentences)
    if more:
        sentences.append(f"and {more} more" if found.is_whole else "and many more")
    return "; ".join(sentences)


class FoundFaults:
    """The faults of a value that does not fit: a branch of `anyOf` or `oneOf` has no faults itself."""

    def __init__(self, table: SchemaTable | None, value: Any) -> None:
        """`table` is None for a schema that has none: then all that is known is that the value does not fit.

        Raises ValueError, TypeError or RecursionError, as `schema_faults`."""
        self.faults: set[tuple[str, str]] = set()  # JSON pointer, words
        self.is_whole = True  # else there may be more
        if table is None:
            self.faults.add(("", _INWARD))
            return
        self._table = table
        self._sizes: dict[int, int] = {}  # id of a list or an object -> the values in it
        _measure(value, self._sizes)
        self._left = _MOST_LOOKED
        self._open: list[_Open] = [(0, value, "", False)]  # all of them do not fit
        seen = set()
        while self._open and len(self.faults) < _MOST_READ:
            part, value, place, is_name = self._open.pop()
            key = (str(part), place, value if is_name else None)
            if key not in seen:
                seen.add(key)
                self._look(part, value, place, is_name=is_name)
        if not self.faults:
            self.faults.add(("", _INWARD))
        self.is_whole = self._left > 0 and len(self.faults) < _MOST_READ

    def _look(self, part: Part, value: Any, place: str, *, is_name: bool) -> None:
        if isinstance(part, bool):
            self.faults.add((place, self._table.nothing_words(value)[:_FAULT_CHARS]))
            return
        if self._left <= 0:
            self.faults.add((place, _INWARD))
            return
        self._spend(value)
        own = self._table.own_faults(part, value, is_name=is_name)
        found = [(place + within, words[:_FAULT_CHARS]) for within, words in islice(own, _MOST_READ)]
        inner: list[_Open] = []
        for group in self._table.groups(part):
            self._spend(value)
            if self._table.group_fits(part, group, value):
                continue
            if group in ("anyOf", "oneOf"):
                fitting = sum(self._fits(one, value) for one in self._table.listed(part, group))
                found.append((place, self._table.choice_words(group, min(fitting, 2), value)[:_FAULT_CHARS]))
            else:
                inner += self._unfit(part, group, value, place, is_name)
        self.faults.update(found)
        self._open += reversed(inner)
        if not found and not inner:
            self.faults.add((place, _INWARD))

    def _unfit(self, number: int, group: str, value: Any, place: str, is_name: bool) -> Iterator[_Open]:
        """What does not fit of that which the keywords of `group` look at."""
        found = 0
        for part, inner, step in self._looked_at(number, group, value):
            if not self._fits(part, inner):
                found += 1
                at = place if step is None else place + pointer([step])
                yield part, inner, at, is_name or group == "propertyNames"
            if found == _MOST_READ or self._left <= 0:
                return

    def _looked_at(self, number: int, group: str, value: Any) -> Iterator[tuple[Part, Any, str | int | None]]:
        """The schemas of `group`, each with what it looks at and how to get there."""
        if group == "propertyNames":
            names = self._table.part(number, group)
            yield from ((names, name, None) for name in value if names is not None)
        elif group == "properties":
            yield from self._of_names(number, value)
        elif group == "items":
            firsts = self._table.listed(number, "prefixItems") or self._table.listed(number, "items")
            rest = self._table.part(number, "items")
            rest = self._table.part(number, "additionalItems") if rest is None else rest
            for index, item in enumerate(value):
                part = firsts[index] if index < len(firsts) else rest
                if part is not None:
                    yield part, item, index
        elif group == "allOf":
            yield from ((part, value, None) for part in self._table.listed(number, group))
        elif group == "if":
            condition = self._table.part(number, "if")
            branch = self._table.part(number, "then" if condition is None or self._fits(condition, value) else "else")
            if branch is not None:
                yield branch, value, None
        else:
            yield from ((part, value, None) for name, part in self._table.named(number, group).items() if name in value)

    def _of_names(self, number: int, value: dict[str, Any]) -> Iterator[tuple[Part, Any, str]]:
        properties = self._table.named(number, "properties")
        patterns = self._table.named(number, "patternProperties")
        others = self._table.part(number, "additionalProperties")
        for name, item in value.items():
            self._spend(item)
            if self._table.group_fits(number, "properties", {name: item}):
                continue
            parts = [properties[name]] if name in properties else []
            parts += [part for pattern, part in patterns.items() if self._table.matches(pattern, name)]
            if not parts and others is not None:
                parts.append(others)
            yield from ((part, item, name) for part in parts)

    def _fits(self, part: Part, value: Any) -> bool:
        self._spend(value)
        return self._table.fits(part, value)

    def _spend(self, value: Any) -> None:
        self._left -= self._sizes.get(id(value), 1) if isinstance(value, dict | list) else _leaf(value)


def _measure(value: Any, sizes: dict[int, int]) -> int:
    """How much it takes to look at `value`, and, in `sizes`, at each list and object in it."""
    if isinstance(value, dict):
        found = 1 + len(value) + sum(_measure(item, sizes) for item in value.values())
    elif isinstance(value, list):
        found = 1 + sum(_measure(item, sizes) for item in value)
    else:
        return _leaf(value)
    sizes[id(value)] = found
    return found


def _leaf(value: Any) -> int:
    return 1 + len(value) // 100 if isinstance(value, str) else 1
