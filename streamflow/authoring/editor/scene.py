"""A draft as the drafter sees a process: its steps as nodes, what is done before each, and which fields are known
where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.drafter.fields import Field, fields_of
from streamflow.authoring.drafter.outputs import fields_of_steps, outcome_of
from streamflow.authoring.drafter.process import Ask, Await, Decide, Do, Fail, Node, Pause, Say
from streamflow.authoring.drafter.vocabulary import Entry, Vocabulary
from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.graph import Graph, kind_of, outcomes_of
from streamflow.definition.json_schema import common
from streamflow.definition.model import Definition, Step
from streamflow.definition.plan import NO_OUTCOME


class Scene:
    """What can be said of a draft over `catalog`; it is judged by `whole`."""

    def __init__(self, draft: Draft, catalog: Catalog, whole: Catalog) -> None:
        self.draft, self.catalog, self.whole = draft, catalog, whole
        self.definition: Definition = draft.definition
        self.vocabulary = Vocabulary.of(catalog)
        self.steps: dict[str, Step] = {step.id: step for step in reversed(self.definition.steps)}
        self.steps = {id_: self.steps[id_] for id_ in dict.fromkeys(step.id for step in self.definition.steps)}

    @cached_property
    def entry(self) -> Entry:
        """What starts a run: the event of the triggers, or what all of them and the input have in common."""
        entries = list({trigger.event: self._event(trigger.event) for trigger in self.definition.on}.values())
        schemas = [entry.spec.schema_ for entry in entries if isinstance(entry.spec, EventSpec)]
        if self.definition.input is not None:
            schemas.append(self.definition.input)
        first = entries[0] if entries else _unnamed(self.definition.name)
        assert isinstance(first.spec, EventSpec)
        if len(schemas) == 1 and entries:
            return first
        schema: dict[str, Any] = schemas[0] if len(schemas) == 1 else dict(common(schemas)) if schemas else {}
        return replace(first, spec=first.spec.model_copy(update={"schema_": schema}))

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The steps as nodes, by id; those of kinds that the drafter does not write are left out."""
        return {id_: node for id_, step in self.steps.items() if (node := self._node(step)) is not None}

    @cached_property
    def taken(self) -> frozenset[str]:
        """All ids that there are."""
        return frozenset({*self.steps, *(trigger.id for trigger in self.definition.on)})

    def done_before(self, id_: str) -> frozenset[str]:
        """The steps that are done whenever this one begins."""
        step = self.steps[id_]
        each = [self.done_at(need) for need in step.needs]
        if not each:
            return frozenset()
        return frozenset.intersection(*each) if step.join == "any" else frozenset().union(*each)

    def done_at(self, need: str | None) -> frozenset[str]:
        """The steps that are done whenever this need is met; None is the start of the run."""
        if need is None:
            return frozenset()
        id_, _, outcome = need.partition(".")
        if id_ not in self.steps or self._is_circular:
            return frozenset()
        own = frozenset({id_}) if outcome not in NO_OUTCOME and self.steps[id_].choose is None else frozenset()
        return self.done_before(id_) | own

    def fields_at(self, done: frozenset[str]) -> list[Field]:
        """The fields that may be read where these steps are done, the newest first."""
        nodes = [self.nodes[id_] for id_ in reversed(self._order) if id_ in done and id_ in self.nodes]
        assert isinstance(self.entry.spec, EventSpec)
        return [*fields_of_steps(nodes), *fields_of("trigger", self.entry.spec.schema_, self.entry.stems)]

    def followers(self, needs: Iterable[str]) -> list[Step]:
        """The steps that have one of these needs, in the order of the text."""
        wanted = set(needs)
        return [step for step in self.steps.values() if wanted & set(step.needs)]

    def ways(self, id_: str) -> tuple[str, ...]:
        """The outcomes of a step that a need may name."""
        return outcomes_of(self.steps[id_])

    def own_outcomes(self, id_: str, outcomes: Iterable[str]) -> list[str] | None:
        """The outcomes of a step for those of its node: the drafter calls them by the events that come, a draft as its
        author likes. None if one event may be several of them."""
        step, found = self.steps[id_], list[str]()
        for outcome in sorted(outcomes):
            if step.wait is None or outcome == "timeout":
                found.append(outcome)
                continue
            same = [one.id for one in step.wait.events if outcome_of(self._event(one.event)) == outcome]
            if len(same) != 1:
                return None
            found.append(same[0])
        return found

    @cached_property
    def _order(self) -> tuple[str, ...]:
        return Graph(self.definition).order

    @cached_property
    def _is_circular(self) -> bool:
        return bool(Graph(self.definition).cycles)

    def _event(self, name: str) -> Entry:
        found = next((entry for entry in self.vocabulary.events if entry.name == name), None)
        return found if found is not None else _unnamed(name)

    def _node(self, step: Step) -> Node | None:
        place = (0, 0)
        if step.approval is not None:
            asked = step.approval
            return Ask(
                id=step.id, said=place, who=list(asked.who), about=[], within=asked.within, forever=asked.forever
            )
        if step.wait is not None:
            events = [self._event(one.event) for one in step.wait.events]
            return Await(id=step.id, said=place, events=events, within=step.wait.within, forever=step.wait.forever)
        if step.choose is not None:
            return Decide(id=step.id, said=place, ways=[])
        if step.delay is not None:
            return Pause(id=step.id, said=place, length=step.delay.duration or "")
        if step.print is not None:
            return Say(id=step.id, said=place, text=step.print.text)
        if step.fail is not None:
            return Fail(id=step.id, said=place, reason=step.fail.reason)
        return self._doing(step)

    def _doing(self, step: Step) -> Node | None:
        if kind_of(step) not in ("call", "emit") or step.each is not None:
            return None
        name = step.call.operation if step.call is not None else step.emit.event if step.emit is not None else ""
        known: Iterator[Entry] = iter((*self.vocabulary.operations, *self.vocabulary.events))
        entry = next((one for one in known if one.name == name), None)
        return Do(id=step.id, said=(0, 0), entry=entry, constant=None, given={}) if entry is not None else None


def _unnamed(name: str) -> Entry:
    """An event that the catalog does not have."""
    spec = EventSpec.model_construct(name=name, title=None, topics=[], key=None, match=None, id=None, time=None)
    spec = spec.model_copy(update={"schema_": {}})
    empty = frozenset[str]()
    return Entry(kind="event", name=name, spec=spec, named=empty, titled=empty, verbs=empty, constants={})
