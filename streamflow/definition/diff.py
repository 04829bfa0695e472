"""What changed between two definitions: typed changes, and an English sentence for each. Ids identify what is the same;
renames are not guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.definition.model import Definition, Part


@dataclass(frozen=True, slots=True)
class Added:
    """A trigger, step, need, branch, event, value or field that is new. `what` says which of these, `at` the path of
    ids to it."""

    what: str
    at: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The same, for what is no longer there."""

    what: str
    at: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A field whose value is another. `before` and `after` are what an author would write."""

    at: tuple[str, ...]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Items that are the same but stand in another order, where the order means something: branches and events are
    tried in turn."""

    at: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


Change = Added | Removed | Changed | Moved

_NOUNS = {
    "on": "trigger",
    "steps": "step",
    "needs": "need",
    "events": "event",
    "choose": "branch",
    "set": "value",
    "data": "field",
}
_NOUNS |= {"with": "value", "codes": "error code", "who": "person", "search": "search attribute"}
_SCHEMAS = frozenset({"input", "form"})  # their parts are described as they are, whatever they are called
_IN_TURN = frozenset({"on", "events", "choose"})


def diff(before: Definition, after: Definition) -> tuple[Change, ...]:
    """Every change from `before` to `after`, in the order of the definition's fields; empty if they mean the same.

    Moving steps about is no change, because their needs alone say what comes first."""
    return tuple(_fields(_dump(before), _dump(after), (), _NOUNS))


def sentences(changes: tuple[Change, ...]) -> list[str]:
    """One English sentence for each of `changes`."""
    return [_sentence(change) for change in changes]


def _dump(part: Part) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _fields(
    before: Mapping[str, Any], after: Mapping[str, Any], at: tuple[str, ...], nouns: Mapping[str, str]
) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        old, new, place = before.get(name), after.get(name), (*at, name)
        if old == new:
            continue
        if name in nouns and isinstance(old or new, list):
            yield from _items(name, old or [], new or [], place)
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from _fields(old, new, place, {} if name in _SCHEMAS else nouns)
        elif old is None:
            yield Added("", place, _written(new))
        elif new is None:
            yield Removed("", place, _written(old))
        else:
            yield Changed(place, _written(old), _written(new))


def _items(name: str, before: list[Any], after: list[Any], at: tuple[str, ...]) -> Iterator[Change]:
    old, new = ({_name_of(item): item for item in items} for items in (before, after))
    for id_ in old:
        if id_ not in new:
            yield Removed(_NOUNS[name], (*at, id_), _written(old[id_]))
    for id_, item in new.items():
        if id_ not in old:
            yield Added(_NOUNS[name], (*at, id_), _written(item))
        elif isinstance(item, dict):
            yield from _fields(old[id_], item, (*at, id_), _NOUNS)
    stayed = [tuple(id_ for id_ in items if id_ in old and id_ in new) for items in (old, new)]
    if name in _IN_TURN and stayed[0] != stayed[1]:
        yield Moved(at, stayed[0], stayed[1])


def _name_of(item: Any) -> str:
    return str(item.get("id") or item.get("name")) if isinstance(item, dict) else str(item)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _place(at: tuple[str, ...]) -> str:
    """`("steps", "paid", "wait", "within")` -> ` of step paid`, without the last part, which the sentence names
    itself."""
    words, index, nouns = [], 0, _NOUNS
    while index < len(at) - 1:
        noun = nouns.get(at[index])
        nouns = {} if at[index] in _SCHEMAS else nouns
        if noun is not None and index + 1 < len(at) - 1:
            words.append(f"{noun} `{at[index + 1]}`")
            index += 2
        else:
            if noun is None:
                words.append(f"`{at[index]}`")
            index += 1
    return "".join(f" of {word}" for word in reversed(words))


def _sentence(change: Change) -> str:
    last, place = change.at[-1], _place(change.at)
    match change:
        case Added(what="need"):
            return f"The need `{last}` was added{place.replace(' of ', ' to ', 1)}."
        case Added(what=what, value=value):
            return (
                f"The {what} `{last}` was added{place.replace(' of ', ' to ', 1)}."
                if what
                else f"`{last}`{place} was set to `{value}`."
            )
        case Removed(what=what, value=value):
            return (
                f"The {what} `{last}` was removed{place.replace(' of ', ' from ', 1)}."
                if what
                else f"`{last}`{place} was removed (it was `{value}`)."
            )
        case Changed(before=before, after=after):
            return f"`{last}`{place} changed from `{before}` to `{after}`."
        case Moved(after=after):
            return (
                f"The order of the {_NOUNS[last]}es{place} is now {', '.join(after)}."
                if last == "choose"
                else f"The order of the {_NOUNS[last]}s{place} is now {', '.join(after)}."
            )
