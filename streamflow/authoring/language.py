"""The language as it describes itself: the fields of each of its parts, which of them hold expressions, needs and names
of the catalog. Read from the models of `streamflow.definition.model`, so that what the language learns is known here.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from streamflow.definition.model import Definition, EventName, Expression, Need, OperationName, Part

LENGTHS = ("within", "forever", "timeout", "queue", "keep", "window", "retry", "at_once", "for", "until")
"""Fields that limit something: times, attempts, and how much is done at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldForm:
    """A field of a part of the language."""

    name: str
    """As authors write it."""

    part: type[Part] | None
    """What its value, or each item of it, is made of; None for plain values."""

    is_list: bool
    """Whether its value is a list."""

    is_open: bool
    """Whether its value is a JSON Schema, whose fields are not the language's."""

    holds: frozenset[Any]
    """The annotations of the texts in it, such as `Expression`."""


@cache
def fields_of(part: type[Part]) -> dict[str, FieldForm]:
    """The fields of `part` by name, in the order of the language."""
    hints = get_type_hints(part, include_extras=True)
    found = [_form(field.alias or name, hints[name]) for name, field in part.model_fields.items()]
    return {form.name: form for form in found}


def _form(name: str, annotation: Any) -> FieldForm:
    inner = list(_inside(annotation))
    return FieldForm(
        name=name,
        part=next((one for one in inner if isinstance(one, type) and issubclass(one, Part)), None),
        is_list=any(get_origin(one) is list for one in inner),
        is_open=any(get_origin(one) is dict for one in inner),
        holds=frozenset(one for one in inner if one in (Expression, Need, EventName, OperationName)),
    )


def _inside(annotation: Any) -> Iterator[Any]:
    """`annotation` and what it is made of; a named text such as `Expression` is not taken apart."""
    yield annotation
    if get_origin(annotation) in (list, Union, types.UnionType):
        for part in get_args(annotation):
            yield from _inside(part)
    elif get_origin(annotation) is Annotated and annotation not in (Expression, Need, EventName, OperationName):
        yield from _inside(get_args(annotation)[0])


@dataclass(frozen=True, slots=True)
class Place:
    """A text of the content: `holder[key]` is it."""

    holder: Any
    key: Any

    @property
    def text(self) -> str:
        """The text."""
        return str(self.holder[self.key])

    def write(self, text: str) -> None:
        """Puts another text in its place."""
        self.holder[self.key] = text


def texts_of(kind: Any, content: dict[str, Any], part: type[Part] = Definition) -> Iterator[Place]:
    """Every text of `kind` (`Expression`, `Need`, `EventName`, `OperationName`) in `content`, which is a `part`."""
    for name, form in fields_of(part).items():
        value = content.get(name)
        if kind in form.holds and isinstance(value, str):
            yield Place(content, name)
        for key, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if kind in form.holds and key is not None and isinstance(item, str):
                yield Place(value, key)
            elif form.part is not None and isinstance(item, dict):
                yield from texts_of(kind, item, form.part)


def put(holder: dict[str, Any], part: type[Part] | None, name: str, value: Any) -> None:
    """Sets a field of `holder`; one that is new stands where the language has it among the others."""
    if name in holder or part is None:
        holder[name] = value
        return
    order = list(fields_of(part))
    behind = [other for other in holder if other in order and order.index(other) > order.index(name)]
    if not behind:
        holder[name] = value
        return
    kept = dict(holder)
    holder.clear()
    for other, one in kept.items():
        if other == behind[0]:
            holder[name] = value
        holder[other] = one
