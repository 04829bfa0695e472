"""From a checked tree to one function of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from streamflow.definition.evaluator.budget import (
    ENTRY_BYTES,
    FIRST_LOCAL,
    ITEM_BYTES,
    Closure,
    Frame,
    claim,
)
from streamflow.definition.evaluator.functions import FUNCTIONS
from streamflow.definition.evaluator.macros import Pending, fold
from streamflow.definition.evaluator.operators import OPERATORS
from streamflow.definition.evaluator.patterns import matching
from streamflow.definition.evaluator.selection import has, select, variable
from streamflow.definition.evaluator.shape import Unsupported, literal
from streamflow.definition.evaluator.values import (
    OptionalValue,
    Timestamp,
    TypeName,
    new_key,
    no_overload,
)
from streamflow.definition.expression_tree import constant_text, node_kind
from streamflow.definition.plan import ExpressionError

TYPES = frozenset(
    {
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "optional_type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "streamflow.Decimal",
    }
)


_MILLISECOND = 1_000_000  # nanoseconds; `now` is given in epoch milliseconds


class Builder:
    """Builds the closures of one expression. `locals` is how many variables of macros a frame needs room for.

    `whole` are the ids of the nodes that read whole numbers by their schema, so that 10.0 is read as 10."""

    def __init__(self, whole: AbstractSet[int] = frozenset()) -> None:
        self.locals = 0
        self._whole = whole

    def build(self, node: Any, scope: Mapping[str, int]) -> Closure:
        """The closure of `node`. `scope` has the places in the frame of the variables that macros bind there.

        Raises Unsupported."""
        closure = self._build(node, scope)
        return _integral(closure) if node.id in self._whole else closure

    def _build(self, node: Any, scope: Mapping[str, int]) -> Closure:
        kind = node_kind(node)
        if kind == "const_expr":
            return _constant(literal(node))
        if kind == "ident_expr":
            return self._name(node, scope)
        if kind == "select_expr":
            return self._select(node, scope)
        if kind == "call_expr":
            return self._call(node, scope)
        if kind == "list_expr":
            return self._list(node.list_expr, scope)
        if kind == "struct_expr":
            return self._map(node.struct_expr, scope)
        if kind == "comprehension_expr":
            return fold(self, node.comprehension_expr, scope)
        raise Unsupported("an empty part")

    def bind(self, scope: Mapping[str, int], *names: str) -> tuple[dict[str, int], list[int]]:
        """`scope` with new places for `names`, and those places."""
        places = [FIRST_LOCAL + self.locals + at for at in range(len(names))]
        self.locals += len(names)
        return {**scope, **dict(zip(names, places, strict=True))}, places

    def _name(self, node: Any, scope: Mapping[str, int]) -> Closure:
        name = node.ident_expr.name
        place = scope.get(name)
        if place is None:
            name = name.removeprefix(".")  # what looks past the variables of macros
            if name in TYPES:
                return _constant(TypeName(name))
            return _now if name == "now" else _variable(name)
        return _local(place)

    def _select(self, node: Any, scope: Mapping[str, int]) -> Closure:
        part = node.select_expr
        fields = [part.field]
        start = part.operand
        # a chain of fields is one closure, unless a field on the way is whole by its schema, which has no fields
        while node_kind(start) == "select_expr" and not start.select_expr.test_only:
            fields.append(start.select_expr.field)
            start = start.select_expr.operand
        fields.reverse()
        if node_kind(start) == "ident_expr" and start.ident_expr.name not in scope:
            name = start.ident_expr.name.removeprefix(".")
            if name in TYPES:
                raise Unsupported("a field of a type")
            if not part.test_only and name != "now":
                return variable(name, tuple(fields))
        inner = self.build(start, scope)
        if part.test_only:
            return has(inner, tuple(fields[:-1]), fields[-1])
        return select(inner, tuple(fields))

    def _list(self, part: Any, scope: Mapping[str, int]) -> Closure:
        elements = [self.build(element, scope) for element in part.elements]
        optional = frozenset(part.optional_indices)
        size = ITEM_BYTES * len(elements)
        if not optional:
            if all(node_kind(element) == "const_expr" for element in part.elements):
                values = [literal(element) for element in part.elements]
                return lambda f: values  # no function changes a list that it is given

            def listed(f: Frame) -> list[Any]:
                claim(f, size)
                return [element(f) for element in elements]

            return listed

        def some(f: Frame) -> list[Any]:
            claim(f, size)
            found = []
            for place, element in enumerate(elements):
                value = element(f)
                if place in optional:
                    if value.__class__ is not OptionalValue:
                        raise no_overload()
                    if not value.present:
                        continue
                    value = value.value
                found.append(value)
            return found

        return some

    def _map(self, part: Any, scope: Mapping[str, int]) -> Closure:
        if part.message_name:
            raise Unsupported(f"a message {part.message_name}")
        entries = [
            (self.build(entry.map_key, scope), self.build(entry.value, scope), entry.optional_entry)
            for entry in part.entries
        ]
        size = ENTRY_BYTES * len(entries)

        def mapped(f: Frame) -> dict[Any, Any]:
            claim(f, size)
            found: dict[Any, Any] = {}
            for key, value, optional in entries:
                name = new_key(key(f))
                if name in found:
                    raise ExpressionError("failed")
                item = value(f)
                if optional:
                    if item.__class__ is not OptionalValue:
                        raise no_overload()
                    if not item.present:
                        continue
                    item = item.value
                found[name] = item
            return found

        return mapped

    def _call(self, node: Any, scope: Mapping[str, int]) -> Closure:
        part = node.call_expr
        name = part.function
        nodes = ([part.target] if part.HasField("target") else []) + list(part.args)
        if name == "matches" and (pattern := constant_text(nodes[1])) is not None:
            return matching(self.build(nodes[0], scope), pattern)
        arguments = [self.build(argument, scope) for argument in nodes]
        operator = OPERATORS.get((name, len(arguments)))
        if operator is not None:
            return operator(*arguments)
        function = FUNCTIONS.get(name)
        if function is None:
            raise Unsupported(f"the function {name}")
        return _applied(function, arguments)


def _constant(value: Any) -> Closure:
    return lambda f: value


def _variable(name: str) -> Closure:
    def read(f: Frame) -> Any:
        try:
            return f[0][name]
        except KeyError:
            raise ExpressionError("missing_field") from None

    return read


def _now(f: Frame) -> Timestamp:
    try:
        return Timestamp(f[0]["now"] * _MILLISECOND)
    except KeyError:
        raise ExpressionError("missing_field") from None


def _local(place: int) -> Closure:
    def read(f: Frame) -> Any:
        value = f[place]
        return value.resolve(f, place) if value.__class__ is Pending else value

    return read


def _integral(read: Closure) -> Closure:
    """What `read` gives, with a whole double as an int, and those of a list too."""

    def whole(f: Frame) -> Any:
        value = read(f)
        if value.__class__ is float and value.is_integer():
            return int(value)
        if value.__class__ is OptionalValue and value.value.__class__ is float and value.value.is_integer():
            return OptionalValue(True, int(value.value))
        if value.__class__ is list and any(item.__class__ is float for item in value):
            claim(f, ITEM_BYTES * len(value))
            return [int(item) if item.__class__ is float and item.is_integer() else item for item in value]
        return value

    return whole


def _applied(function: Callable[..., Any], arguments: list[Closure]) -> Closure:
    if len(arguments) == 1:
        (one,) = arguments
        return lambda f: function(f, one(f))
    if len(arguments) == 2:
        first, second = arguments
        return lambda f: function(f, first(f), second(f))
    return lambda f: function(f, *[argument(f) for argument in arguments])
