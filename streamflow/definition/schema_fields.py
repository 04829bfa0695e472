"""How many of the fields that a schema declares are typed in expressions."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.definition.schema_shape import Shape, types_of

_SCALARS = frozenset({"string", "integer", "boolean"})


@dataclass(frozen=True, slots=True)
class Fields:
    """Counts of declared fields that have no fields themselves: those with one type in expressions, and those that are
    open there."""

    typed: int = 0
    open: int = 0

    def __add__(self, other: Fields) -> Fields:
        return Fields(self.typed + other.typed, self.open + other.open)


def declared_fields(shape: Shape) -> Fields:
    """The fields of the values of `shape`, at every depth; what is inside itself counts once."""
    return _Count().of(shape, is_open=False)


class _Count:
    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], Fields] = {}

    def of(self, shape: Shape, *, is_open: bool) -> Fields:
        key = (id(shape), is_open)
        if key not in self._known:
            self._known[key] = self._of(shape, is_open=is_open)
        return self._known[key]

    def _of(self, shape: Shape, *, is_open: bool) -> Fields:
        types = types_of(shape) - {"null"}
        if shape.get("properties"):
            # an object with fields that nobody knows is read without types
            inside = is_open or bool(shape.get("open")) or types != {"object"}
            return sum((self.of(part, is_open=inside) for part in shape["properties"].values()), Fields())
        if shape.get("items"):
            return self.of(shape["items"], is_open=is_open or types_of(shape) != {"array"})
        typed = (
            not is_open
            and len(types) == 1
            and (types <= _SCALARS or types == {"object"} or types_of(shape) == {"array"})
        )
        return Fields(int(typed), int(not typed))
