"""What a record gives: one delivery for each definition, event name and business key. Pure: plans and events in,
commands out.

A definition starts runs by its newest version alone, by the first of its triggers that fits; the other versions only
wait. Which run takes an event, and whether a wait's condition holds, only the engine can say, because that needs the
run's state. A trigger with its own key makes a second delivery, to the mailbox of that key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec.structs import replace

from streamflow import ids
from streamflow.definition.catalog import EventSpec
from streamflow.definition.plan import ERRORS, ClausePlan, ExpressionError, Keeps, Plan, WaitPlan, whole_number
from streamflow.engine.commands import REVISION, DefinitionRef, Deliver, Event, Origin
from streamflow.engine.trace import Trace


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is served. `specs` are the events of its pinned catalog by name, `at` the offset in
    `definitions` at or below which it was read, `newest` whether its name points to it, `published_ms` the broker's
    time of its publication, `revision` the engine's that its runs are to start with. The topics of `specs` are those
    of the environment's bindings; `bound_ms` says by event's name since when."""

    plan: Plan
    specs: Mapping[str, EventSpec]
    at: int
    newest: bool
    published_ms: int = 0
    revision: str = REVISION
    bound_ms: Mapping[str, int] = field(default_factory=dict)


class Source(NamedTuple):
    """The record that an event was read from; `committed` is the offset that ingress had committed when it read it,
    `part` the event's place in a batch, `trace` the span that made it a command, `correlation_id` what its sender knows
    it by."""

    topic_id: str
    partition: int
    offset: int
    committed: int
    trace: Trace | None = None
    part: int | None = None
    topic: str = ""
    correlation_id: str = ""


class Failure(NamedTuple):
    """A definition (or, with an empty name, all of them) that gets nothing from an event, and why."""

    code: str
    message: str
    event: str
    definition: str = ""
    version: str = ""
    trigger: str = ""


class Matched(NamedTuple):
    """The commands of one record, and what failed beside them."""

    commands: list[Deliver]
    failures: list[Failure]


class Matcher:
    """Matches events to the versions it was made of. `specs` are the distinct events that they name; the same spec in
    many versions is one. `attributed` are the indexes of those whose CloudEvents attributes some expression reads."""

    def __init__(self, published: Iterable[Published]) -> None:
        self.published = tuple(
            sorted(published, key=lambda live: (not live.newest, -live.at, live.plan.name, live.plan.version))
        )
        specs: dict[str, tuple[int, EventSpec]] = {}
        attributed: set[tuple[int, str]] = set()  # indexes and the definitions whose waits read attributes
        by_trigger: set[int] = set()
        waits: list[dict[str, Keeps]] = []
        self._windows: dict[str, int] = {}  # by definition, what its newest version says
        starts: list[list[Published]] = []
        for live in self.published:
            self._windows.setdefault(live.plan.name, live.plan.window_ms or 0)
            for name in dict.fromkeys(
                [trigger.event for trigger in live.plan.triggers if live.newest] + list(live.plan.waits)
            ):
                spec = live.specs[name]
                identity = spec.model_dump_json(by_alias=True)
                if identity not in specs:
                    specs[identity] = (len(specs), spec)
                    waits.append({})
                    starts.append([])
                index = specs[identity][0]
                if name in live.plan.waits:
                    known = waits[index].get(live.plan.name, Keeps())
                    waits[index][live.plan.name] = known.longest(live.plan.keeps[name])
                    if any(_reads_attributes(clause) for clause in _clauses(live.plan, name)):
                        attributed.add((index, live.plan.name))
                if live.newest and any(trigger.event == name for trigger in live.plan.triggers):
                    starts[index].append(live)
                    if any(_reads_attributes(trigger) for trigger in live.plan.triggers if trigger.event == name):
                        by_trigger.add(index)
        self._attributed = frozenset(attributed)
        self.attributed = frozenset(by_trigger.union(index for index, _ in attributed))
        self.specs: tuple[EventSpec, ...] = tuple(spec for _, spec in specs.values())
        self._waits = [tuple(names.items()) for names in waits]
        self._starts = [tuple(versions) for versions in starts]

    def topics(self) -> frozenset[str]:
        """All topics that a version reads."""
        return frozenset(topic for spec in self.specs for topic in spec.topics)

    def limited_topics(self) -> frozenset[str]:
        """The topics of events that some wait with a limit is for: where its clock is a watermark."""
        works = ((live, step.work) for live in self.published for step in live.plan.steps.values())
        return frozenset(
            topic
            for live, work in works
            if isinstance(work, WaitPlan) and work.within_ms is not None
            for clause in work.clauses
            for topic in live.specs[clause.event].topics
        )

    def published_ms(self, topic: str) -> int | None:
        """When the oldest version that reads `topic` was published, or its event bound to it if that was later; None
        when no version does."""
        return min(
            (
                max(live.published_ms, live.bound_ms.get(name, 0))
                for live in self.published
                for name in _names(live)
                if topic in live.specs[name].topics
            ),
            default=None,
        )

    def match(self, occurrences: Sequence[tuple[int, Event, str | None]], source: Source) -> Matched:
        """What one record gives, as the events in `occurrences` (index into `specs`, event, key). Never raises for what
        an event holds."""
        deliveries: dict[tuple[str, str, str], Deliver] = {}
        failures: list[Failure] = []
        started: set[tuple[str, str]] = set()
        for index, event, key in occurrences:
            if key is None and self._waits[index]:
                failures.append(_missing_key(event.name, _key_place(self.specs[index])))
            elif key is not None:
                for name, keeps in self._waits[index]:
                    _add(deliveries, self._delivery(source, name, key, self._carried(index, name, event), keeps))
            for live in self._starts[index]:
                if (live.plan.name, event.name) in started:
                    continue
                try:
                    trigger, run_key = _first(live.plan, self.specs[index], event, key)
                except _StartFailed as failed:
                    failures.append(failed.failure)
                    continue
                if trigger is None:
                    continue
                started.add((live.plan.name, event.name))
                carried = self._carried(index, live.plan.name, event)
                found = self._delivery(source, live.plan.name, run_key, carried, Keeps())
                start = DefinitionRef(live.plan.sha, live.at, live.revision)
                _add(deliveries, replace(found, start=start, trigger=trigger.id))
        return Matched(list(deliveries.values()), list(dict.fromkeys(failures)))

    def _carried(self, index: int, definition: str, event: Event) -> Event:
        """`event` for `definition`: without attributes unless a wait of it reads them."""
        if not event.attributes or (index, definition) in self._attributed:
            return event
        return replace(event, attributes={})

    def _delivery(self, source: Source, definition: str, key: str, event: Event, keeps: Keeps) -> Deliver:
        part = () if source.part is None else (str(source.part),)
        tag = ids.tag("deliver", definition, event.name, key, *part)
        return Deliver(
            id=f"{source.topic_id}/{source.partition}/{source.offset}/{tag}",
            definition=definition,
            key=key,
            event=event,
            origin=Origin(
                topic_id=source.topic_id,
                partition=source.partition,
                offset=source.offset,
                committed=source.committed,
                topic=source.topic,
            ),
            keep_ms=keeps.original_ms,
            copies_ms=keeps.copies_ms,
            window_ms=self._windows[definition],
            trace=source.trace,
            correlation_id=source.correlation_id,
        )


def _add(deliveries: dict[tuple[str, str, str], Deliver], found: Deliver) -> None:
    """Add a delivery to those of the same record. Of two versions' occurrences of an event, the newest one's content
    is delivered, with the longer keep of the two."""
    place = (found.definition, found.event.name, found.key)
    known = deliveries.get(place)
    if known is None:
        deliveries[place] = found
        return
    deliveries[place] = replace(
        known,
        start=known.start or found.start,
        trigger=known.trigger or found.trigger,
        keep_ms=max(known.keep_ms, found.keep_ms),
        copies_ms=max(known.copies_ms, found.copies_ms),
    )


class _StartFailed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


def _first(plan: Plan, spec: EventSpec, event: Event, key: str | None) -> tuple[ClausePlan | None, str]:
    """The first trigger of `plan` that fits, and the key of the run that it starts. Raises _StartFailed."""
    for trigger in plan.triggers:
        if trigger.event != event.name:
            continue
        variables = {"event": event.data, "cloudevent": event.attributes}
        evaluated, expression = "where", trigger.where
        try:
            if trigger.where is not None and not trigger.where.holds(variables):
                continue
            evaluated, expression = "key", trigger.key
            found = trigger.key.evaluate(variables) if trigger.key is not None else key
        except ExpressionError as error:
            detail = expression.diagnosis(variables, error) if expression is not None else ""
            message = (
                f"The `{evaluated}` of trigger {trigger.id} of {plan.name}@{plan.version} failed with {error.code}: "
                f"{ERRORS.get(error.code, error.code)}{f' ({detail})' if detail else ''}. Correct the definition or "
                "the event."
            )
            raise _StartFailed(
                Failure("expression_failed", message, event.name, plan.name, plan.version, trigger.id)
            ) from error
        run_key = _key_text(found)
        if run_key:
            return trigger, run_key
        if trigger.key is None:
            raise _StartFailed(_missing_key(event.name, _key_place(spec)))
        place = f"the `key` of trigger {trigger.id} of {plan.name}@{plan.version}"
        raise _StartFailed(_missing_key(event.name, place, plan, trigger))
    return None, ""


def _key_place(spec: EventSpec) -> str:
    """Where the catalog reads the key of `spec`, in words."""
    if spec.key is None:
        return "the record's key, since its catalog entry names no `key`"
    return f"the header {spec.key.header}" if spec.key.header is not None else f"`{spec.key.path}` of the payload"


def _missing_key(event: str, place: str, plan: Plan | None = None, trigger: ClausePlan | None = None) -> Failure:
    message = (
        f"{event} has no key: {place} is missing, empty, or neither a text nor a whole number. Correct the record, "
        "the catalog or the definition."
    )
    return Failure(
        "missing_key",
        message,
        event,
        plan.name if plan else "",
        plan.version if plan else "",
        trigger.id if trigger else "",
    )


def _key_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        value = whole_number(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _clauses(plan: Plan, event: str) -> Iterable[ClausePlan]:
    works = [plan.steps[step].work for step in plan.waits[event]]
    return [one for work in works if isinstance(work, WaitPlan) for one in work.clauses if one.event == event]


def _reads_attributes(clause: ClausePlan) -> bool:
    return any(one is not None and "cloudevent" in one.names for one in (clause.where, clause.key))


def _names(live: Published) -> Iterable[str]:
    return [trigger.event for trigger in live.plan.triggers if live.newest] + list(live.plan.waits)
