"""One scenario again and again: each instance has its own business keys and event ids, and is otherwise the same.

A key or an id is replaced wherever the scenario has it, so that an event still names the order that an event before it
placed. Whether an instance still takes the same way is for the caller to play.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamflow.definition.catalog import Catalog, EventSpec, Location
from streamflow.errors import Rejected
from streamflow.simulation.scenarios import Action, Scenario, Sent, Started
from streamflow.wire.event_record import Stamp, at_path, event_record, wants_number

_LARGEST_NUMBER = 2**53 - 1  # that every reader of JSON has exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What instances of scenarios are called."""

    mark: str  # every new key and id begins with it
    keys: int | None = None  # business keys that instances share among them; None: each has its own
    first_id: int = 0  # of ids that are numbers, for which there is no mark


class Instances:
    """The instances of `scenario`, whose events `catalog` declares. `run_keys` are the keys of the runs that it starts,
    as it was played."""

    def __init__(self, scenario: Scenario, catalog: Catalog, run_keys: Iterable[str], naming: Naming) -> None:
        self._scenario = scenario
        self._catalog = catalog
        self._naming = naming
        self._run_keys = list(dict.fromkeys(run_keys))
        self._keys = dict.fromkeys([*self._keys_of_actions(), *self._run_keys])
        self._ids = dict.fromkeys(self._ids_of_actions())
        # by event: whether its id and its key are numbers; found once, because that reads the whole schema
        self._numeric = {
            spec.name: tuple(place is not None and wants_number(spec, place) for place in (spec.id, spec.key))
            for name in {action.send.event for action in scenario.do if action.send is not None}
            if (spec := catalog.event(name)) is not None
        }

    def scenario(self, number: int) -> Scenario:
        """Instance `number`, with the expectations of the scenario, in which keys stay as they are.

        Raises Rejected (`mark_not_numeric`) when a key has to be a number and the mark makes it none."""
        names = self._names(number)
        return self._scenario.model_copy(
            update={"do": [self._action(number, place, names) for place in range(len(self._scenario.do))]}
        )

    def action(self, number: int, place: int) -> Action:
        """The action at `place` of instance `number`. Raises Rejected as `scenario` does."""
        return self._action(number, place, self._names(number))

    # -- what is replaced

    def _keys_of_actions(self) -> Iterable[str]:
        for action in self._scenario.do:
            if action.send is not None and (spec := self._catalog.event(action.send.event)) is not None:
                stamp = Stamp(id="id", time_ms=0, is_cloudevent=True, headers=action.send.headers)
                key = event_record(spec, action.send.data, action.send.key, stamp).key
                if key is not None:
                    yield key.decode()
            elif action.start is not None:
                yield action.start.key

    def _ids_of_actions(self) -> Iterable[str]:
        for action in self._scenario.do:
            if (sent := action.send) is not None:
                found = sent.id or self._id_in(sent)
                if found is not None:
                    yield str(found)

    def _id_in(self, sent: Sent) -> Any:
        spec = self._catalog.event(sent.event)
        place = spec.id if spec is not None else None
        if place is None:
            return sent.headers.get("ce_id")
        return sent.headers.get(place.header) if place.header is not None else at_path(sent.data, place.path or "")

    def _names(self, number: int) -> dict[str, str]:
        """New names by old ones, of instance `number`."""
        naming, count = self._naming, len(self._keys)
        shared = number if naming.keys is None else number % naming.keys
        keys = {old: f"{naming.mark}{shared * count + place}" for place, old in enumerate(self._keys)}
        ids = {old: f"{naming.mark}{number}-{place}" for place, old in enumerate(self._ids)}
        return ids | keys

    def _action(self, number: int, place: int, names: dict[str, str]) -> Action:
        action = self._scenario.do[place]
        if action.send is not None:
            return Action(send=self._sent(number, place, action.send, names))
        if action.start is not None:
            started = action.start
            return Action(start=Started(key=names[started.key], input=_renamed(started.input, names)))
        if action.decide is not None:
            return Action(decide=action.decide.model_copy(update={"key": self._run_key(action.decide.key, names)}))
        if action.operate is not None:
            return Action(operate=action.operate.model_copy(update={"key": self._run_key(action.operate.key, names)}))
        return action

    def _run_key(self, key: str | None, names: dict[str, str]) -> str | None:
        """The new key of the run that a person speaks of: the only one where the scenario names none."""
        if key is None and len(self._run_keys) == 1:
            key = self._run_keys[0]
        return None if key is None else names.get(key, key)

    def _sent(self, number: int, place: int, sent: Sent, names: dict[str, str]) -> Sent:
        spec = self._catalog.event(sent.event)
        if spec is None:
            return sent
        old = sent.id or self._id_in(sent)
        new_id = names[str(old)] if old is not None else f"{self._naming.mark}{number}-a{place}"
        data = _renamed(sent.data, names)
        id_is_number, key_is_number = self._numeric[spec.name]
        if spec.id is not None and id_is_number:
            # one place for each action, so that an id that is sent again is the same one
            which = place if old is None else list(self._ids).index(str(old)) + len(self._scenario.do)
            width = len(self._scenario.do) + len(self._ids)
            new_id = str((self._naming.first_id + number * width + which) % _LARGEST_NUMBER)
            data = _put(data, spec.id, int(new_id)) if old is not None else data
        if key_is_number:
            data = self._numeric_key(spec, data, names)
        key = None if sent.key is None else names.get(sent.key, sent.key)
        headers = {name: names.get(text, text) for name, text in sent.headers.items()}
        return sent.model_copy(update={"data": data, "key": key, "id": new_id, "headers": headers})

    def _numeric_key(self, spec: EventSpec, data: Any, names: dict[str, str]) -> Any:
        assert spec.key is not None
        old = at_path(data, spec.key.path or "")
        if not self._naming.mark.isdecimal():
            text = f"The key of the event {spec.name} is a number, and the mark {self._naming.mark!r} makes it a text."
            raise Rejected("mark_not_numeric", f"{text} Give a mark of digits that none of your keys begins with.")
        return data if old is None else _put(data, spec.key, int(names.get(str(old), str(old))))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {name: _renamed(part, names) for name, part in value.items()}
    return [_renamed(part, names) for part in value] if isinstance(value, list) else value


def _put(data: Any, place: Location, value: Any) -> Any:
    """A copy of `data` with `value` at `place` of the payload, where something is already."""
    if not isinstance(data, dict) or place.path is None:
        return data
    first, _, rest = place.path.partition(".")
    if first not in data:
        return data
    return data | {first: _put(data[first], Location(path=rest), value) if rest else value}
