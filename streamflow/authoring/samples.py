"""Sample events for a definition: stories that lead a run along every branch, made from the schemas and a seed.

What a story does is decided while it is played: the caller gives a function that plays it and says which steps wait.
So nothing here runs a definition, and the same definition, catalog and seed give the same stories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.authoring.boundaries import Path, boundaries
from streamflow.authoring.dice import Dice
from streamflow.authoring.sample_values import NoSample, sample_value
from streamflow.definition.catalog import Catalog, EventSpec, OperationSpec
from streamflow.definition.content import operation_names
from streamflow.definition.graph import Graph, outcomes_of
from streamflow.definition.model import Approval, Definition, Step, Wait
from streamflow.definition.validation import compiled

__all__ = ["STORIES", "NoSample", "Samples", "Seen", "Story", "make_samples"]

STORIES = 60  # that are tried for one definition
_ACTIONS = 12  # of one story
_LONG = "1d"  # passes where a step waits for something that is not to be decided

Status = Literal["none", "open", "completed", "failed", "cancelled", "parked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How far a story went: the run that its first event started."""

    status: Status  # none: no run began
    path: tuple[str, ...]  # the steps that ended, as `step` or `step.outcome`
    waiting: tuple[str, ...]  # ids of the steps that wait for something, in the order of the plan
    key: str  # the business key of the run; empty without one


Play = Callable[[Sequence[dict[str, Any]], dict[str, list[dict[str, Any]]]], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Actions and answers of operations as a scenario has them, and their results when they were played."""

    do: tuple[dict[str, Any], ...]
    operations: dict[str, list[dict[str, Any]]]
    path: tuple[str, ...]
    status: Status

    @property
    def name(self) -> str:
        """What happens in it, in a line of at most 200 characters."""
        if self.status == "none":
            return "What does not start a run"
        return (" > ".join(self.path) or "A run that waits")[:200]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Stories, each with a step or an outcome that no story before it had. `untaken` are those that none has."""

    stories: tuple[Story, ...]
    untaken: tuple[str, ...]


def make_samples(definition: Definition, catalog: Catalog, seed: int, play: Play, tries: int = STORIES) -> Samples:
    """Stories for `definition`, which the check found without errors. `play` plays the actions of a story from its
    beginning, with these answers of operations.

    Raises NoSample when no event or output can be made that fits its schema."""
    explorer = _Explorer(definition, catalog, seed, play)
    wanted = set(_wanted(definition))
    found: list[Story] = []
    taken: set[str] = set()
    for number in range(tries):
        story = explorer.story(number)
        new = {*story.path, f"*{story.status}"} if story.status in ("none", "parked") else set(story.path)
        if new - taken:
            found.append(story)
            taken |= new
        if not wanted - taken:
            break
    return Samples(stories=tuple(found), untaken=tuple(one for one in _wanted(definition) if one not in taken))


def _wanted(definition: Definition) -> Iterator[str]:
    """Every step and outcome that a run may have; and that there is no run, where a trigger has a condition."""
    needed = {need for step in definition.steps for need in step.needs}
    for id_, step in Graph(definition).steps.items():
        named = [outcome for outcome in outcomes_of(step) if outcome != "done"]
        if step.call is not None or step.run is not None:
            yield id_
            named = [outcome for outcome in named if f"{id_}.{outcome}" in needed]
        elif not named:
            yield id_
        limited = step.wait or step.approval
        if limited is not None and limited.within is None:
            named = [outcome for outcome in named if outcome != "timeout"]
        yield from (f"{id_}.{outcome}" for outcome in named)
    if definition.on and all(trigger.where for trigger in definition.on):
        yield "*none"


@dataclass(slots=True)
class _Explorer:
    definition: Definition
    catalog: Catalog
    seed: int
    play: Play
    _used: dict[tuple[str, int], int] = field(default_factory=dict)  # by place and option: how often it was taken
    _turns: dict[str, dict[Path, list[Any]]] = field(init=False)
    _steps: dict[str, Step] = field(init=False)
    _number: int = 0
    _events: int = 0

    def __post_init__(self) -> None:
        self._turns = boundaries(self.definition)
        self._steps = dict(Graph(self.definition).steps)

    def story(self, number: int) -> Story:
        """Another story: at each place what was taken least often so far."""
        self._number, self._events = number, 0
        operations = {name: [self._answer(name)] for name in operation_names(self.definition)}
        first, began = self._first()
        actions = [first]
        seen = self.play(actions, operations)
        while seen.status == "open" and seen.waiting and len(actions) < _ACTIONS:
            action = self._next(self._steps[seen.waiting[0].partition("[")[0]], seen, began)
            actions.append(action)
            seen = self.play(actions, operations)
        return Story(do=tuple(actions), operations=operations, path=seen.path, status=seen.status)

    # -- what happens

    def _first(self) -> tuple[dict[str, Any], Any]:
        """What starts the run, and its data."""
        ways = len(self.definition.on) + (self.definition.input is not None)
        way = self._option("start", ways)
        if way == len(self.definition.on):
            turns = self._of("trigger")
            data = self._data(self.definition.input or {}, "input", turns)
            return {"start": {"key": f"{self.definition.name}-{self._number + 1}", "input": data}}, data
        trigger = self.definition.on[way]
        turns = self._of("event", f"on/{trigger.id}") | self._of("trigger")
        action = self._send(trigger.event, f"{trigger.event}-{self._number + 1}", turns, None)
        return action, action["send"]["data"]

    def _next(self, step: Step, seen: Seen, began: Any) -> dict[str, Any]:
        if step.approval is not None:
            return self._decide(step.id, step.approval)
        if step.wait is not None:
            return self._come(step.id, step.wait, seen.key, began)
        if step.delay is not None and step.delay.duration is not None:
            return {"wait": step.delay.duration}
        return {"wait": (step.call.within if step.call is not None else None) or _LONG}

    def _decide(self, step: str, approval: Approval) -> dict[str, Any]:
        ways = ["approved", "rejected", *(["timeout"] if approval.within else [])]
        way = ways[self._option(f"steps/{step}", len(ways))]
        if way == "timeout":
            return {"wait": approval.within}
        decided: dict[str, Any] = {"step": step, "decision": way, "by": "anna"}
        if approval.form:
            decided["data"] = self._data(approval.form, f"form/{step}", self._output_turns(step, "data"))
        return {"decide": decided}

    def _come(self, step: str, wait: Wait, key: str, began: Any) -> dict[str, Any]:
        ways = [clause.event for clause in wait.events]
        way = self._option(f"steps/{step}", len(ways) + (wait.within is not None))
        if way == len(ways):
            return {"wait": wait.within}
        turns = self._of("event", f"steps/{step}") | self._output_turns(step, "data")
        return self._send(ways[way], key, turns, began)

    def _answer(self, operation: str) -> dict[str, Any]:
        """What an operation answers: an output, or an error that something in the definition follows."""
        needed = {need for step in self.definition.steps for need in step.needs}
        callers = [step.id for step in self.definition.steps if step.call and step.call.operation == operation]
        spec = self.catalog.operation(operation) or OperationSpec(name=operation)
        codes = [error.id for error in spec.errors] or ["operation_failed"]
        ways: list[str] = ["output", *(codes if any(f"{caller}.failure" in needed for caller in callers) else [])]
        ways += ["silent"] if any(f"{caller}.timeout" in needed for caller in callers) else []
        way = ways[self._option(f"operations/{operation}", len(ways))]
        if way == "silent":
            return {"silent": True}
        if way != "output":
            return {"error": {"code": way, "retryable": False}}
        turns: dict[Path, list[Any]] = {}
        for caller in callers:
            turns |= self._output_turns(caller)
        return {"output": self._data(spec.output, operation, turns)}

    # -- data

    def _send(self, name: str, key: str, turns: dict[Path, list[Any]], began: Any) -> dict[str, Any]:
        spec = self.catalog.event(name) or EventSpec(name=name)
        self._events += 1
        data = self._data(spec.schema_, name, turns, began)
        sent: dict[str, Any] = {"event": name, "data": data}
        if not isinstance(data, dict):
            return {"send": sent | {"key": key}}
        if spec.match is not None and spec.match.path is not None and spec.match.equals is not None:
            _put(data, spec.match.path, spec.match.equals)
        if spec.id is not None and spec.id.path is not None:
            _put(data, spec.id.path, self._fitting(spec, f"sample-{self._number + 1}-{self._events}", spec.id.path))
        if spec.time is not None and spec.time.path is not None:
            _put(data, spec.time.path, None)  # the time of sending
        if spec.key is None or spec.key.path is None:
            sent["key"] = key
        elif began is not None:
            _put(data, spec.key.path, key)
        return {"send": sent}

    def _fitting(self, spec: EventSpec, text: str, path: str) -> Any:
        """`text`, or a number where the schema wants one."""
        probe = {path: text} if "." not in path else {}
        properties = spec.schema_.get("properties")
        part = properties.get(path) if isinstance(properties, dict) and probe else None
        if isinstance(part, dict) and part.get("type") in ("integer", "number"):
            return (self._number + 1) * 100 + self._events
        return text

    def _data(self, schema: dict[str, Any], name: str, turns: dict[Path, list[Any]], began: Any = None) -> Any:
        """A value of `schema` with one of `turns` in each place, and what it has in common with the event that started
        the run."""
        data = sample_value(schema, f"{self.seed}/{self._number}/{name}", name.rpartition(".")[2])
        validator = compiled(schema)
        if isinstance(began, dict) and isinstance(data, dict):
            for field_name in data.keys() & began.keys():
                _put_if(data, (field_name,), began[field_name], validator)
        for path, values in turns.items():
            known = [None, *(value for value in values if _would_fit(data, path, value, validator))]
            option = self._option(f"{name}/{'.'.join(path)}", len(known))
            if option:
                _put_if(data, path, known[option], validator)
        return data

    def _of(self, root: str, *places: str) -> dict[Path, list[Any]]:
        """The turns of fields below `root`; of these places, or of all."""
        return {
            path[1:]: values
            for place, paths in self._turns.items()
            if not places or place in places
            for path, values in paths.items()
            if path[0] == root and len(path) > 1
        }

    def _output_turns(self, step: str, *below: str) -> dict[Path, list[Any]]:
        before = ("steps", step, *below)
        return {
            path[len(before) :]: values
            for paths in self._turns.values()
            for path, values in paths.items()
            if path[: len(before)] == before and len(path) > len(before)
        }

    def _option(self, place: str, count: int) -> int:
        """One of `count` options: of those that were taken least often, by lot."""
        least = min(self._used.get((place, option), 0) for option in range(count))
        rare = [option for option in range(count) if self._used.get((place, option), 0) == least]
        option = rare[0] if self._number == 0 else Dice(f"{self.seed}/{self._number}/{place}").choice(rare)
        self._used[place, option] = self._used.get((place, option), 0) + 1
        return option


def _would_fit(data: Any, path: Path, value: Any, validator: Any) -> bool:
    copy = _copied(data)
    return _put_at(copy, path, value) and bool(validator.is_valid(copy))


def _put_if(data: Any, path: Path, value: Any, validator: Any) -> None:
    """Puts `value` at `path`, if the whole still fits."""
    if _would_fit(data, path, value, validator):
        _put_at(data, path, value)


def _put_at(data: Any, path: Path, value: Any) -> bool:
    for name in path[:-1]:
        data = data.get(name) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        return False
    data[path[-1]] = value
    return True


def _put(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Puts `value` at a path of the catalog; None takes away what is there."""
    *before, last = dotted.split(".")
    for name in before:
        inside = data.setdefault(name, {})
        if not isinstance(inside, dict):
            return
        data = inside
    if value is None:
        data.pop(last, None)
    else:
        data[last] = value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value
